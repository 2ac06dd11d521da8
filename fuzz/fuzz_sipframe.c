/* Fuzz target: the framing of SIP streams.
 *
 * What is decided about a message does not change when more bytes are there, nor when the header section was
 * searched in pieces (S-MSG-04). What may pass has its mandatory headers at the start of a line each, one
 * Content-Length, and no second reading of where it ends. An answer is itself a message that may pass. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "net/sipframe.h"

enum { INPUT_MAX = 4096 };

static bool is_same(const struct sipframe *a, const struct sipframe *b)
{
    return a->kind == b->kind && a->head == b->head && a->len == b->len && a->status == b->status;
}

/* How often a line begins with this name and a colon, blanks between them allowed. */
static unsigned count_header(const char *p, size_t n, struct sv name)
{
    unsigned found = 0;

    for (size_t at = 0; at < n; at++) {
        size_t i = at + name.n;

        if ((at && p[at - 1] != '\n') || i >= n || !sv_eq_nocase(sv_make(p + at, name.n), name))
            continue;
        while (i < n && (p[i] == ' ' || p[i] == '\t'))
            i++;
        found += i < n && p[i] == ':';
    }
    return found;
}

static void check_passing(const char *p, const struct sipframe *f)
{
    const char *first = memchr(p, '\n', f->head);

    FUZZ_CHECK(f->len >= f->head && f->len <= SIPFRAME_MAX);
    FUZZ_CHECK(memcmp(p + f->head - 4, "\r\n\r\n", 4) == 0);
    FUZZ_CHECK(memchr(p, '\0', f->head) == NULL);
    FUZZ_CHECK(first && first[1] != ' ' && first[1] != '\t');
    FUZZ_CHECK(count_header(p, f->head, SV("Content-Length")) + count_header(p, f->head, SV("l")) == 1);
    FUZZ_CHECK(count_header(p, f->head, SV("Call-ID")) + count_header(p, f->head, SV("i")) == 1);
    FUZZ_CHECK(count_header(p, f->head, SV("Via")) + count_header(p, f->head, SV("v")) >= 1);
    FUZZ_CHECK(sipframe_length(p, f->head, 0, SIPFRAME_MAX) == (long)f->len);
}

static void check_answer(const char *p, const struct sipframe *f)
{
    struct buf out = BUF_INIT;
    struct sipframe again;

    if (sipframe_answer(&out, p, f)) {
        FUZZ_CHECK(!buf_failed(&out));
        FUZZ_CHECK(out.n > 16 && memcmp(out.p, "SIP/2.0 ", 8) == 0);
        sipframe_read(out.p, out.n, 0, &again);
        FUZZ_CHECK(again.head == out.n && again.kind != SIPFRAME_BROKEN);
    } else {
        FUZZ_CHECK(out.n == 0);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    size_t n = size < INPUT_MAX ? size : INPUT_MAX, scanned = 0;
    struct sipframe whole, datagram, f = { .kind = SIPFRAME_MORE };

    sipframe_read(p, n, 0, &whole);
    for (size_t at = 1; at <= n && f.kind == SIPFRAME_MORE; at++) {
        sipframe_read(p, at, scanned, &f);
        scanned = at;
    }
    FUZZ_CHECK(is_same(&f, &whole));
    if (whole.kind == SIPFRAME_OK)
        check_passing(p, &whole);
    if (whole.kind == SIPFRAME_REFUSE || whole.kind == SIPFRAME_BROKEN)
        check_answer(p, &whole);
    sipframe_datagram(p, n, &datagram);
    if (datagram.kind == SIPFRAME_OK)
        FUZZ_CHECK(datagram.len <= n);
    else
        check_answer(p, &datagram);
    return 0;
}
