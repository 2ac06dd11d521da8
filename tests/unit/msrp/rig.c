/* The test's own relay, clock and peers. */
#include "tests/unit/msrp/rig.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "db/cred.h"
#include "db/query.h"

/* ---- the clock: these take the place of the C library's for the whole program ---- */

static uint64_t ahead_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int err = (int)syscall(SYS_clock_gettime, id, ts);
    uint64_t ns = (uint64_t)ts->tv_nsec + ahead_ms % 1000 * 1000000;

    ts->tv_sec += (time_t)(ahead_ms / 1000 + ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
    return err;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}

/* ---- the authenticator: the verdict is the test's ---- */

static struct rig *authn_rig;

struct authn_req *authn_msrp(struct authn *a, struct sv uri, struct sv headers, authn_cb *cb, void *arg)
{
    struct rig *r = authn_rig;
    struct authn_result result = {
        .verdict = r->verdict,
        .headers = r->verdict == AUTHN_CHALLENGE ? SV("WWW-Authenticate: Digest realm=\"x\"\r\n") : sv_make(NULL, 0),
        .username = sv_of(r->user),
        .realm = SV("tandem.example"),
        .had_credentials = r->had_credentials,
        .stale = r->stale,
    };

    cb(&result, arg);
    return NULL;
}

void authn_cancel(struct authn_req *req)
{
}

void authn_msrp_given(struct authn *a, struct sv uri, struct sv headers, struct sv realm, const struct db_cred *cred, authn_cb *cb,
                      void *arg)
{
    authn_msrp(a, uri, headers, cb, arg);
}

bool authn_password(struct sv headers, struct sv realm, struct sv password, bool is_ha1, struct db_cred *out)
{
    memset(out, 0, sizeof *out);
    return true;
}

struct sv authn_realm(const struct authn *a)
{
    return SV("tandem.example");
}

int authn_fetch(struct authn *a, struct sv headers, struct db_cred *out, void (*done)(int err, const struct db_cred *cred, void *arg),
                void *arg, struct db_cred_req **req)
{
    struct rig *r = authn_rig;

    memset(out, 0, sizeof *out);
    if (!r->fetch_later)
        return 1;
    r->fetched = done;
    r->fetched_arg = arg;
    *req = (struct db_cred_req *)(void *)r;
    return 0;
}

void db_cred_cancel(struct db_cred_req *req)
{
    authn_rig->fetched = NULL;
}

/* ---- the database, as KSR.sqlops asks it ---- */

int db_query_start(struct db *db, struct sv sql, const struct db_param *params, size_t n, struct mailbox *mb,
                   void (*done)(int err, const char *why, struct db_rows *rows, void *arg), void *arg, struct db_query **out)
{
    struct rig *r = authn_rig;

    r->queried = done;
    r->queried_arg = arg;
    *out = (struct db_query *)(void *)r;
    return 0;
}

void db_query_cancel(struct db_query *q)
{
    authn_rig->queried = NULL;
}

/* ---- life ---- */

void rig_start(struct rig *r, const char *option)
{
    char *options[] = { (char *)(uintptr_t) "msrp.use_path_addr=edge.tandem.example:5061",
                        (char *)(uintptr_t) "msrp.require_tls=no", (char *)(uintptr_t) "msrp.forward_to=loopback",
                        (char *)(uintptr_t)option };
    struct buf faults = BUF_INIT;

    memset(r, 0, sizeof *r);
    r->listen_fd = -1;
    r->user = "alice";
    r->verdict = AUTHN_OK;
    r->had_credentials = true;
    authn_rig = r;
    CHECK_FATAL(conf_load(&r->conf, NULL, options, option ? 4 : 3, &faults) == 0);
    CHECK_FATAL(relay_shared_new(&r->shared, r->conf, RIG_WORKERS, NULL, &faults) == 0);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        CHECK_FATAL(worker_init(&r->workers[i], i, &r->next_id) == 0);
        CHECK_FATAL(relay_new(&r->relays[i], r->shared, &r->workers[i], (struct authn *)(void *)r) == 0);
        CHECK_FATAL(addr_from_host(&r->at[i], SV("127.0.0.1"), 0));
        CHECK_FATAL(listener_new(&r->listeners[i], &r->workers[i], &r->at[i], PORT_TCP | PORT_TLS, PORT_MSRP) == 0);
        CHECK_FATAL(relay_listens(r->shared, &r->at[i]) == 0);
    }
    buf_fini(&faults);
    snprintf(r->var['E'], RIG_VAR_MAX, "edge.tandem.example:5061");
    snprintf(r->var['N'], RIG_VAR_MAX, "msrp://edge.tandem.example:5061/AAAAAAAAAAAAAAAAAAAAAA;tcp");
}

struct tlsio_server *rig_identity(struct rig *r, const char *name, const char *san, unsigned flags)
{
    struct tlsio_settings set = { .certificate = "",
                                  .private_key = "",
                                  .priorities = r->conf->tls.priorities,
                                  .client_certificate = CLIENT_CERT_OPTIONAL };
    struct buf faults = BUF_INIT;
    struct tlsio_server **out = &r->identities[r->n_identities++];
    char certificate[256], key[256], root[256], file[64];

    CHECK_FATAL(r->n_identities <= RIG_IDENTITIES);
    snprintf(root, sizeof root, "%s", certs_path(r->certs, "ca.pem"));
    set.ca_file = root;
    if (san) {
        certs_issue(r->certs, name, san, flags);
        snprintf(file, sizeof file, "%s.pem", name);
        snprintf(certificate, sizeof certificate, "%s", certs_path(r->certs, file));
        snprintf(file, sizeof file, "%s.key", name);
        snprintf(key, sizeof key, "%s", certs_path(r->certs, file));
        set.certificate = certificate;
        set.private_key = key;
    }
    CHECK_FATAL(tlsio_server_new(out, &set, &faults) == 0);
    return *out;
}

void rig_start_tls(struct rig *r, const char *option)
{
    rig_start(r, option);
    r->certs = certs_new();
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        r->workers[i].tls = i ? r->identities[0] : rig_identity(r, "edge", "dns:edge.tandem.example", 0);
}

void rig_stop(struct rig *r)
{
    for (size_t i = 0; i < r->n_peers; i++) {
        peer_close(&r->peers[i]);
        tlsio_free(&r->peers[i].tls);
        buf_fini(&r->peers[i].cipher);
        buf_fini(&r->peers[i].got);
    }
    if (r->listen_fd >= 0)
        close(r->listen_fd);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        relay_stop(r->relays[i]);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        conn_close_all(&r->workers[i], CLOSE_STOP);
    rig_turn(r);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        listener_free(&r->listeners[i]);
        worker_fini(&r->workers[i]);
    }
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        relay_free(&r->relays[i]);
    relay_shared_free(&r->shared);
    conf_free(&r->conf);
    for (size_t i = 0; i < r->n_identities; i++)
        tlsio_server_free(&r->identities[i]);
    if (r->certs)
        certs_free(&r->certs);
}

void rig_turn(struct rig *r)
{
    for (int i = 0; i < 6; i++)
        for (unsigned w = 0; w < RIG_WORKERS; w++)
            loop_turn(r->workers[w].loop, 0);
}

void rig_wait(struct rig *r, int wait_ms)
{
    for (unsigned w = 0; w < RIG_WORKERS; w++)
        loop_turn(r->workers[w].loop, wait_ms);
}

void rig_pass(struct rig *r, uint64_t ms)
{
    rig_turn(r);
    while (ms) {
        uint64_t step = TD_MIN(ms, (uint64_t)1000);

        ahead_ms += step;
        ms -= step;
        rig_wait(r, 0);
    }
    rig_turn(r);
}

int64_t rig_stat(struct rig *r, enum stat_id id)
{
    uint64_t sum = 0; /* a gauge may be below zero on one worker and above on another */

    for (unsigned w = 0; w < RIG_WORKERS; w++)
        sum += stats_get(&r->workers[w].stats, id);
    return (int64_t)sum;
}

size_t rig_longest_queue(struct rig *r)
{
    size_t most = 0;

    for (unsigned w = 0; w < RIG_WORKERS; w++)
        list_each(node, &r->workers[w].conns)
            most = TD_MAX(most, conn_queued(list_item(node, struct conn, all_node)));
    return most;
}

/* ---- peers ---- */

static struct peer *new_peer(struct rig *r, int fd)
{
    struct peer *p = NULL;
    int one = 1;

    CHECK_FATAL(fd >= 0);
    if (r->n_peers < RIG_PEERS)
        p = &r->peers[r->n_peers++];
    for (size_t i = 0; i < RIG_PEERS && !p; i++)
        if (r->peers[i].fd < 0 && !r->peers[i].tls)
            p = &r->peers[i]; /* of one that was closed */
    CHECK_FATAL(p != NULL);
    buf_fini(&p->got);
    *p = (struct peer){ .rig = r, .fd = fd, .cipher = BUF_INIT, .got = BUF_INIT };
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return p;
}

struct peer *rig_peer(struct rig *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned w = r->n_connected++ % RIG_WORKERS;
    struct peer *p;

    CHECK_FATAL(fd >= 0 && connect(fd, &r->at[w].sa, addr_len(&r->at[w])) == 0);
    rig_turn(r);
    p = new_peer(r, fd);
    p->worker = &r->workers[w];
    return p;
}

static void on_cipher(void *arg, const void *p, size_t n)
{
    buf_add(&((struct peer *)arg)->cipher, p, n);
}

static void flush_cipher(struct peer *p)
{
    while (p->cipher.n) {
        ssize_t n = send(p->fd, p->cipher.p, p->cipher.n, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n <= 0)
            return;
        buf_drop_front(&p->cipher, (size_t)n);
    }
}

struct peer *rig_peer_tls(struct rig *r, struct tlsio_server *identity)
{
    struct peer *p = rig_peer(r);

    CHECK_FATAL(tlsio_dial(&p->tls, identity, "edge.tandem.example", TLSIO_VERIFY_HOST, on_cipher, p) == 0);
    return p;
}

struct peer *rig_accept_tls(struct rig *r, struct tlsio_server *identity)
{
    struct peer *p = rig_accept(r);

    if (p)
        CHECK_FATAL(tlsio_accept(&p->tls, identity, on_cipher, p) == 0);
    return p;
}

void rig_listen(struct rig *r, char name, int receive_buffer)
{
    struct addr at;
    socklen_t len = sizeof at;

    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_FATAL(r->listen_fd >= 0 && addr_from_host(&at, SV("127.0.0.1"), 0));
    if (receive_buffer)
        setsockopt(r->listen_fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    CHECK_FATAL(bind(r->listen_fd, &at.sa, addr_len(&at)) == 0 && listen(r->listen_fd, 8) == 0);
    CHECK_FATAL(getsockname(r->listen_fd, &at.sa, &len) == 0);
    snprintf(r->var[(int)name], RIG_VAR_MAX, "msrp://127.0.0.1:%u/f0;tcp", addr_port(&at));
}

struct peer *rig_accept(struct rig *r)
{
    int fd = -1;

    for (int i = 0; i < 20 && fd < 0; i++) {
        rig_wait(r, 1);
        fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    }
    rig_turn(r);
    return fd < 0 ? NULL : new_peer(r, fd);
}

void peer_close(struct peer *p)
{
    if (p->fd < 0)
        return;
    close(p->fd);
    p->fd = -1;
    rig_turn(p->rig);
}

void peer_reset(struct peer *p)
{
    struct linger now = { 1, 0 };

    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    peer_close(p);
}

/* ---- saying ---- */

static void say_by_tls(struct peer *p, const char *bytes, size_t n)
{
    for (int i = 0; i < 2000 && tlsio_state(p->tls) == TLSIO_HANDSHAKING && !p->ended; i++) {
        rig_turn(p->rig);
        peer_read(p, 65536);
    }
    CHECK_FATAL(tlsio_state(p->tls) == TLSIO_UP);
    CHECK_FATAL(tlsio_output(p->tls, bytes, n) == 0);
    for (int i = 0; i < 2000 && p->cipher.n; i++) {
        flush_cipher(p);
        rig_turn(p->rig);
    }
    CHECK_FATAL(p->cipher.n == 0);
    rig_turn(p->rig);
}

void say_bytes(struct peer *p, const void *bytes, size_t n)
{
    size_t at = 0;

    if (p->tls) {
        say_by_tls(p, bytes, n);
        return;
    }

    for (int idle = 0; at < n && idle < 2000;) {
        ssize_t sent = send(p->fd, (const char *)bytes + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            at += (size_t)sent;
            idle = 0;
        } else {
            idle++;
        }
        rig_wait(p->rig, idle > 50);
    }
    CHECK_FATAL(at == n);
    rig_turn(p->rig);
}

static void expand(struct rig *r, struct buf *out, const char *t)
{
    for (; *t; t++)
        if (*t == '\n') {
            buf_puts(out, "\r\n");
        } else if (*t == '%' && *++t != '%') {
            CHECK_FATAL(r->var[(int)*t][0] != '\0');
            buf_puts(out, r->var[(int)*t]);
        } else {
            buf_putc(out, *t);
        }
}

void say(struct peer *p, const char *template)
{
    struct buf b = BUF_INIT;

    expand(p->rig, &b, template);
    say_bytes(p, b.p, b.n);
    buf_fini(&b);
}

void say_auth(struct peer *p, char client, char token)
{
    say_auth_for(p, client, token, 0);
}

void say_auth_for(struct peer *p, char client, char token, int expires_s)
{
    struct heard h;
    struct sv uri;
    char text[300], expires[32] = "";

    if (expires_s)
        snprintf(expires, sizeof expires, "Expires: %d\n", expires_s);
    snprintf(text, sizeof text, "MSRP a001auth AUTH\nTo-Path: msrp://%%E;tcp\nFrom-Path: %%%c\n%s-------a001auth$\n",
             client, expires);
    say(p, text);
    CHECK_FATAL(hear(p, &h));
    uri = heard_header(&h, "Use-Path");
    CHECK_FATAL(uri.n > 0);
    CHECK_FATAL(sv_copy(uri, p->rig->var[(int)token], RIG_VAR_MAX));
}

struct peer *rig_client(struct rig *r, char name, char token)
{
    struct peer *p = rig_peer(r);

    snprintf(r->var[(int)name], RIG_VAR_MAX, "msrp://client%c.invalid:9/%c;tcp", name, name);
    say_auth(p, name, token);
    return p;
}

size_t push(struct peer *p, const char *bytes, size_t n)
{
    size_t said = 0;

    for (int idle = 0; said < n && idle < 20;) {
        ssize_t sent = send(p->fd, bytes + said, n - said, MSG_DONTWAIT | MSG_NOSIGNAL);

        said += sent > 0 ? (size_t)sent : 0;
        idle = sent > 0 ? 0 : idle + 1;
        rig_wait(p->rig, 0);
    }
    return said;
}

void add_octets(struct buf *b, size_t n)
{
    char some[4096];

    memset(some, 'x', sizeof some);
    for (size_t more; n; n -= more) {
        more = TD_MIN(n, sizeof some);
        buf_add(b, some, more);
    }
}

/* ---- hearing ---- */

void peer_read(struct peer *p, size_t max)
{
    char chunk[65536];

    if (p->tls && p->fd >= 0)
        flush_cipher(p);
    while (p->fd >= 0 && !p->ended && max) {
        ssize_t n = recv(p->fd, chunk, TD_MIN(max, sizeof chunk), MSG_DONTWAIT);

        if (n <= 0) {
            p->ended = n == 0 || (errno != EAGAIN && errno != EINTR);
            break;
        }
        max -= (size_t)n;
        if (!p->tls) {
            buf_add(&p->got, chunk, (size_t)n);
            continue;
        }
        for (size_t at = 0, used = 0, plain = 1; plain; at += used) {
            char text[32768];

            plain = tlsio_input(p->tls, chunk + at, (size_t)n - at, &used, text, sizeof text);
            buf_add(&p->got, text, plain);
        }
    }
}

/* A frame at the front of the bytes, by the words of RFC 4975 s.7.1 and not by the code under test. */
static size_t cut(struct sv in, struct heard *h)
{
    const char *blank;
    struct sv rest;
    char end[64];
    size_t sp, line, at;
    int n;

    memset(h, 0, sizeof *h);
    line = sv_find(in, '\n');
    if (line == in.n || !sv_starts(in, SV("MSRP ")))
        return 0;
    h->start = sv_upto(in, line - 1);
    sp = sv_find(sv_from(h->start, 5), ' ');
    h->tid = sv_make(h->start.p + 5, sp);
    n = snprintf(end, sizeof end, "\r\n-------%.*s", (int)sp, h->tid.p);
    for (at = 0;; at++) {
        const char *found = memmem(in.p + at, in.n - at, end, (size_t)n);

        if (!found)
            return 0;
        at = (size_t)(found - in.p);
        if (at + (size_t)n + 3 > in.n)
            return 0;
        h->flag = found[n];
        if ((h->flag == '$' || h->flag == '+' || h->flag == '#') && found[n + 1] == '\r' && found[n + 2] == '\n')
            break;
    }
    h->all = sv_upto(in, at + (size_t)n + 3);
    rest = sv_make(in.p + line + 1, at + 2 - line - 1); /* header lines, blank line, body, CRLF */
    h->head = rest;
    blank = memmem(rest.p - 2, rest.n + 2, "\r\n\r\n", 4);
    if (blank) {
        h->has_body = true;
        h->head = sv_make(rest.p, (size_t)(blank + 2 - rest.p));
        h->body = sv_make(blank + 4, (size_t)(rest.p + rest.n - 2 - (blank + 4)));
    }
    return h->all.n;
}

bool peer_frame(struct peer *p, struct heard *h)
{
    static struct buf frame; /* what the views point into */
    size_t n = cut(buf_sv(&p->got), h);

    if (!n)
        return false;
    buf_clear(&frame);
    buf_add(&frame, p->got.p, n);
    buf_drop_front(&p->got, n);
    return cut(buf_sv(&frame), h) == n;
}

static bool hear_within(struct peer *p, struct heard *h, int turns)
{
    if (peer_frame(p, h)) /* read with the one before */
        return true;
    for (int i = 0; i < turns; i++) {
        rig_turn(p->rig);
        peer_read(p, SIZE_MAX);
        if (peer_frame(p, h))
            return true;
        if (p->ended)
            return false;
        rig_wait(p->rig, 1);
    }
    return false;
}

bool hear(struct peer *p, struct heard *h)
{
    return hear_within(p, h, 2000);
}

bool hear_more(struct peer *p, struct heard *h)
{
    return hear_within(p, h, 50);
}

struct sv hear_rest(struct peer *p)
{
    rig_turn(p->rig);
    peer_read(p, SIZE_MAX);
    return buf_sv(&p->got);
}

static bool is_tid_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr(".-+%=", c ? c : ' ');
}

/* Does the text fit the template? Unset variables 1..9 are set. */
static bool fits(struct rig *r, struct sv s, const char *t)
{
    size_t at = 0;

    for (; *t; t++) {
        char one[3] = { *t, 0, 0 };
        const char *want = one;

        if (*t == '\n') {
            want = "\r\n";
        } else if (*t == '%' && *++t != '%') {
            char *var = r->var[(int)*t];

            if (!var[0] && *t >= '1' && *t <= '9') {
                size_t n = 0;

                while (at + n < s.n && is_tid_char(s.p[at + n]))
                    n++;
                if (n < 4 || n > 32 || !sv_copy(sv_make(s.p + at, n), var, RIG_VAR_MAX))
                    return false;
            }
            want = var;
        }
        if (!sv_starts(sv_from(s, at), sv_of(want)))
            return false;
        at += strlen(want);
    }
    return at == s.n;
}

static void show(const char *what, struct sv s)
{
    printf("%s:\n" SV_FMT "%s\n", what, (int)TD_MIN(s.n, (size_t)2000), s.p ? s.p : "", s.n > 2000 ? "..." : "");
}

bool hear_this(struct peer *p, const char *template, const char *file, int line)
{
    struct heard h;
    struct buf want = BUF_INIT;

    if (!hear(p, &h)) {
        printf("\n%s:%d: no frame%s; expected:\n%s\n", file, line, p->ended ? " (closed)" : "", template);
        show("there is", hear_rest(p));
        return false;
    }
    if (fits(p->rig, h.all, template))
        return true;
    expand(p->rig, &want, template);
    printf("\n%s:%d:\n", file, line);
    show("expected", buf_sv(&want));
    show("heard", h.all);
    buf_fini(&want);
    return false;
}

bool hear_nothing(struct peer *p, const char *file, int line)
{
    struct sv rest;

    for (int i = 0; i < 3; i++)
        rig_wait(p->rig, 1);
    rest = hear_rest(p);
    if (rest.n == 0 && !p->ended)
        return true;
    printf("\n%s:%d: expected nothing%s\n", file, line, p->ended ? ", but it was closed" : "");
    show("heard", rest);
    return false;
}

bool hear_end(struct peer *p, const char *file, int line)
{
    struct sv rest = { 0 };

    for (int i = 0; i < 500; i++) {
        rest = hear_rest(p);
        if (rest.n || p->ended)
            break;
        rig_wait(p->rig, 1);
    }
    if (rest.n == 0 && p->ended)
        return true;
    printf("\n%s:%d: expected the end\n", file, line);
    show("heard", rest);
    return false;
}

struct sv heard_header(const struct heard *h, const char *name)
{
    struct sv rest = h->head;

    while (rest.n) {
        size_t line = sv_find(rest, '\n');
        struct sv l = sv_upto(rest, line ? line - 1 : 0);

        if (l.n > strlen(name) && sv_eq_nocase(sv_upto(l, strlen(name)), sv_of(name)) && l.p[strlen(name)] == ':')
            return sv_trim(sv_from(l, strlen(name) + 1));
        rest = sv_from(rest, line + 1);
    }
    return sv_make(NULL, 0);
}
