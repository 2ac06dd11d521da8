/* A growing byte buffer, for text and messages off the hot path.
 *
 * Errors stick: after an allocation failed every call is a no-op and
 * buf_failed() says so, hence ten appends need one check. The content is always
 * NUL-terminated (the NUL is not counted). One thread. */
#pragma once

#include <stdarg.h>

#include "common/sv.h"

struct buf {
    char *p; /* owned */
    size_t n, cap;
    bool failed;
};

#define BUF_INIT ((struct buf){ 0 })

void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_add(struct buf *b, const void *p, size_t n);
char *buf_extend(struct buf *b, size_t n); /* n more bytes, for the caller to fill in, all of them; NULL: it has failed */
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) TD_PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_drop_front(struct buf *b, size_t n);

static inline void buf_add_sv(struct buf *b, struct sv s)
{
    buf_add(b, s.p, s.n);
}

static inline struct sv buf_sv(const struct buf *b)
{
    return (struct sv){ b->p ? b->p : "", b->n };
}

static inline bool buf_failed(const struct buf *b)
{
    return b->failed;
}

/* Append bytes from a peer so that they are safe in a log line or a terminal:
 * printable ASCII as it is, all else as \xNN, at most max bytes of input. */
void buf_add_escaped(struct buf *b, struct sv s, size_t max);
