/* The growing byte buffer. */
#include "common/buf.h"

#include <stdio.h>
#include <stdlib.h>

static bool buf_room(struct buf *b, size_t more)
{
    size_t need, cap;
    char *p;

    if (b->failed)
        return false;
    if (__builtin_add_overflow(b->n, more + 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (!buf_room(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

char *buf_extend(struct buf *b, size_t n)
{
    if (!buf_room(b, n))
        return NULL;
    b->n += n;
    b->p[b->n] = '\0';
    return b->p + b->n - n;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    size_t room;
    int n;

    if (!buf_room(b, 0))
        return;
    room = b->cap - b->n;
    va_copy(again, ap);
    n = vsnprintf(b->p + b->n, room, fmt, again);
    va_end(again);
    if (n >= 0 && (size_t)n >= room) { /* it was cut: once more, now that its length is known */
        b->p[b->n] = '\0';
        if (!buf_room(b, (size_t)n))
            return;
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    }
    if (n < 0) {
        b->p[b->n] = '\0';
        b->failed = true;
        return;
    }
    b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_drop_front(struct buf *b, size_t n)
{
    if (n > b->n)
        n = b->n;
    if (!n)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

void buf_add_escaped(struct buf *b, struct sv s, size_t max)
{
    size_t n = TD_MIN(s.n, max);

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c < 0x7f && c != '\\')
            buf_putc(b, (char)c);
        else
            buf_printf(b, "\\x%02x", c);
    }
    if (n < s.n)
        buf_puts(b, "...");
}
