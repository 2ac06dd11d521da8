/* relay-faults: conversations through a relay over connections that break, and the question whether anything was lost.
 *
 *     relay-faults --relay HOST:PORT --seed N [--messages N | --every-byte] ...
 *
 * A conversation has two ends, each behind a proxy (proxy.h) with a plan of what goes wrong. By random: many conversations at a time
 * until enough messages were sent. By the byte: each exchange of a list is first run in peace, which counts its bytes,
 * then once for each byte and way to break there. The ledger of each conversation is judged when nothing moves any more; the first
 * fault is printed with the seed and the number of its conversation, which --only replays. Exit status 0: no fault. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "common/err.h"
#include "tests/faults/script.h"

enum {
    TICK_MS = 20,
    QUIET_MS = 60,
    TO_BREAK_MS = 1000,
    AT_ONCE_MAX = 512,
    FAULTS_SHOWN = 5,
};

struct run;

enum phase { PHASE_SETUP, PHASE_HELLO, PHASE_TALK };

struct talk {
    struct run *run; /* back */
    struct list node;
    unsigned number;
    struct script script;
    struct end ends[2];
    enum phase phase;
    uint64_t begun_ms, moved_ms;
    char fault[200];
    uint64_t bytes[2][2]; /* that passed, once it is over */
};

struct totals {
    uint64_t talks, messages, octets, whole, refused, told, success, cuts, late;
};

struct run {
    struct loop *loop;
    struct mc_net net;
    struct mc_tls_opts tls_opts;
    bool has_tls;
    struct addr relay;
    struct mc_listener *listener[2]; /* plain, TLS */
    struct addr listener_at[2];
    uint64_t seed;
    uint64_t want_messages, planned_messages;
    uint64_t response_ms, patience_ms;
    unsigned at_once, next, only;
    bool every_byte;
    unsigned stride, one_in;
    char *user[2], *password[2];
    struct list talks;
    unsigned n_talks;
    struct wheel_timer tick;
    struct totals sum;
    unsigned n_faults;
    bool (*next_script)(struct run *r, struct script *s);
    /* by the byte */
    size_t exchange, n_cases, at_case;
    struct cut_case *cases; /* owned */
    bool measuring;
};

struct cut_case {
    uint8_t end, pipe, cut;
    uint64_t at;
};

/* ---- which script is next ---- */

static bool next_random(struct run *r, struct script *s)
{
    if (r->only && r->next > r->only)
        return false;
    if (r->only)
        r->next = r->only;
    else if (r->planned_messages >= r->want_messages)
        return false;
    script_random(s, r->seed, r->next, r->has_tls);
    r->planned_messages += (s->n_messages[0] + s->n_messages[1]) /
                           (s->plan[0][0].cut || s->plan[1][0].cut || s->plan[0][1].cut || s->plan[1][1].cut ? 2 : 1);
    return true;
}

/* The exchange in peace has passed so many bytes: break it at each of them. */
static void make_cases(struct run *r, const struct talk *t)
{
    size_t cap = 0;

    free(r->cases);
    r->cases = NULL;
    r->n_cases = 0;
    r->at_case = (size_t)(r->seed % r->one_in);
    for (int end = 0; end < 2; end++)
        for (int pipe = 0; pipe < 2; pipe++)
            cap += 3 * (t->bytes[end][pipe] + 2);
    r->cases = calloc(cap, sizeof *r->cases);
    if (!r->cases)
        abort();
    for (int end = 0; end < 2; end++)
        for (int pipe = 0; pipe < 2; pipe++)
            for (uint64_t at = 0; at <= t->bytes[end][pipe]; at++) {
                /* Within a long body one place is like another. */
                bool inside = at > 600 && at + 600 < t->bytes[end][pipe];

                if (inside && at % r->stride)
                    continue;
                r->cases[r->n_cases++] = (struct cut_case){ (uint8_t)end, (uint8_t)pipe, CUT_RESET, at };
                if (pipe == PIPE_UP && at % 3 == r->seed % 3)
                    r->cases[r->n_cases++] = (struct cut_case){ (uint8_t)end, (uint8_t)pipe, CUT_HALF, at };
            }
}

static bool next_by_byte(struct run *r, struct script *s)
{
    if (r->measuring)
        return false; /* until it is over */
    if (r->cases && r->at_case == r->n_cases) {
        if (r->n_talks)
            return false;
        free(r->cases);
        r->cases = NULL;
        r->exchange++;
    }
    if (r->exchange == SCRIPT_EXCHANGES)
        return false;
    script_exchange(s, r->exchange);
    if (!r->cases) {
        r->measuring = true;
        return true;
    }
    s->plan[r->cases[r->at_case].end][r->cases[r->at_case].pipe].cut = (enum proxy_cut)r->cases[r->at_case].cut;
    s->plan[r->cases[r->at_case].end][r->cases[r->at_case].pipe].cut_at = r->cases[r->at_case].at;
    r->at_case = TD_MIN(r->at_case + r->one_in, r->n_cases);
    return true;
}

/* ---- a conversation ---- */

static void talk_fault(struct talk *t, const char *what)
{
    if (!t->fault[0])
        snprintf(t->fault, sizeof t->fault, "%s", what);
}

static void show_fault(struct talk *t, const char *what, const struct message *m)
{
    static const char *const kinds[] = { "client", "dials", "listens" }, *const cuts[] = { "", " reset", " close",
                                                                                           " half-close" };
    struct buf b = BUF_INIT;

    if (++t->run->n_faults > FAULTS_SHOWN)
        return;
    if (t->run->every_byte)
        buf_printf(&b, "FAULT in `%s`: %s\n", script_exchange_name(t->run->exchange), what);
    else
        buf_printf(&b, "FAULT: %s\n  replay: --seed %" PRIu64 " --only %u\n", what, t->run->seed, t->number);
    for (int i = 0; i < 2; i++) {
        const struct end *e = &t->ends[i];

        buf_printf(&b, "  end %d %s %s%s %s sent %zu/%zu messages\n", i, kinds[e->kind], e->tls ? "TLS" : "plain",
                   e->broken ? " broken" : "", e->uri, e->at_message, e->n_messages);
        for (int pipe = 0; pipe < 2; pipe++)
            buf_printf(&b,
                       "    %s: passed %" PRIu64 " pieces of %u from %" PRIu64 ", stall %u ms at %" PRIu64
                       ",%s at %" PRIu64 "\n",
                       pipe ? "down" : "up", e->proxy.half[pipe].passed - e->proxy.half[pipe].base,
                       t->script.plan[i][pipe].piece, t->script.plan[i][pipe].pieces_from,
                       t->script.plan[i][pipe].stall_ms, t->script.plan[i][pipe].stall_at,
                       cuts[t->script.plan[i][pipe].cut], t->script.plan[i][pipe].cut_at);
    }
    if (m)
        message_show(&b, m);
    fwrite(b.p, 1, b.n, stdout);
    fflush(stdout);
    buf_fini(&b);
}

/* The first fault of a message, which may only mean that not all has come yet. */
static const char *ledger_fault(struct talk *t, const struct message **which)
{
    for (int i = 0; i < 2; i++) {
        struct end *e = &t->ends[i];
        struct circumstances c = { e->broken, t->ends[!i].broken, t->run->response_ms };

        for (size_t k = 0; k < e->n_messages; k++) {
            const char *fault = message_fault(&e->messages[k], &c);

            *which = &e->messages[k];
            if (fault)
                return fault;
        }
        *which = NULL;
        if (!e->broken && t->phase == PHASE_TALK && e->at_message < e->n_messages)
            return "an end could not send all it has: the relay does not read";
    }
    return t->phase == PHASE_TALK || t->ends[0].broken || t->ends[1].broken ? NULL : "no conversation came about";
}

static void count(struct talk *t)
{
    struct totals *sum = &t->run->sum;

    sum->talks++;
    for (int i = 0; i < 2; i++) {
        struct end *e = &t->ends[i];

        sum->cuts += e->broken;
        for (size_t k = 0; k < e->n_messages; k++) {
            struct message *m = &e->messages[k];

            sum->messages += message_has_begun(m);
            sum->whole += m->is_whole;
            sum->told += m->n_told;
            sum->success += m->success_heard;
            for (size_t j = 0; j < m->n_chunks; j++)
                sum->refused += m->chunks[j].code >= 300;
            for (size_t j = 0; j < m->n_pieces; j++)
                sum->octets += m->pieces[j].n;
        }
    }
}

static void talk_end(struct talk *t)
{
    struct run *r = t->run;

    count(t);
    for (int i = 0; i < 2; i++)
        for (int pipe = 0; pipe < 2; pipe++)
            t->bytes[i][pipe] = t->ends[i].proxy.half[pipe].passed - t->ends[i].proxy.half[pipe].base;
    if (r->measuring) {
        r->measuring = false;
        make_cases(r, t);
    }
    for (int i = 0; i < 2; i++) {
        end_stop(&t->ends[i]);
        free(t->script.messages[i]);
    }
    list_remove(&t->node);
    r->n_talks--;
    free(t);
}

static void arm(struct talk *t)
{
    for (int i = 0; i < 2; i++)
        proxy_arm(&t->ends[i].proxy, &t->script.plan[i][PIPE_UP], &t->script.plan[i][PIPE_DOWN]);
}

static void begin_talk(struct talk *t)
{
    t->phase = PHASE_TALK;
    if (!t->script.from_start)
        arm(t);
    for (int i = 0; i < 2; i++) {
        t->ends[i].n_allowed = t->ends[i].n_messages;
        end_pump(&t->ends[i]);
    }
}

/* The end whose first message makes the way for all others: a foreign endpoint that dials is known by its first SEND
 * (M-CON-07), one that listens is dialled for the client's. */
static struct end *opener(struct talk *t)
{
    switch (t->ends[1].kind) {
    case END_CLIENT:
        break;
    case END_DIALS:
        return &t->ends[1];
    case END_LISTENS:
        return &t->ends[0];
    }
    return NULL;
}

static void on_ready(struct end *e)
{
    struct talk *t = e->arg;

    t->moved_ms = loop_now_ms(t->run->loop);
    if (t->phase != PHASE_SETUP || !t->ends[0].is_ready || (!t->ends[1].is_ready && t->ends[1].kind != END_LISTENS))
        return;
    end_introduce(&t->ends[0], &t->ends[1]);
    if (!opener(t)) {
        begin_talk(t);
        return;
    }
    t->phase = PHASE_HELLO;
    opener(t)->n_allowed = 1;
    end_pump(opener(t));
}

static void on_moved(struct end *e)
{
    struct talk *t = e->arg;

    t->moved_ms = loop_now_ms(t->run->loop);
    if (t->phase == PHASE_HELLO && e->peer == opener(t) && opener(t)->messages[0].is_whole)
        begin_talk(t);
}

static void on_fault(struct end *e, const char *what)
{
    talk_fault(e->arg, what);
}

static const struct end_ops talk_ops = { on_ready, on_fault, on_moved };

static const struct message hello = { .size = 5, .has_body = true, .has_range = true, .chunk_max = 4096 };

static void give_messages(struct talk *t, int i)
{
    struct end *e = &t->ends[i];
    bool greets = opener(t) == e;
    size_t n = t->script.n_messages[i];

    e->messages = calloc(n + 1, sizeof *e->messages);
    if (!e->messages)
        abort();
    if (greets)
        e->messages[e->n_messages++] = hello;
    for (size_t k = 0; k < n; k++)
        e->messages[e->n_messages++] = t->script.messages[i][k];
    for (size_t k = 0; k < e->n_messages; k++)
        snprintf(e->messages[k].id, sizeof e->messages[k].id, "m%06x.%u.%02zx", t->number & 0xffffff, (unsigned)i, k);
}

static bool talk_start(struct run *r, const struct script *s)
{
    struct talk *t = calloc(1, sizeof *t);

    if (!t)
        abort();
    t->run = r;
    t->script = *s;
    t->number = r->next++;
    t->begun_ms = t->moved_ms = loop_now_ms(r->loop);
    list_append(&r->talks, &t->node);
    r->n_talks++;
    for (int i = 0; i < 2; i++) {
        struct end *e = &t->ends[i];

        e->ops = &talk_ops;
        e->arg = t;
        e->peer = &t->ends[!i];
        e->kind = s->kind[i];
        e->tls = s->tls[i];
        e->serial = t->number;
        e->index = (unsigned)i;
        e->user = r->user[i];
        e->password = r->password[i];
        e->net = &r->net;
    }
    for (int i = 0; i < 2; i++)
        give_messages(t, i);
    for (int i = 0; i < 2; i++)
        if (!end_start(&t->ends[i], r->loop, &r->relay, &r->listener_at[s->tls[i]])) {
            fprintf(stderr, "relay-faults: out of sockets\n");
            return false;
        }
    if (s->from_start)
        arm(t);
    return true;
}

static bool start_more(struct run *r)
{
    while (r->n_talks < r->at_once && r->n_faults < FAULTS_SHOWN) {
        struct script s;

        memset(&s, 0, sizeof s);
        if (!r->next_script(r, &s))
            break;
        if (!talk_start(r, &s))
            return false;
    }
    return true;
}

/* Has its path still to break? */
static bool is_to_break(const struct talk *t)
{
    bool is = false;

    for (int i = 0; i < 2; i++)
        for (int pipe = 0; pipe < 2; pipe++)
            is |= t->ends[i].proxy.half[pipe].plan.cut != CUT_NEVER;
    return is && !t->ends[0].broken && !t->ends[1].broken;
}

static void on_tick(struct wheel_timer *timer)
{
    struct run *r = TD_CONTAINER_OF(timer, struct run, tick);
    uint64_t now = loop_now_ms(r->loop);

    list_each_safe(node, &r->talks) {
        struct talk *t = list_item(node, struct talk, node);
        const struct message *which = NULL;
        const char *fault = t->fault[0] ? t->fault : NULL;

        if (!fault && now - t->moved_ms < (r->every_byte && is_to_break(t) ? TO_BREAK_MS : QUIET_MS))
            continue;
        if (!fault)
            fault = ledger_fault(t, &which);
        if (fault && !t->fault[0] && now - t->moved_ms < r->patience_ms)
            continue;
        if (fault)
            show_fault(t, fault, which);
        talk_end(t);
    }
    if (!start_more(r) || !r->n_talks)
        loop_stop(r->loop);
    else
        loop_timer_start(r->loop, &r->tick, TICK_MS);
}

/* ---- the program ---- */

static const char usage[] =
    "usage: relay-faults --relay HOST:PORT --user NAME:PASSWORD --user NAME:PASSWORD [OPTION]...\n"
    "  --seed N             what happens (default: the time of day)\n"
    "  --messages N         by random, until so many were sent (default 10000)\n"
    "  --every-byte         break a list of exchanges at each byte instead\n"
    "  --stride N           within long bodies at each Nth byte (default 61)\n"
    "  --one-in N           only each Nth of those places, beginning with the seed\n"
    "  --only N             conversation N of this seed alone\n"
    "  --at-once N          conversations side by side (default 64)\n"
    "  --response-timeout S the relay's msrp.response_timeout\n"
    "  --patience S         what is missing after so long without a sound is lost\n"
    "  --certificate FILE --key FILE   to be a TLS server; without them all is plain\n";

static uint64_t number(const char *text)
{
    uint64_t n;

    if (!sv_to_u64(sv_of(text), &n, NULL)) {
        fputs(usage, stderr);
        exit(2);
    }
    return n;
}

static void read_options(struct run *r, int argc, char **argv)
{
    static const struct option options[] = {
        { "relay", 1, NULL, 'r' },      { "user", 1, NULL, 'u' },
        { "seed", 1, NULL, 's' },       { "messages", 1, NULL, 'm' },
        { "every-byte", 0, NULL, 'b' }, { "stride", 1, NULL, 't' },
        { "one-in", 1, NULL, 'i' },     { "only", 1, NULL, 'o' },
        { "at-once", 1, NULL, 'a' },    { "response-timeout", 1, NULL, 'R' },
        { "patience", 1, NULL, 'p' },   { "certificate", 1, NULL, 'c' },
        { "key", 1, NULL, 'k' },        { NULL, 0, NULL, 0 },
    };
    int c, users = 0;
    char *colon;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'r':
            if (!addr_from_text(&r->relay, sv_of(optarg)))
                number("");
            break;
        case 'u':
            colon = strrchr(optarg, ':');
            if (!colon || users == 2)
                number("");
            *colon = '\0';
            r->user[users] = optarg;
            r->password[users++] = colon + 1;
            break;
        case 's':
            r->seed = number(optarg);
            break;
        case 'm':
            r->want_messages = number(optarg);
            break;
        case 'b':
            r->every_byte = true;
            break;
        case 't':
            r->stride = (unsigned)TD_MAX(number(optarg), (uint64_t)1);
            break;
        case 'i':
            r->one_in = (unsigned)TD_MAX(number(optarg), (uint64_t)1);
            break;
        case 'o':
            r->only = (unsigned)number(optarg);
            break;
        case 'a':
            r->at_once = (unsigned)TD_MIN(number(optarg), (uint64_t)AT_ONCE_MAX);
            break;
        case 'R':
            r->response_ms = number(optarg) * 1000;
            break;
        case 'p':
            r->patience_ms = number(optarg) * 1000;
            break;
        case 'c':
            r->tls_opts.certificate = optarg;
            break;
        case 'k':
            r->tls_opts.private_key = optarg;
            break;
        default:
            number("");
        }
    }
    if (users != 2 || addr_port(&r->relay) == 0)
        number("");
}

static bool prepare(struct run *r)
{
    struct buf fault = BUF_INIT;
    struct rlimit files;
    int err;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    err = loop_new(&r->loop);
    if (!err)
        err = mc_net_init(&r->net, r->loop, &end_link_ops, &r->tls_opts, &fault);
    r->has_tls = r->tls_opts.certificate != NULL;
    for (int i = 0; i < 2 && !err; i++) {
        addr_from_host(&r->listener_at[i], SV("127.0.0.1"), 0);
        if (!i || r->has_tls)
            err = mc_listener_new(&r->listener[i], &r->net, &r->listener_at[i], i);
    }
    if (err)
        fprintf(stderr, "relay-faults: %s\n", fault.n ? fault.p : td_err_text(err));
    buf_fini(&fault);
    return !err;
}

int main(int argc, char **argv)
{
    static struct run r = { .want_messages = 10000,
                            .at_once = 64,
                            .stride = 61,
                            .one_in = 1,
                            .response_ms = 30000,
                            .patience_ms = 45000,
                            .next = 1 };
    struct timespec t0, t1;
    double took;

    r.tls_opts.no_verify = true;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    r.seed = (uint64_t)time(NULL) % 1000000;
    read_options(&r, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (!prepare(&r))
        return 2;
    ledger_init(r.seed);
    list_init(&r.talks);
    r.next_script = r.every_byte ? next_by_byte : next_random;
    wheel_timer_init(&r.tick, on_tick);
    printf("seed %" PRIu64 "\n", r.seed);
    fflush(stdout);
    loop_timer_start(r.loop, &r.tick, TICK_MS);
    if (start_more(&r))
        loop_run(r.loop);
    while (!list_is_empty(&r.talks))
        talk_end(list_item(r.talks.next, struct talk, node));
    clock_gettime(CLOCK_MONOTONIC, &t1);
    took = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    printf("%" PRIu64 " messages in %" PRIu64 " conversations, %" PRIu64 " connections broken; %" PRIu64
           " whole, %" PRIu64 " refused, %" PRIu64 " failure and %" PRIu64
           " success REPORTs, %.1f MB in %.1f s; %u faults\n",
           r.sum.messages, r.sum.talks, r.sum.cuts, r.sum.whole, r.sum.refused, r.sum.told, r.sum.success,
           (double)r.sum.octets / 1e6, took, r.n_faults);
    for (int i = 0; i < 2; i++)
        mc_listener_free(&r.listener[i]);
    mc_net_fini(&r.net);
    loop_free(&r.loop);
    free(r.cases);
    return r.n_faults ? 1 : 0;
}
