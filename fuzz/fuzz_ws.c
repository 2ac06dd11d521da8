/* Fuzz target: WebSocket handshakes (an input that begins with a letter) and frames (all others).
 *
 * What comes out of a stream of frames does not depend on how it is cut, no message is over its limit, and memory grows with the bytes
 * that have come only. A handshake is answered once, with one head, in which nothing of the request makes a line of its own. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "common/err.h"
#include "net/wshand.h"
#include "net/wsread.h"

enum { INPUT_MAX = 16 * 1024, MESSAGE_MAX = 1000, FIXED_MAX = 8 * 1024 };

/* All events, one after the other. */
static void read_all(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
    struct wsread *r;
    enum wsread_event e = WSREAD_MORE;

    if (wsread_new(&r) != TD_OK)
        abort();
    for (size_t at = 0; at < size && e < WSREAD_BROKEN; at += piece) {
        size_t n = TD_MIN(piece, size - at);
        char *copy = malloc(n); /* of exactly that size: a sanitizer sees what is read beyond */
        struct sv in, what;

        if (!copy)
            abort();
        memcpy(copy, data + at, n);
        in = sv_make(copy, n);
        while ((e = wsread_next(r, MESSAGE_MAX, &in, &what)) != WSREAD_MORE && e < WSREAD_BROKEN) {
            FUZZ_CHECK(what.n <= (e == WSREAD_MESSAGE ? MESSAGE_MAX : 125));
            buf_printf(out, "%d %zu ", e, what.n);
            buf_add_sv(out, what);
        }
        FUZZ_CHECK(e >= WSREAD_BROKEN || in.n == 0);
        FUZZ_CHECK(wsread_size(r) <= FIXED_MAX + 2 * (at + n));
        FUZZ_CHECK(!(wsread_is_idle(r) && wsread_is_amid(r)));
        free(copy);
    }
    buf_printf(out, "%d %d", e, e < WSREAD_BROKEN && wsread_is_idle(r));
    wsread_free(&r);
}

static void frames(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, cut = BUF_INIT;

    read_all(data, size, TD_MAX(size, (size_t)1), &whole);
    for (size_t piece = 1; piece <= 5; piece += 2) {
        buf_clear(&cut);
        read_all(data, size, piece, &cut);
        FUZZ_CHECK(sv_eq(buf_sv(&whole), buf_sv(&cut)));
    }
    buf_fini(&whole);
    buf_fini(&cut);
}

static size_t lines_of(const struct buf *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++) {
        FUZZ_CHECK(b->p[i] != '\0' && (b->p[i] != '\n' || (i && b->p[i - 1] == '\r')));
        n += b->p[i] == '\n';
    }
    return n;
}

static void handshake(const char *p, size_t n, const struct wshand_policy *policy)
{
    struct buf out = BUF_INIT;
    size_t head = wshand_head(p, n);
    struct wshand_result r;

    if (!head && n <= WSHAND_HEAD_MAX)
        return; /* more is waited for */
    r = wshand_answer(sv_make(p, head ? head : n), policy, &out);
    FUZZ_CHECK(out.n > 20 && sv_starts(buf_sv(&out), SV("HTTP/1.1 ")) && wshand_head(out.p, out.n) == out.n);
    FUZZ_CHECK(lines_of(&out) <= 8);
    if (r.status == 101) {
        FUZZ_CHECK(head && head <= WSHAND_HEAD_MAX && sv_starts(sv_make(p, n), SV("GET ")) && policy->is_served);
        FUZZ_CHECK(r.protocol == WSHAND_SIP || r.protocol == WSHAND_MSRP);
        FUZZ_CHECK(policy->protocols & r.protocol);
    } else {
        FUZZ_CHECK(r.status >= 400 && r.why && !memmem(out.p, out.n, "Access-Control", 14));
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *site = (char[]){ "https://app.example.com" };
    const struct conf_list origins = { .v = &site, .n = 1 };
    const struct wshand_policy policies[] = {
        { .is_served = true, .protocols = WSHAND_SIP | WSHAND_MSRP },
        { .is_served = true, .protocols = WSHAND_SIP, .forbidden = WSHAND_MSRP, .origins = &origins },
        { .protocols = WSHAND_SIP },
    };

    size = TD_MIN(size, (size_t)INPUT_MAX);
    if (size && ((data[0] | 0x20) >= 'a' && (data[0] | 0x20) <= 'z'))
        for (size_t i = 0; i < TD_ARRAY_LEN(policies); i++)
            handshake((const char *)data, size, &policies[i]);
    else
        frames(data, size);
    return 0;
}
