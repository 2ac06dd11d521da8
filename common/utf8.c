/* The UTF-8 validator. */
#include "common/utf8.h"

static void first(struct utf8 *u, uint8_t c)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

    u->left = (c & 0xe0) == 0xc0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : (c & 0xf8) == 0xf0 ? 3 : 0;
    u->is_bad = u->left == 0;
    u->value = c & (0x3fu >> u->left);
    u->least = least[u->left];
}

static void next(struct utf8 *u, uint8_t c)
{
    u->value = u->value << 6 | (c & 0x3f);
    if ((c & 0xc0) != 0x80)
        u->is_bad = true;
    else if (--u->left == 0 && (u->value < u->least || u->value > 0x10ffff || (u->value >= 0xd800 && u->value < 0xe000)))
        u->is_bad = true;
}

/* Bytes of plain ASCII at the front, eight at a time. */
static size_t ascii(struct sv s)
{
    size_t n = 0;

    for (; n + 8 <= s.n; n += 8) {
        uint64_t eight;

        memcpy(&eight, s.p + n, 8);
        if (eight & 0x8080808080808080u)
            break;
    }
    while (n < s.n && (unsigned char)s.p[n] < 0x80)
        n++;
    return n;
}

void utf8_feed(struct utf8 *u, struct sv s)
{
    while (s.n && !u->is_bad) {
        if (u->left == 0)
            s = sv_from(s, ascii(s));
        if (s.n == 0)
            return;
        if (u->left == 0)
            first(u, (uint8_t)s.p[0]);
        else
            next(u, (uint8_t)s.p[0]);
        s = sv_from(s, 1);
    }
}
