/* Fuzz target: the MSRP frame reader, fed in different splits.
 *
 * A stream read whole, byte by byte and in pieces cut at places that depend on its bytes gives the same
 * frames, the same bodies and the same end (M-FRM-17). Each input is read as the relay does it: a head,
 * then body pieces until the end-line, then the next head; a broken head ends the stream. */
#include "fuzz/fuzz.h"

#include "common/buf.h"
#include "msrp/frame.h"

enum { MAX_HEADER = 2048, INPUT_MAX = 8192, WHOLE_SPLIT_MAX = 1024 };

struct reader {
    struct buf got;  /* owned: bytes that were not consumed yet */
    struct buf seen; /* owned: what was found, as text; bodies as they are */
    char tid[MSRP_TID_MAX + 1];
    bool in_body, at_start, broken;
};

static void see(struct reader *r, const char *what, struct sv s)
{
    buf_puts(&r->seen, what);
    buf_add(&r->seen, s.p, s.n);
    buf_putc(&r->seen, '\n');
}

static bool is_inside(struct sv part, const struct buf *b)
{
    return part.n == 0 || (part.p >= b->p && part.p + part.n <= b->p + b->n);
}

static void check_views(const struct msrp_head *h, const struct buf *b)
{
    const struct sv views[] = { h->tid, h->method_text, h->comment, h->paths, h->to_path, h->from_path, h->headers,
                                h->message_id, h->success_report, h->failure_report_text, h->content_type,
                                h->byte_range, h->status_text, h->authorization, h->expires };

    for (size_t i = 0; i < TD_ARRAY_LEN(views); i++)
        FUZZ_CHECK(is_inside(views[i], b));
}

/* Consume one head. True: go on. */
static bool read_head(struct reader *r)
{
    struct msrp_head h;

    switch (msrp_head_read(&h, r->got.p, r->got.n, MAX_HEADER, NULL)) {
    case MSRP_MORE:
        return false;
    case MSRP_BROKEN:
        FUZZ_CHECK(h.fault != NULL);
        see(r, "broken", SV(""));
        r->broken = true;
        return false;
    case MSRP_DONE:
        break;
    }
    check_views(&h, &r->got);
    FUZZ_CHECK(h.n > 0 && h.n <= r->got.n && h.n <= MAX_HEADER);
    FUZZ_CHECK(msrp_tid_is_good(h.tid) && sv_copy(h.tid, r->tid, sizeof r->tid));
    FUZZ_CHECK(h.status <= 999);
    FUZZ_CHECK(h.has_body || h.flag == '+' || h.flag == '$' || h.flag == '#');
    see(r, "tid ", h.tid);
    see(r, "paths ", h.paths);
    see(r, "headers ", h.headers);
    see(r, h.is_response ? "response " : "request ", h.is_response ? h.comment : h.method_text);
    see(r, "fault ", sv_of(h.fault ? h.fault : ""));
    buf_printf(&r->seen, "status %u order %d flag %d\n", h.status, h.order_fault, h.has_body ? 0 : h.flag);
    if (h.range.present)
        buf_printf(&r->seen, "range %llu\n", (unsigned long long)h.range.start);
    r->in_body = r->at_start = h.has_body;
    buf_drop_front(&r->got, h.n);
    return true;
}

/* Consume what is certain of the body. True: go on. */
static bool read_body(struct reader *r)
{
    struct msrp_body b = msrp_body_scan(r->got.p, r->got.n, sv_of(r->tid), r->at_start);

    FUZZ_CHECK(b.n <= b.used && b.used <= r->got.n);
    FUZZ_CHECK(b.ended || b.used == b.n);
    FUZZ_CHECK(b.ended || r->got.n - b.n <= MSRP_END_LINE_MAX);
    buf_add(&r->seen, r->got.p, b.n);
    if (b.n)
        r->at_start = false;
    if (b.ended) {
        FUZZ_CHECK(b.flag == '+' || b.flag == '$' || b.flag == '#');
        buf_printf(&r->seen, "\nend %c\n", b.flag);
        r->in_body = false;
    }
    buf_drop_front(&r->got, b.used);
    return b.ended || b.used > 0;
}

static void feed(struct reader *r, const char *p, size_t n)
{
    if (r->broken)
        return;
    buf_add(&r->got, p, n);
    while (r->got.n && (r->in_body ? read_body(r) : read_head(r)))
        ;
    FUZZ_CHECK(!r->got.failed && !r->seen.failed);
    /* Whatever waits is bounded, in a head by the limit and in a body by the longest end-line. */
    FUZZ_CHECK(r->broken || r->got.n == 0 || r->got.n < (r->in_body ? MSRP_END_LINE_MAX + 1 : MAX_HEADER));
}

static void reader_fini(struct reader *r)
{
    buf_fini(&r->got);
    buf_fini(&r->seen);
}

/* The frames of the input, cut by the rule; step 0: pieces of irregular length. */
static void read_split(struct reader *r, const char *p, size_t n, size_t step)
{
    uint32_t state = (uint32_t)n * 2654435761u + 1;

    *r = (struct reader){ .got = BUF_INIT };
    for (size_t at = 0; at < n;) {
        size_t piece = step;

        if (!step) {
            state = state * 1103515245u + 12345u + (uint8_t)p[at];
            piece = 1 + (state >> 16) % 97;
        }
        piece = TD_MIN(piece, n - at);
        feed(r, p + at, piece);
        at += piece;
    }
}

static void check_range(struct sv text)
{
    struct msrp_range r;

    if (!msrp_range_parse(&r, text))
        return;
    FUZZ_CHECK(r.start >= 1);
    FUZZ_CHECK(!r.end_known || r.end >= r.start - 1);
    FUZZ_CHECK(!r.end_known || !r.total_known || r.end <= r.total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    size_t n = TD_MIN(size, (size_t)INPUT_MAX);
    struct reader whole, other;
    const size_t steps[] = { 0, 1 };

    check_range(sv_make(p, n));
    read_split(&whole, p, n, 1500);
    for (size_t i = 0; i < TD_ARRAY_LEN(steps); i++) {
        if (steps[i] == 1 && n > WHOLE_SPLIT_MAX)
            continue;
        read_split(&other, p, n, steps[i]);
        FUZZ_CHECK(whole.broken == other.broken);
        FUZZ_CHECK(whole.seen.n == other.seen.n);
        FUZZ_CHECK(whole.seen.n == 0 || memcmp(whole.seen.p, other.seen.p, whole.seen.n) == 0);
        reader_fini(&other);
    }
    reader_fini(&whole);
    return 0;
}
