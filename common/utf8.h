/* Is it UTF-8? A validator that takes text in pieces. RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF. Pure. */
#pragma once

#include "common/sv.h"

/* All zero at the start. */
struct utf8 {
    uint32_t value, least; /* of the character under way, and what it must at least be */
    uint8_t left;          /* bytes of it still to come */
    bool is_bad;
};

void utf8_feed(struct utf8 *u, struct sv bytes);

/* Was all of it UTF-8, and no character cut? */
static inline bool utf8_is_good(const struct utf8 *u)
{
    return !u->is_bad && u->left == 0;
}

static inline bool utf8_is_text(struct sv bytes)
{
    struct utf8 u = { 0 };

    utf8_feed(&u, bytes);
    return utf8_is_good(&u);
}
