/* The client's side of a WebSocket. */
#include "fuzz/ws_peer.h"

#include "common/utf8.h"
#include "fuzz/fuzz.h"

enum { OP_REST, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG, FIN = 0x80, MASKED = 0x80 };
enum { LONG = 1000 /* a longer frame has a key of zeros, which masks nothing and costs nothing */ };

static struct wsp {
    bool is, shaken, closed; /* shaken: the relay's handshake has come */
    bool over;               /* nothing more of it is a message */
    uint8_t manner;
    struct buf glued; /* said, and not yet a message */
    struct buf kept;  /* of what the relay wrote */
} wsps[WIO_PEERS];

void wsp_start(void)
{
    memset(wsps, 0, sizeof wsps);
}

void wsp_stop(void)
{
    for (size_t i = 0; i < WIO_PEERS; i++) {
        buf_fini(&wsps[i].glued);
        buf_fini(&wsps[i].kept);
    }
}

bool wsp_is(size_t sock)
{
    return wsps[sock].is;
}

void wsp_open(size_t sock)
{
    static const char hello[] = "GET / HTTP/1.1\r\nHost: edge.example:5061\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Protocol: msrp\r\n\r\n";

    wsps[sock].is = true;
    wio_say(sock, hello, sizeof hello - 1);
}

void wsp_manner(size_t sock, uint8_t manner)
{
    wsps[sock].manner = manner;
}

/* ---- what it says ---- */

static void add_frame(struct buf *b, uint8_t first, uint8_t mask_bit, const char *p, size_t n)
{
    static const uint8_t keys[2][4] = { { 0x37, 0xfa, 0x21, 0x3d } };
    const uint8_t *key = keys[n > LONG];
    unsigned wide = n < 126 ? 0 : n < 65536 ? 2 : 8;
    size_t at;

    buf_putc(b, (char)first);
    buf_putc(b, (char)(mask_bit | (wide == 0 ? n : wide == 2 ? 126 : 127)));
    while (wide--)
        buf_putc(b, (char)((uint64_t)n >> 8 * wide));
    for (size_t i = 0; mask_bit && i < 4; i++)
        buf_putc(b, (char)key[i]);
    at = b->n;
    buf_add(b, p, n);
    for (size_t i = 0; mask_bit && n <= LONG && i < n; i++)
        b->p[at + i] ^= (char)key[i % 4];
}

static void say_message(size_t sock, const char *p, size_t n)
{
    static const size_t cuts[] = { SIZE_MAX, 1, 2, 9, 64, 1000, 2048, 65536 };
    struct wsp *w = &wsps[sock];
    size_t cut = cuts[w->manner & WSP_CUT];
    uint8_t op = w->manner & WSP_TEXT ? OP_TEXT : OP_BINARY;
    struct buf b = BUF_INIT;

    for (size_t at = 0;; op = OP_REST) {
        size_t take = TD_MIN(cut, n - at);
        bool is_last = at + take == n;

        add_frame(&b, is_last ? FIN | op : op, MASKED, p + at, take);
        at += take;
        if (is_last)
            break;
        if (w->manner & WSP_PINGS)
            add_frame(&b, FIN | OP_PING, MASKED, "between", at % 8);
    }
    if (wio_say(sock, b.p, b.n) && n && !w->over)
        wsp_on_heard(sock, p, n);
    buf_fini(&b);
}

void wsp_say(size_t sock, const char *p, size_t n)
{
    struct wsp *w = &wsps[sock];

    buf_add(&w->glued, p, n);
    if (w->manner & WSP_GLUE) {
        w->manner &= (uint8_t)~WSP_GLUE; /* once */
        return;
    }
    if (w->manner & WSP_HALVES)
        say_message(sock, w->glued.p, w->glued.n / 2);
    say_message(sock, w->glued.p + (w->manner & WSP_HALVES ? w->glued.n / 2 : 0),
                w->manner & WSP_HALVES ? w->glued.n - w->glued.n / 2 : w->glued.n);
    buf_clear(&w->glued);
}

void wsp_control(size_t sock, unsigned what)
{
    static const char huge[] = "\x82\xff\0\0\0\0\0\x20\0\0\1\2\3\4";
    static const char text[] = "\x03\xe8 MSRP abcd SEND\r\n";
    struct buf b = BUF_INIT;

    switch (what & 7) {
    case 0:
        add_frame(&b, FIN | OP_PING, MASKED, text, what >> 3 & 15);
        break;
    case 1:
        add_frame(&b, FIN | OP_PONG, MASKED, text, what >> 3 & 15);
        break;
    case 2:
        add_frame(&b, FIN | OP_CLOSE, MASKED, text, what >> 3 & 15);
        break;
    case 3:
        add_frame(&b, FIN | OP_TEXT, 0, text, sizeof text - 1);
        break;
    case 4:
        add_frame(&b, (uint8_t)(FIN | 0x40 | OP_TEXT), MASKED, text, sizeof text - 1);
        break;
    case 5:
        add_frame(&b, (uint8_t)(FIN | (what >> 3 & 1 ? 3 : OP_REST)), MASKED, text, sizeof text - 1);
        break;
    case 6:
        buf_add(&b, huge, sizeof huge - 1);
        break;
    case 7: /* goes on never */
        add_frame(&b, OP_TEXT, MASKED, text + 3, sizeof text - 4);
        break;
    }
    if (wio_say(sock, b.p, b.n) && (what & 7) >= 2 && !wsps[sock].over) {
        wsps[sock].over = true;
        wsp_on_over(sock);
    }
    buf_fini(&b);
}

/* ---- what the relay writes ---- */

/* The frame at the front of p: where its payload begins. 0: its head is not there. */
static size_t read_head(const uint8_t *p, size_t n, size_t *payload)
{
    unsigned wide;

    if (n < 2)
        return 0;
    FUZZ_CHECK(!(p[1] & MASKED) && (p[0] & 0xf0) == FIN); /* M-WS-11; the relay does not fragment */
    wide = p[1] == 126 ? 2 : p[1] == 127 ? 8 : 0;
    if (n < 2 + wide)
        return 0;
    *payload = wide ? 0 : p[1];
    for (unsigned i = 0; i < wide; i++)
        *payload = *payload << 8 | p[2 + i];
    FUZZ_CHECK(wide == 0 || *payload >= (wide == 2 ? 126u : 65536u));
    return 2 + wide;
}

static void got_frame(size_t sock, uint8_t op, const char *p, size_t n)
{
    struct wsp *w = &wsps[sock];
    struct buf pong = BUF_INIT;

    FUZZ_CHECK(!w->closed);
    switch (op) {
    case OP_TEXT:
    case OP_BINARY:
        FUZZ_CHECK(n && (op == OP_TEXT) == utf8_is_text(sv_make(p, n))); /* M-WS-03 */
        wsp_on_message(sock, p, n);
        break;
    case OP_PING:
        FUZZ_CHECK(n <= 125);
        add_frame(&pong, FIN | OP_PONG, MASKED, p, n);
        if (!(w->manner & WSP_SILENT))
            wio_say(sock, pong.p, pong.n);
        buf_fini(&pong);
        break;
    case OP_PONG:
        FUZZ_CHECK(n <= 125);
        break;
    default:
        FUZZ_CHECK(op == OP_CLOSE && n != 1 && n <= 125);
        w->closed = true;
        wsp_on_closed(sock, n ? (unsigned)((uint8_t)p[0] << 8 | (uint8_t)p[1]) : 0);
    }
}

void wsp_said(size_t sock, const char *bytes, size_t n)
{
    struct wsp *w = &wsps[sock];
    size_t at = 0, head, payload;

    buf_add(&w->kept, bytes, n);
    FUZZ_CHECK(!buf_failed(&w->kept));
    if (!w->shaken) {
        const char *end = memmem(w->kept.p, w->kept.n, "\r\n\r\n", 4);

        if (!end)
            return;
        FUZZ_CHECK(sv_starts(buf_sv(&w->kept), SV("HTTP/1.1 101 ")));
        w->shaken = true;
        at = (size_t)(end + 4 - w->kept.p);
    }
    while ((head = read_head((const uint8_t *)w->kept.p + at, w->kept.n - at, &payload)) && payload <= w->kept.n - at - head) {
        got_frame(sock, w->kept.p[at] & 15, w->kept.p + at + head, payload);
        at += head + payload;
    }
    buf_drop_front(&w->kept, at);
}
