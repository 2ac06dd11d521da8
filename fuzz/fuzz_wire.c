/* Fuzz target: the client's frame reader, in different splits and beside the relay's.
 *
 * A stream gives the same frames however it is split. And the two readers, which share no line, agree: what the relay's
 * (msrp/frame) takes as a sound frame, the client's (client/wire) reads with the same identifier, paths, body and flag; a Byte-Range or URI
 * that the relay accepts has the same parts there. */
#include "fuzz/fuzz.h"

#include "client/wire.h"
#include "common/buf.h"
#include "msrp/frame.h"
#include "msrp/uri.h"

enum { INPUT_MAX = 8192, SPLIT_MAX = 1024, MAX_HEADER = 16384 };

/* All frames of a stream as text; pieces of so many bytes. */
static void read_all(struct buf *out, const char *p, size_t n, size_t step)
{
    struct mc_reader r = { 0 };
    struct buf got = BUF_INIT;
    bool bad = false;

    for (size_t at = 0; at < n && !bad; at += step) {
        size_t used = 0;
        struct mc_event ev = { 0 };

        buf_add(&got, p + at, TD_MIN(step, n - at));
        do {
            size_t taken = mc_reader_feed(&r, got.p + used, got.n - used, &ev);

            FUZZ_CHECK(taken <= got.n - used);
            used += taken;
            switch (ev.kind) {
            case MC_EV_HEAD:
                FUZZ_CHECK(ev.head->n <= MC_HEADERS_MAX && ev.head->code <= 999 && mc_is_ident(ev.head->tid));
                buf_printf(out, "head %u %d ", ev.head->code, ev.head->has_body);
                buf_add_sv(out, ev.head->raw);
                break;
            case MC_EV_BODY:
                FUZZ_CHECK(ev.body.n > 0);
                buf_add_sv(out, ev.body);
                break;
            case MC_EV_END:
                FUZZ_CHECK(ev.flag == '$' || ev.flag == '+' || ev.flag == '#');
                buf_printf(out, "\nend %c\n", ev.flag);
                break;
            case MC_EV_BAD:
                FUZZ_CHECK(ev.rule != NULL);
                buf_puts(out, "bad");
                bad = true;
                break;
            case MC_EV_MORE:
                break;
            }
        } while (ev.kind != MC_EV_MORE && !bad);
        buf_drop_front(&got, used);
        FUZZ_CHECK(bad || got.n <= MC_HEAD_MAX);
    }
    buf_fini(&got);
}

static void check_splits(const char *p, size_t n)
{
    const size_t steps[] = { 1, 7, 97 };
    struct buf whole = BUF_INIT;

    read_all(&whole, p, n, n ? n : 1);
    for (size_t i = n > SPLIT_MAX ? 2 : 0; i < TD_ARRAY_LEN(steps); i++) {
        struct buf other = BUF_INIT;

        read_all(&other, p, n, steps[i]);
        FUZZ_CHECK(sv_eq(buf_sv(&whole), buf_sv(&other)));
        buf_fini(&other);
    }
    buf_fini(&whole);
}

static void check_range(struct sv text)
{
    struct msrp_range a;
    struct mc_range b;

    if (!msrp_range_parse(&a, text) || (a.total_known && a.start - 1 > a.total)) /* that the client does not take */
        return;
    FUZZ_CHECK(mc_range_parse(text, &b) && a.start == b.start);
    FUZZ_CHECK(a.end_known ? a.end == b.end : b.end == MC_UNKNOWN);
    FUZZ_CHECK(a.total_known ? a.total == b.total : b.total == MC_UNKNOWN);
}

static void check_uri(struct sv text)
{
    struct msrp_uri a;
    struct mc_uri b;

    if (!msrp_uri_parse(&a, text) || !mc_uri_parse(text, &b))
        return;
    FUZZ_CHECK(a.secure == b.is_tls && a.port_number == b.port && sv_eq(a.session, b.session) &&
               sv_eq(a.transport, b.transport));
}

/* The relay's reader at the front of the bytes, then the client's. */
static void check_against_relay(const char *p, size_t n)
{
    struct msrp_head h;
    struct msrp_body body = { 0 };
    struct mc_reader r = { 0 };
    struct mc_event ev;
    size_t at;

    if (msrp_head_read(&h, p, n, MAX_HEADER, NULL) != MSRP_DONE || h.fault || h.order_fault)
        return;
    at = mc_reader_feed(&r, p, n, &ev);
    FUZZ_CHECK(ev.kind == MC_EV_HEAD);
    FUZZ_CHECK(at == h.n || (!h.has_body && at < h.n));
    FUZZ_CHECK(sv_eq(ev.head->tid, h.tid) && ev.head->has_body == h.has_body &&
               (ev.head->method.n == 0) == h.is_response);
    FUZZ_CHECK(sv_eq(ev.head->to_path, sv_trim(h.to_path)) && sv_eq(ev.head->from_path, sv_trim(h.from_path)));
    FUZZ_CHECK(h.is_response ? ev.head->code == h.status : sv_eq(ev.head->method, h.method_text));
    if (h.has_body)
        body = msrp_body_scan(p + h.n, n - h.n, h.tid, true);
    if (h.has_body && !body.ended)
        return;
    for (size_t seen = 0;;) {
        at += mc_reader_feed(&r, p + at, n - at, &ev);
        if (ev.kind == MC_EV_BODY) {
            FUZZ_CHECK(seen + ev.body.n <= body.n && ev.body.p == p + h.n + seen);
            seen += ev.body.n;
            continue;
        }
        FUZZ_CHECK(ev.kind == MC_EV_END && ev.flag == (h.has_body ? body.flag : h.flag) && seen == body.n);
        FUZZ_CHECK(at == h.n + body.used);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    size_t n = TD_MIN(size, (size_t)INPUT_MAX);

    check_range(sv_make(p, n));
    check_uri(sv_make(p, n));
    check_against_relay(p, n);
    check_splits(p, n);
    return 0;
}
