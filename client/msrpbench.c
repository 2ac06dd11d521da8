/* msrpbench: loads an MSRP relay (or a byte forwarder) and says what a message, a megabyte, an authentication
 * or an idle session costs it. Every received octet is checked; see msrpbench(1). */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "client/msrp_client.h"
#include "client/procstat.h"
#include "common/err.h"

enum {
    BLOCK = 1 << 20,
    MEM_MAX = 16384,
    PIDS_MAX = 64,
    RAMP = 64,
    WARM_UP_S_TENTHS = 3,
    DRAIN_S = 10,
    SETUP_S = 120,
    SETTLE_S = 2
};

enum scenario { BENCH_MESSAGES, BENCH_BULK, BENCH_AUTH, BENCH_IDLE };

struct bench;

/* One end of a pair, or a session that only authenticates or idles. */
struct end {
    struct bench *bench; /* back */
    struct pair *pair;   /* back; NULL: none */
    struct mc_session *s;
    unsigned auths;      /* on this connection so far */
};

struct pair {
    struct end a, b;
    unsigned ready;                     /* ends that are */
    uint64_t sent, answered, delivered; /* messages */
    uint64_t got;                      /* octets of the message being received */
};

struct bench {
    /* what was asked for */
    enum scenario scenario;
    const char *name, *relay, *user, *password, *label;
    struct addr via, listen;
    bool has_via, two_tokens, json, no_failure_report;
    size_t sessions;
    uint64_t size, chunk, count;
    uint32_t window;
    double seconds;
    unsigned reuse;
    pid_t pids[PIDS_MAX];
    size_t n_pids;
    struct mc_tls_opts tls;
    struct mc_opts mc_opts;

    /* what goes on */
    struct loop *loop;
    struct mc mc;
    struct mc_listener *listener;
    char *block;          /* owned: what bodies are cut from */
    struct pair *pairs;   /* owned: messages and bulk */
    struct end *ends;     /* owned: auth and idle */
    size_t opened, ready; /* ends */
    bool is_running, is_stopping, is_hopeless;
    uint64_t sent, answered, delivered, octets, auths, failures, wrong;
    char fault[160];
};

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void note_fault(struct bench *b, const char *what, const char *why)
{
    b->failures++;
    if (!b->fault[0])
        snprintf(b->fault, sizeof b->fault, "%s: %.100s", what, why);
}

/* ---- bodies: message n begins at another place of a random block, which it runs through in circles ---- */

static size_t body_at(uint64_t message, uint64_t pos)
{
    return (size_t)((message * 7919 + pos - 1) % BLOCK);
}

static void body_fill(const struct bench *b, uint64_t message, uint64_t pos, char *p, size_t n)
{
    while (n > 0) {
        size_t at = body_at(message, pos), m = TD_MIN(n, (size_t)BLOCK - at);

        memcpy(p, b->block + at, m);
        p += m;
        pos += m;
        n -= m;
    }
}

static bool body_is_right(const struct bench *b, uint64_t message, uint64_t pos, struct sv bytes)
{
    while (bytes.n > 0) {
        size_t at = body_at(message, pos), m = TD_MIN(bytes.n, (size_t)BLOCK - at);

        if (memcmp(bytes.p, b->block + at, m) != 0)
            return false;
        pos += m;
        bytes = sv_from(bytes, m);
    }
    return true;
}

/* ---- pairs: A sends, B checks and answers ---- */

/* Keep the window full: a message counts until A has its answer and B all of its octets. */
static void pair_fill(struct pair *p)
{
    struct bench *b = p->a.bench;

    while (b->is_running && !b->is_stopping && p->a.s && p->sent - TD_MIN(p->answered, p->delivered) < b->window &&
           (b->count == 0 || b->sent < b->count)) {
        uint64_t message = p->sent++; /* sending may call back */
        struct mc_out what = { .type = "application/octet-stream", .size = b->size, .chunk = b->chunk,
                               .no_failure_report = b->no_failure_report, .user = (void *)(uintptr_t)message };

        b->sent++;
        if (b->size <= MEM_MAX)
            what.mem = b->block + body_at(message, 1); /* the block goes on past its length for that */
        if (!mc_session_send(p->a.s, &what)) {
            note_fault(b, "send", "out of memory");
            return;
        }
    }
}

static long on_pull(struct mc_session *s, struct mc_out *m, char *p, size_t n)
{
    const struct end *e = s->user;

    body_fill(e->bench, (uintptr_t)m->user, m->sent + 1, p, n);
    return (long)n;
}

static void on_out_done(struct mc_session *s, struct mc_out *m, unsigned code, const char *why)
{
    struct end *e = s->user;

    e->pair->answered++;
    e->bench->answered++;
    if (code != 200)
        note_fault(e->bench, "message", why);
    pair_fill(e->pair);
}

static unsigned on_in_begin(struct mc_session *s, struct mc_in *m)
{
    struct end *e = s->user;

    if (!e->pair || e == &e->pair->a)
        return 413;
    e->pair->got = 0;
    return 200;
}

static void on_in_body(struct mc_session *s, struct mc_in *m, uint64_t pos, struct sv bytes)
{
    struct end *e = s->user;

    if (!body_is_right(e->bench, e->pair->delivered, pos, bytes))
        e->bench->wrong++;
    e->pair->got += bytes.n;
    e->bench->octets += bytes.n;
}

static void on_in_done(struct mc_session *s, struct mc_in *m, bool complete)
{
    struct end *e = s->user;

    if (!complete || e->pair->got != e->bench->size)
        e->bench->wrong++;
    e->pair->delivered++;
    e->bench->delivered++;
    pair_fill(e->pair);
}

/* ---- opening ends ---- */

static bool end_open(struct bench *b, struct end *e)
{
    const char *user = b->user ? b->user : "", *password = b->password ? b->password : "";
    int err;

    e->bench = b;
    if (b->relay)
        err = mc_session_new_relay(&e->s, &b->mc, b->relay, user, password, e);
    else
        err = mc_session_new_direct(&e->s, &b->mc, &b->listen, false, e);
    if (err) {
        note_fault(b, "open", td_err_text(err));
        b->is_hopeless = true;
        return false;
    }
    e->s->window = TD_MAX(b->window, (uint32_t)MC_WINDOW);
    return true;
}

/* Both ends are there: A learns where B is. */
static void pair_join(struct pair *p)
{
    struct bench *b = p->a.bench;
    char host[ADDR_TEXT_MAX];
    int err = TD_OK;

    if (!mc_session_set_peer(p->a.s, sv_of(p->b.s->path), b->two_tokens))
        err = TD_ENOMEM;
    else if (!b->relay)
        err = mc_session_dial(p->a.s, addr_host_text(&b->via, host), addr_port(&b->via));
    if (err) {
        note_fault(b, "connect", td_err_text(err));
        b->is_hopeless = true;
    }
}

static struct end *end_at(struct bench *b, size_t i)
{
    if (!b->pairs)
        return &b->ends[i];
    return i % 2 ? &b->pairs[i / 2].b : &b->pairs[i / 2].a;
}

static size_t n_ends(const struct bench *b)
{
    return b->pairs ? 2 * b->sessions : b->sessions;
}

/* So many at a time, else the relay's listen queue is what is measured. */
static void open_more(struct bench *b)
{
    while (!b->is_hopeless && b->opened < n_ends(b) && b->opened - b->ready < RAMP) {
        struct end *e = end_at(b, b->opened++);

        e->pair = b->pairs ? &b->pairs[(b->opened - 1) / 2] : NULL;
        if (!end_open(b, e) || b->relay)
            continue;
        b->ready++;
        if (++e->pair->ready == 2)
            pair_join(e->pair);
    }
}

static void on_authenticated(struct end *e)
{
    struct bench *b = e->bench;
    struct mc_session *old = e->s;
    int err;

    b->auths++;
    if (b->is_stopping)
        return;
    if (++e->auths < b->reuse) {
        err = mc_session_new_beside(&e->s, old, e);
        mc_session_free(&old);
    } else {
        mc_session_free(&e->s);
        e->auths = 0;
        err = end_open(b, e) ? TD_OK : TD_EIO;
    }
    if (err)
        note_fault(b, "AUTH", td_err_text(err));
}

static void on_ready(struct mc_session *s)
{
    struct end *e = s->user;
    struct bench *b = e->bench;

    if (b->scenario == BENCH_AUTH && b->is_running) {
        on_authenticated(e);
        return;
    }
    b->ready++;
    if (e->pair && ++e->pair->ready == 2)
        pair_join(e->pair);
}

static void on_failed(struct mc_session *s, unsigned code, const char *why)
{
    struct end *e = s->user;
    struct bench *b = e->bench;

    note_fault(b, "session", why);
    mc_session_free(&e->s);
    if (!b->is_running)
        b->is_hopeless = true;
    else if (b->scenario == BENCH_AUTH && !b->is_stopping && b->failures < 1000)
        end_open(b, e);
}

static const struct mc_ops ops = {
    .ready = on_ready,
    .failed = on_failed,
    .in_begin = on_in_begin,
    .in_body = on_in_body,
    .in_done = on_in_done,
    .out_pull = on_pull,
    .out_done = on_out_done,
};

/* ---- running ---- */

static bool setup(struct bench *b)
{
    double end = now_s() + SETUP_S;

    while (!b->is_hopeless && b->ready < n_ends(b) && now_s() < end) {
        open_more(b);
        loop_turn(b->loop, 10);
    }
    if (b->ready < n_ends(b) && !b->fault[0])
        note_fault(b, "opening the sessions", "took too long");
    return !b->is_hopeless && b->ready == n_ends(b);
}

static void run_for(struct bench *b, double seconds)
{
    double end = now_s() + seconds;

    while (now_s() < end && (b->count == 0 || b->delivered < b->count))
        loop_turn(b->loop, 10);
}

struct result {
    double seconds;
    uint64_t messages, octets, auths, lost;
    struct proc_cost before, after;
};

static bool cost(struct bench *b, bool with_memory, struct proc_cost *out)
{
    if (b->n_pids == 0) {
        memset(out, 0, sizeof *out);
        return true;
    }
    if (proc_cost(b->pids, b->n_pids, with_memory, out))
        return true;
    note_fault(b, "--pid", "there is no such process (any more)");
    return false;
}

/* Messages, bulk, auth: warm up, then measure. */
static void measure_load(struct bench *b, struct result *r)
{
    uint64_t delivered, octets, auths;
    double start;

    b->is_running = true;
    if (b->scenario == BENCH_AUTH) {
        for (size_t i = 0; i < b->sessions; i++)
            on_authenticated(&b->ends[i]);
    } else {
        for (size_t i = 0; i < b->sessions; i++)
            pair_fill(&b->pairs[i]);
    }
    if (b->count == 0)
        run_for(b, WARM_UP_S_TENTHS / 10.0);
    cost(b, false, &r->before);
    delivered = b->count ? 0 : b->delivered;
    octets = b->count ? 0 : b->octets;
    auths = b->auths;
    start = now_s();
    run_for(b, b->seconds);
    r->seconds = now_s() - start;
    cost(b, false, &r->after);
    r->messages = b->delivered - delivered;
    r->octets = b->octets - octets;
    r->auths = b->auths - auths;
    b->is_stopping = true;
    for (double end = now_s() + DRAIN_S;
         b->pairs && now_s() < end && (b->delivered < b->sent || b->answered < b->sent);)
        loop_turn(b->loop, 10);
    r->lost = b->sent - TD_MIN(b->sent, b->delivered);
}

static void hold(struct bench *b, double seconds)
{
    for (double end = now_s() + seconds; now_s() < end;)
        loop_turn(b->loop, 50);
}

static void close_all(struct bench *b)
{
    for (size_t i = 0; (b->pairs || b->ends) && i < n_ends(b); i++)
        mc_session_free(&end_at(b, i)->s);
    for (int i = 0; i < 50 && !list_is_empty(&b->mc.net.links); i++)
        loop_turn(b->loop, 20);
}

/* ---- telling ---- */

static void print_json(const struct bench *b, const struct result *r)
{
    double cpu = r->after.cpu_s - r->before.cpu_s;
    struct buf label = BUF_INIT;

    for (const char *p = b->label; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_putc(&label, '\\');
        if ((unsigned char)*p >= ' ')
            buf_putc(&label, *p);
    }
    printf("{\"scenario\":\"%s\",\"label\":\"%s\",\"sessions\":%zu,\"size\":%llu,\"chunk\":%llu,\"window\":%u,"
           "\"seconds\":%.3f,"
           "\"messages\":%llu,\"octets\":%llu,\"auths\":%llu,\"lost\":%llu,\"wrong\":%llu,\"failures\":%llu,"
           "\"cpu_s\":%.6f,\"user_s\":%.2f,\"sys_s\":%.2f,\"rss\":%lld,\"pss\":%lld,\"processes\":%zu}\n",
           b->name, buf_sv(&label).p, b->sessions, (unsigned long long)b->size, (unsigned long long)b->chunk, b->window,
           r->seconds, (unsigned long long)r->messages, (unsigned long long)r->octets, (unsigned long long)r->auths,
           (unsigned long long)r->lost, (unsigned long long)b->wrong, (unsigned long long)b->failures, cpu,
           r->after.user_s - r->before.user_s, r->after.sys_s - r->before.sys_s,
           (long long)(r->after.rss - r->before.rss), (long long)(r->after.pss - r->before.pss), r->after.processes);
    buf_fini(&label);
}

static void print_line(const struct bench *b, const struct result *r)
{
    double cpu = r->after.cpu_s - r->before.cpu_s, n;

    printf("%-28s", b->label);
    switch (b->scenario) {
    case BENCH_MESSAGES:
        n = (double)TD_MAX(r->messages, (uint64_t)1);
        printf("%10.0f messages/s", (double)r->messages / r->seconds);
        if (b->n_pids)
            printf(" %8.2f us CPU/message", cpu * 1e6 / n);
        break;
    case BENCH_BULK:
        n = (double)TD_MAX(r->octets, (uint64_t)1) / 1e6;
        printf("%10.0f MB/s", n / r->seconds);
        if (b->n_pids)
            printf(" %8.1f us CPU/MB", cpu * 1e6 / n);
        break;
    case BENCH_AUTH:
        n = (double)TD_MAX(r->auths, (uint64_t)1);
        printf("%10.0f AUTH/s", (double)r->auths / r->seconds);
        if (b->n_pids)
            printf(" %8.1f us CPU/AUTH", cpu * 1e6 / n);
        break;
    case BENCH_IDLE:
        n = (double)b->sessions;
        printf("%10zu sessions", b->sessions);
        if (b->n_pids)
            printf(" %8.0f octets/session resident %8.0f proportional",
                   ((double)r->after.rss - (double)r->before.rss) / n,
                   ((double)r->after.pss - (double)r->before.pss) / n);
        break;
    }
    if (r->lost || b->wrong || b->failures)
        printf("  LOST %llu WRONG %llu FAILED %llu", (unsigned long long)r->lost, (unsigned long long)b->wrong,
               (unsigned long long)b->failures);
    putchar('\n');
}

/* ---- start ---- */

static const char usage[] =
    "usage: msrpbench messages|bulk|auth|idle [OPTION...]\n"
    "  -r, --relay msrp[s]://HOST:PORT -u, --user NAME -w, --password PASSWORD -k, --no-verify\n"
    "  --via ADDRESS:PORT     no relay: A dials this byte forwarder, which must lead to --listen\n"
    "  --listen ADDRESS:PORT  where the B ends listen then (default: a free port; without --via A dials it)\n"
    "  --sessions N   pairs (messages, bulk), connections (auth), sessions (idle)     [1]\n"
    "  --size N       octets of a message              [messages: 200, bulk: 10000000]\n"
    "  --chunk N      octets of a chunk; 0: one chunk a message                       [0]\n"
    "  --window N     messages outstanding a pair            [messages: 16, bulk: 1]\n"
    "  --seconds S    how long to measure, or to hold idle sessions                  [3]\n"
    "  --count N      end after so many messages instead\n"
    "  --reuse N      auth: authentications on one connection                        [1]\n"
    "  --two-tokens   A's requests name A's own token too (RFC 4976), not B's alone\n"
    "  --no-failure-report   messages ask for no answer\n"
    "  --pid PID      a process of the relay (repeatable); its descendants count too\n"
    "  --priorities S GnuTLS priority string\n"
    "  --label TEXT --json\n"
    "exit status: 0 all delivered and right, 1 not, 2 could not start\n";

enum opt { OPT_VIA = 256, OPT_LISTEN, OPT_SESSIONS, OPT_SIZE, OPT_CHUNK, OPT_WINDOW, OPT_SECONDS, OPT_COUNT, OPT_REUSE,
           OPT_TWO_TOKENS, OPT_NO_FAILURE, OPT_PID, OPT_PRIORITIES, OPT_LABEL, OPT_JSON };

static const struct option options[] = {
    { "relay", required_argument, NULL, 'r' },
    { "user", required_argument, NULL, 'u' },
    { "password", required_argument, NULL, 'w' },
    { "no-verify", no_argument, NULL, 'k' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "via", required_argument, NULL, OPT_VIA },
    { "listen", required_argument, NULL, OPT_LISTEN },
    { "sessions", required_argument, NULL, OPT_SESSIONS },
    { "size", required_argument, NULL, OPT_SIZE },
    { "chunk", required_argument, NULL, OPT_CHUNK },
    { "window", required_argument, NULL, OPT_WINDOW },
    { "seconds", required_argument, NULL, OPT_SECONDS },
    { "count", required_argument, NULL, OPT_COUNT },
    { "reuse", required_argument, NULL, OPT_REUSE },
    { "two-tokens", no_argument, NULL, OPT_TWO_TOKENS },
    { "no-failure-report", no_argument, NULL, OPT_NO_FAILURE },
    { "pid", required_argument, NULL, OPT_PID },
    { "priorities", required_argument, NULL, OPT_PRIORITIES },
    { "label", required_argument, NULL, OPT_LABEL },
    { "json", no_argument, NULL, OPT_JSON },
    { NULL, 0, NULL, 0 },
};

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    uint64_t v;

    if (!sv_to_u64(sv_of(text), &v, NULL) || v < min || v > max) {
        fprintf(stderr, "msrpbench: not a number from %llu to %llu: %s\n", (unsigned long long)min,
                (unsigned long long)max, text);
        exit(2);
    }
    return v;
}

static void address(const char *text, struct addr *out)
{
    if (!addr_from_text(out, sv_of(text))) {
        fprintf(stderr, "msrpbench: not ADDRESS:PORT: %s\n", text);
        exit(2);
    }
}

static void read_scenario(struct bench *b, int n, char **words)
{
    static const char *const names[] = { "messages", "bulk", "auth", "idle" };
    size_t i = 0;

    while (n == 1 && i < TD_ARRAY_LEN(names) && strcmp(words[0], names[i]) != 0)
        i++;
    if (n != 1 || i == TD_ARRAY_LEN(names) || (i >= BENCH_AUTH && !b->relay)) {
        fputs(usage, stderr);
        exit(2);
    }
    b->scenario = (enum scenario)i;
    b->name = names[i];
    if (!b->size)
        b->size = i == BENCH_BULK ? 10000000 : 200;
    if (!b->window)
        b->window = i == BENCH_BULK ? 1 : 16;
    if (!b->label)
        b->label = b->name;
}

static void read_options(struct bench *b, int argc, char **argv)
{
    int opt;

    b->mc_opts.algorithm = -1;
    b->sessions = 1;
    b->seconds = 3;
    b->reuse = 1;
    addr_from_host(&b->listen, SV("127.0.0.1"), 0);
    while ((opt = getopt_long(argc, argv, "r:u:w:khV", options, NULL)) != -1) {
        switch (opt) {
        case 'r': b->relay = optarg; break;
        case 'u': b->user = optarg; break;
        case 'w': b->password = optarg; break;
        case 'k': b->tls.no_verify = true; break;
        case 'h': fputs(usage, stdout); exit(0);
        case 'V': puts("msrpbench " PACKAGE_VERSION); exit(0);
        case OPT_VIA: address(optarg, &b->via); b->has_via = true; break;
        case OPT_LISTEN: address(optarg, &b->listen); break;
        case OPT_SESSIONS: b->sessions = (size_t)number(optarg, 1, 1000000); break;
        case OPT_SIZE: b->size = number(optarg, 1, INT64_MAX / 2); break;
        case OPT_CHUNK: b->chunk = number(optarg, 0, INT64_MAX / 2); break;
        case OPT_WINDOW: b->window = (uint32_t)number(optarg, 1, 65536); break;
        case OPT_SECONDS: b->seconds = (double)number(optarg, 1, 86400); break;
        case OPT_COUNT: b->count = number(optarg, 1, INT64_MAX / 2); break;
        case OPT_REUSE: b->reuse = (unsigned)number(optarg, 1, 1000000); break;
        case OPT_TWO_TOKENS: b->two_tokens = true; break;
        case OPT_NO_FAILURE: b->no_failure_report = true; break;
        case OPT_PID:
            if (b->n_pids < PIDS_MAX)
                b->pids[b->n_pids++] = (pid_t)number(optarg, 1, INT32_MAX);
            break;
        case OPT_PRIORITIES: b->tls.priorities = optarg; break;
        case OPT_LABEL: b->label = optarg; break;
        case OPT_JSON: b->json = true; break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    read_scenario(b, argc - optind, argv + optind);
}

static int prepare(struct bench *b, struct buf *fault)
{
    struct rlimit files;
    int err;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    err = loop_new(&b->loop);
    if (!err)
        err = mc_init(&b->mc, b->loop, &ops, &b->mc_opts, &b->tls, fault);
    if (err)
        return err;
    b->block = malloc(BLOCK + MEM_MAX);
    if (b->scenario <= BENCH_BULK)
        b->pairs = calloc(b->sessions, sizeof *b->pairs);
    else
        b->ends = calloc(b->sessions, sizeof *b->ends);
    if (!b->block || (!b->pairs && !b->ends))
        return TD_ENOMEM;
    rng_bytes(&b->mc.net.rng, b->block, BLOCK);
    memcpy(b->block + BLOCK, b->block, MEM_MAX);
    if (b->relay)
        return TD_OK;
    err = mc_listener_new(&b->listener, &b->mc.net, &b->listen, false);
    if (!err && !b->has_via)
        b->via = b->listen;
    return err;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct buf fault = BUF_INIT;
    struct result r = { 0 };
    int status = 2, err;

    read_options(&b, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    err = prepare(&b, &fault);
    if (err) {
        fprintf(stderr, "msrpbench: %s\n", fault.n ? fault.p : td_err_text(err));
        goto out;
    }
    if (!cost(&b, true, &r.before) || !setup(&b)) {
        fprintf(stderr, "msrpbench: %s\n", b.fault);
        goto out;
    }
    if (b.scenario == BENCH_IDLE) {
        b.is_running = true;
        hold(&b, TD_MAX(b.seconds, (double)SETTLE_S));
        cost(&b, true, &r.after);
    } else {
        measure_load(&b, &r);
    }
    if (b.json)
        print_json(&b, &r);
    else
        print_line(&b, &r);
    if (b.fault[0])
        fprintf(stderr, "msrpbench: %s\n", b.fault);
    status = r.lost || b.wrong || b.failures;
out:
    close_all(&b);
    mc_listener_free(&b.listener);
    if (b.mc.ops)
        mc_fini(&b.mc);
    loop_free(&b.loop);
    free(b.pairs);
    free(b.ends);
    free(b.block);
    buf_fini(&fault);
    return status;
}
