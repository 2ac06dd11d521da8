/* Fuzz target: the whole relay, connections and all.
 *
 * Two authenticated clients C and D, a foreign endpoint F that has dialled in, a stranger X, and an endpoint G that the relay may
 * dial say what the input tells them, byte for byte, while time passes, peers stop reading, and connections end. Any of those who connect
 * may be on a WebSocket. The input is a script of one-byte commands with their arguments (below), so that a changed byte is another conversation
 * rather than another syntax error. What the relay writes is judged by oracle.c, out of WebSocket frames by ws_peer.c; sockets, epoll and clock are
 * wrapped_io.c's. No socket is opened. */
#include "fuzz/fuzz.h"

#include "auth/authn.h"
#include "common/log.h"
#include "fuzz/oracle.h"
#include "fuzz/ws_peer.h"
#include "msrp/relay.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/sniff.h"

enum who { CLIENT_C, CLIENT_D, FOREIGN_F, STRANGER_X, DIALLED_G, WHO_N };

/* A command is a byte: what in the low nibble, who in the high one. */
enum command {
    SAY, /* u16 n, n bytes of template */
    SAY_FRAME, /* 6 bytes: a frame in order, see say_frame() */
    TURN, /* the loops run */
    PASS, /* u8: time passes */
    WINDOW, /* u16: so many bytes may be written to it; 65535: no limit */
    VISIBLE, /* u16: so many more bytes of what it said arrive; 65535: all */
    STEP, /* u8: it is read in steps of so many bytes; 0: no limit */
    ANSWER, /* u8: it answers the requests that came to it, or some of them */
    FIN,
    RESET,
    AGAIN, /* it connects anew */
    DRAIN, /* the server is about to stop */
    WS_MANNER, /* u8: ws_peer.h */
    WS_CONTROL, /* u8: a frame that is no message, see wsp_control() */
    COMMANDS,
};

enum { WORKERS = 2, SCRIPT_MAX = 8192, COMMANDS_MAX = 400, END_TURNS = 2, TIME_MAX_MS = 240000, G_PORT = 7000 };

/* On TCP, and on a WebSocket. */
static const char *const uris[2][WHO_N] = { { "msrp://c.invalid:9/c0;tcp", "msrp://d.invalid:9/d0;tcp",
                                              "msrp://127.0.0.1:7001/f0;tcp", "msrp://127.0.0.1:7002/x0;tcp",
                                              "msrp://127.0.0.1:7000/g0;tcp" },
                                            { "msrps://c.invalid:9/c0;ws", "msrps://d.invalid:9/d0;ws",
                                              "msrps://f.invalid:9/f0;ws", "msrps://x.invalid:9/x0;ws" } };
static const char secret[] = "Authorization: 5up7aVyQ0n2kWq";

struct world {
    struct worker workers[WORKERS];
    struct relay *relays[WORKERS];
    unsigned n_workers, websockets; /* a bit each: who is on a WebSocket */
    uint64_t next_id;
    struct relay_shared *shared;
    size_t sock[WHO_N]; /* SIZE_MAX: none */
    char token[2][128];
    unsigned n_said;
    uint64_t passed_ms;
};

static struct world *world;

/* ---- what the relay asks of others ---- */

struct authn_req *__wrap_authn_msrp(struct authn *a, struct sv uri, struct sv headers, authn_cb *cb, void *arg);
void __wrap_authn_cancel(struct authn_req *req);

struct authn_req *__wrap_authn_msrp(struct authn *a, struct sv uri, struct sv headers, authn_cb *cb, void *arg)
{
    const char *at = memmem(headers.p ? headers.p : "", headers.n, secret, sizeof secret - 1);
    bool bob = at && at + sizeof secret - 1 < headers.p + headers.n && at[sizeof secret - 1] == '2';
    struct authn_result result = {
        .verdict = at ? AUTHN_OK : AUTHN_CHALLENGE,
        .headers = at ? SV("Authentication-Info: x\r\n") : SV("WWW-Authenticate: Digest realm=\"x\"\r\n"),
        .username = bob ? SV("bob") : SV("alice"),
        .realm = SV("tandem.example"),
        .had_credentials = at || headers.n > 100,
        .stale = headers.n % 3 == 0,
    };

    cb(&result, arg);
    return NULL;
}

void __wrap_authn_cancel(struct authn_req *req)
{
}

/* The same identifiers in every run. */
void __wrap_crypto_random(void *out, size_t n);
static uint64_t random_state;

void __wrap_crypto_random(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(random_state >> 56);
    }
}

void __wrap_crypto_random_name(char *out, size_t n);

void __wrap_crypto_random_name(char *out, size_t n)
{
    __wrap_crypto_random(out, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + (uint8_t)out[i] % 26);
    out[n] = '\0';
}

static bool is_on_websocket(const struct world *w, enum who who)
{
    return w->websockets >> who & 1;
}

static const char *uri_of(const struct world *w, enum who who)
{
    return uris[is_on_websocket(w, who)][who];
}

void wio_said(size_t sock, const char *p, size_t n)
{
    if (wsp_is(sock))
        wsp_said(sock, p, n);
    else
        oracle_said(sock, p, n);
}

void wsp_on_heard(size_t sock, const char *p, size_t n)
{
    oracle_heard(sock, p, n);
}

void wsp_on_message(size_t sock, const char *p, size_t n)
{
    oracle_said(sock, p, n);
}

void wsp_on_closed(size_t sock, unsigned status)
{
    oracle_closed(sock, status);
}

void wsp_on_over(size_t sock)
{
    oracle_over(sock);
}

bool wio_dialled(size_t sock, const struct addr *to)
{
    oracle_dialled(to);
    if (addr_port(to) != G_PORT)
        return false;
    oracle_peer(sock, false);
    world->sock[DIALLED_G] = sock;
    return true;
}

/* ---- the world ---- */

static struct conf *configuration(void)
{
    static struct conf *conf;
    char *options[] = { (char *)(uintptr_t) "msrp.use_path_addr=edge.example:5061",
                        (char *)(uintptr_t) "msrp.require_tls=no", (char *)(uintptr_t) "msrp.forward_to=loopback",
                        (char *)(uintptr_t) "msrp.buffer=16k" };
    struct buf faults = BUF_INIT;

    if (!conf) {
        log_set_level(LOG_LEVEL_ERROR);
        FUZZ_CHECK(conf_load(&conf, NULL, options, TD_ARRAY_LEN(options), &faults) == 0);
    }
    return conf;
}

static void turn(struct world *w)
{
    for (int i = 0; i < 3; i++)
        for (unsigned k = 0; k < w->n_workers; k++)
            loop_turn(w->workers[k].loop, 0);
}

static void pass(struct world *w, uint64_t ms)
{
    if (w->passed_ms > TIME_MAX_MS) /* each tick of the wheel costs a little */
        return;
    w->passed_ms += ms;
    while (ms) {
        uint64_t step = TD_MIN(ms, (uint64_t)5000);

        wio_pass(step);
        ms -= step;
        for (unsigned k = 0; k < w->n_workers; k++)
            loop_turn(w->workers[k].loop, 0);
    }
    turn(w);
}

static void connect_peer(struct world *w, enum who who)
{
    struct worker *worker = &w->workers[who % w->n_workers];
    struct addr peer, local;
    struct conn *c;
    size_t sock;
    int fd = wio_accept(&sock);

    w->sock[who] = SIZE_MAX;
    if (fd < 0)
        return;
    addr_from_host(&peer, SV("127.0.0.1"), (uint16_t)(40000 + sock));
    addr_from_host(&local, SV("127.0.0.1"), 5061);
    FUZZ_CHECK(conn_new(&c, worker, fd, true, &peer, &local) == 0);
    c->port_transports = PORT_TCP | PORT_WS;
    c->port_protocols = PORT_MSRP;
    conn_set_proto(c, &sniff_proto, NULL, NULL);
    oracle_peer(sock, is_on_websocket(w, who));
    w->sock[who] = sock;
    if (is_on_websocket(w, who))
        wsp_open(sock);
}

static void say(struct world *w, enum who who, const char *p, size_t n)
{
    size_t sock = w->sock[who];

    if (sock == SIZE_MAX)
        return;
    if (wsp_is(sock))
        wsp_say(sock, p, n);
    else if (wio_say(sock, p, n))
        oracle_heard(sock, p, n);
}

static void authenticate(struct world *w, enum who who)
{
    struct buf b = BUF_INIT;

    buf_printf(
        &b, "MSRP auth%u AUTH\r\nTo-Path: %s://edge.example:5061;%s\r\nFrom-Path: %s\r\n%s%u\r\n-------auth%u$\r\n", who,
        is_on_websocket(w, who) ? "msrps" : "msrp", is_on_websocket(w, who) ? "ws" : "tcp", uri_of(w, who), secret, who + 1,
        who);
    turn(w); /* a WebSocket is open */
    say(w, who, b.p, b.n);
    buf_fini(&b);
    turn(w);
    FUZZ_CHECK(sv_copy(oracle_use_path(w->sock[who]), w->token[who], sizeof w->token[who]) && w->token[who][0]);
}

static void world_new(struct world *w, unsigned n_workers, unsigned websockets)
{
    struct buf faults = BUF_INIT;

    memset(w, 0, sizeof *w);
    world = w;
    w->n_workers = n_workers;
    w->websockets = websockets;
    wio_start();
    wsp_start();
    oracle_start(secret);
    random_state = 1;
    FUZZ_CHECK(relay_shared_new(&w->shared, configuration(), n_workers, NULL, &faults) == 0);
    for (unsigned i = 0; i < n_workers; i++) {
        FUZZ_CHECK(worker_init(&w->workers[i], i, &w->next_id) == 0);
        w->workers[i].ws.tls_in_front = true;
        FUZZ_CHECK(relay_new(&w->relays[i], w->shared, &w->workers[i], (struct authn *)(void *)w) == 0);
    }
    for (int who = 0; who < DIALLED_G; who++)
        connect_peer(w, (enum who)who);
    w->sock[DIALLED_G] = SIZE_MAX;
    authenticate(w, CLIENT_C);
    authenticate(w, CLIENT_D);
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n_workers; i++)
        conn_close_all(&w->workers[i], CLOSE_STOP);
    turn(w);
    for (unsigned i = 0; i < w->n_workers; i++)
        worker_fini(&w->workers[i]);
    for (unsigned i = 0; i < w->n_workers; i++)
        relay_free(&w->relays[i]);
    relay_shared_free(&w->shared);
    oracle_stop();
    wsp_stop();
    wio_stop();
}

/* ---- the script ---- */

struct script {
    const uint8_t *p;
    size_t n;
};

static unsigned u8(struct script *s)
{
    unsigned v = s->n ? s->p[0] : 0;

    if (s->n) {
        s->p++;
        s->n--;
    }
    return v;
}

static unsigned u16(struct script *s)
{
    unsigned hi = u8(s);

    return hi << 8 | u8(s);
}

/* A template: byte 1 and a letter stand for a URI (CDFXG), a token (cd), the authority (E), the password (P: of clients
 * alone), the identifier of the oldest request that came and was not answered (t); all other bytes for themselves. */
static void say_template(struct world *w, enum who who, struct script *s)
{
    size_t n = TD_MIN((size_t)u16(s), s->n);
    struct buf b = BUF_INIT;
    struct oracle_request r;

    for (size_t i = 0; i < n; i++) {
        const char *letter = NULL;

        if (s->p[i] != 1 || i + 1 == n) {
            buf_putc(&b, (char)s->p[i]);
            continue;
        }
        letter = memchr("CDFXGcdEPt", s->p[++i], 10);
        if (letter && strchr("CDFXG", *letter))
            buf_puts(&b, uri_of(w, (enum who)(strchr("CDFXG", *letter) - "CDFXG")));
        else if (letter && (*letter == 'c' || *letter == 'd'))
            buf_puts(&b, w->token[*letter - 'c']);
        else if (letter && *letter == 'E')
            buf_puts(&b, is_on_websocket(w, who) ? "msrps://edge.example:5061" : "msrp://edge.example:5061");
        else if (letter && *letter == 'P' && who <= CLIENT_D)
            buf_printf(&b, "%s%u", secret, who + 1);
        else if (letter && *letter == 't' && w->sock[who] != SIZE_MAX && oracle_next_request(w->sock[who], &r))
            buf_puts(&b, r.tid);
    }
    s->p += n;
    s->n -= n;
    if (b.n)
        say(w, who, b.p, b.n);
    buf_fini(&b);
}

static size_t add_path(struct world *w, struct buf *b, enum who who, unsigned to)
{
    switch (who) {
    case CLIENT_C:
    case CLIENT_D:
        if (to % 3 == 0)
            buf_printf(b, "%s %s %s", w->token[who], w->token[!who], uri_of(w, (enum who)!who));
        else
            buf_printf(b, "%s %s", w->token[who], uri_of(w, to % 3 == 1 ? DIALLED_G : FOREIGN_F));
        break;
    default:
        buf_printf(b, "%s %s", w->token[to % 2], uri_of(w, (enum who)(to % 2)));
    }
    return b->n;
}

/* n octets of a text that repeats, from its from-th on; in long strides, as a fuzzer counts every branch. */
static void add_repeated(struct buf *b, struct sv text, size_t from, size_t n)
{
    char many[4096];
    size_t whole = 0;

    for (; whole + text.n <= sizeof many; whole += text.n)
        memcpy(many + whole, text.p, text.n);
    for (size_t at = from % text.n, take; n; n -= take, at = 0) {
        take = TD_MIN(n, whole - at);
        buf_add(b, many + at, take);
    }
}

/* A frame as it should be: u8 to whom; u8 Failure-Report, Success-Report, method; u16 octets of body; u8 how they are
 * numbered, what the frame ends with, whether there are 16 times as many of them, and which they are; u8 which message. */
static void say_frame(struct world *w, enum who who, struct script *s)
{
    static const char traps[] = "\r\n-------abcd$\r\nMSRP abcd SEND\r\n\r\n-------\r\n--------x+\r\n";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static const struct sv bodies[] = { { traps, sizeof traps - 1 }, { letters, 26 }, { "\xc3\xa9", 2 }, { "MSRP\xe9\0", 6 } };
    static const char *const reports[] = { "", "Failure-Report: yes\r\n", "Failure-Report: partial\r\n",
                                           "Failure-Report: no\r\n" };
    unsigned to = u8(s), how = u8(s), n = u16(s) % 6000, numbered = u8(s), which = u8(s);
    const char *method = how >> 4 & 8 ? (how >> 4 & 4 ? "REPORT" : "NICKNAME") : "SEND";
    bool is_send = method[0] == 'S', has_body = is_send && !(how & 8);
    struct sv body = bodies[numbered & 8 ? 0 : 1 + (numbered >> 5) % 3];
    char flag = is_send ? "$$+#"[numbered & 3] : '$', tid[16];
    struct buf b = BUF_INIT;

    n *= numbered & 16 ? 16 : 1;
    snprintf(tid, sizeof tid, "w%u.%04u", who, w->n_said++);
    buf_printf(&b, "MSRP %s %s\r\nTo-Path: ", tid, method);
    add_path(w, &b, who, to);
    buf_printf(&b, "\r\nFrom-Path: %s\r\nMessage-ID: m%u.%u\r\nX-Said: %s\r\n%s%s", uri_of(w, who), who, which % 8, tid,
               is_send ? reports[how & 3] : "", is_send && how & 4 ? "Success-Report: yes\r\n" : "");
    if (numbered & 4 && has_body)
        buf_printf(&b, "Byte-Range: %u-%s/*\r\n", 1 + which, "*");
    if (method[0] == 'R')
        buf_puts(&b, "Byte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n");
    if (has_body) {
        buf_puts(&b, "Content-Type: text/plain\r\n\r\n");
        add_repeated(&b, body, which, n);
        buf_puts(&b, "\r\n");
    }
    buf_printf(&b, "-------%s%c\r\n", tid, flag);
    if (w->sock[who] != SIZE_MAX)
        oracle_good_frame(w->sock[who]);
    say(w, who, b.p, b.n);
    buf_fini(&b);
}

static void answer(struct world *w, enum who who, unsigned how)
{
    static const unsigned codes[] = { 200, 200, 200, 413, 415, 481, 403, 299 };
    struct oracle_request r;

    for (unsigned i = 0;
         i < (how >> 3 ? how >> 3 : 100) && w->sock[who] != SIZE_MAX && oracle_next_request(w->sock[who], &r); i++) {
        struct buf b = BUF_INIT;
        const char *sp = r.is_send ? strchr(r.from, ' ') : NULL;

        buf_printf(&b, "MSRP %s %03u said so\r\nTo-Path: %.*s\r\nFrom-Path: %s\r\n-------%s$\r\n", r.tid,
                   codes[how & 7], sp ? (int)(sp - r.from) : (int)strlen(r.from), r.from, r.to, r.tid);
        say(w, who, b.p, b.n);
        buf_fini(&b);
    }
}

static void command(struct world *w, struct script *s)
{
    static const uint32_t times[] = { 10, 400, 1000, 5000, 10000, 29000, 31000, 61000 };
    unsigned op = u8(s), n;
    enum who who = (enum who)((op >> 4) % WHO_N);
    struct wio_sock *sock = w->sock[who] == SIZE_MAX ? NULL : &wio_socks[w->sock[who]];

    switch ((enum command)((op & 15) % COMMANDS)) {
    case SAY:
        say_template(w, who, s);
        break;
    case SAY_FRAME:
        say_frame(w, who, s);
        break;
    case TURN:
        turn(w);
        break;
    case PASS:
        pass(w, times[u8(s) % TD_ARRAY_LEN(times)]);
        break;
    case WINDOW:
        n = u16(s);
        if (sock)
            sock->window = n == 65535 ? SIZE_MAX : n;
        break;
    case VISIBLE:
        n = u16(s);
        if (sock)
            sock->visible = n == 65535 ? SIZE_MAX : TD_MIN(sock->visible, sock->in_at) + n;
        break;
    case STEP:
        n = u8(s);
        if (sock)
            sock->step = n ? n : SIZE_MAX;
        break;
    case ANSWER:
        answer(w, who, u8(s));
        break;
    case FIN:
    case RESET:
        if (sock && (op & 15) % COMMANDS == FIN)
            sock->fin = true;
        else if (sock)
            sock->reset = true;
        break;
    case AGAIN:
        if (who != DIALLED_G && sock) {
            sock->fin = true;
            connect_peer(w, who);
        }
        break;
    case DRAIN:
        relay_drain(w->relays[who % w->n_workers]);
        break;
    case WS_MANNER:
    case WS_CONTROL:
        n = u8(s);
        if (sock && wsp_is(w->sock[who]) && (op & 15) % COMMANDS == WS_MANNER)
            wsp_manner(w->sock[who], (uint8_t)n);
        else if (sock && wsp_is(w->sock[who]))
            wsp_control(w->sock[who], n);
        break;
    case COMMANDS:
        break;
    }
}

/* All that was said arrives and all that is written is taken; then every timer of a transaction has run out. */
static void settle(struct world *w)
{
    w->passed_ms = 0;
    for (size_t i = 0; i < WIO_PEERS; i++)
        if (wio_socks[i].used) {
            wio_socks[i].window = wio_socks[i].visible = SIZE_MAX;
            wio_socks[i].step = SIZE_MAX;
        }
    for (int i = 0; i < END_TURNS; i++) {
        for (int k = 0; k < 4; k++)
            turn(w);
        pass(w, 31000);
    }
    oracle_settled();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct script s = { data, TD_MIN(size, (size_t)SCRIPT_MAX) };
    unsigned first;

    first = u8(&s);
    world_new(&w, 1 + (first & 1), first >> 1 & 15);
    for (int i = 0; i < COMMANDS_MAX && s.n; i++)
        command(&w, &s);
    settle(&w);
    world_free(&w);
    return 0;
}
