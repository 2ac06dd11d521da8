/* Hash tables shared by all scripts of a process: KSR.htable, $sht, and the counters of KSR.pike.
 *
 * A table is divided into stripes, each with a lock that is held for one look-up, copy or change. Entries expire; memory
 * is bounded by the number of entries (HTABLE_PER_SLOT for each slot) and the size of each. The caller brings the time in
 * milliseconds. All calls but making and freeing are thread-safe. */
#pragma once

#include "common/buf.h"
#include "common/conf.h"

enum {
    HTABLE_KEY_MAX = 512,     /* bytes */
    HTABLE_VALUE_MAX = 8192,  /* bytes */
    HTABLE_PER_SLOT = 32,     /* entries; a table of size=8 has at most 8192 */
};

struct htable;
struct htables;

/* defs: each NAME=>OPTION=VALUE;OPTION=VALUE, with size (log2 of slots, 1 to 20), autoexpire (seconds), updateexpire (0: an
 * update does not prolong an entry's life), initval (a number that an absent key counts as). TD_EINVAL: fault says why. */
int htables_new(struct htables **out, const struct conf_list *defs, struct buf *fault);
void htables_free(struct htables **t);

/* NULL: no such table. */
struct htable *htables_find(const struct htables *t, struct sv name);

struct htable_value {
    bool is_int;
    int64_t i;
    size_t n;                 /* of text */
    char text[HTABLE_VALUE_MAX];
};

/* False: not there. Of text only n bytes are written. An absent key of a table with initval is that number. */
bool htable_get(struct htable *t, struct sv key, uint64_t now_ms, struct htable_value *out);
/* expires_s: -1: the table's. False: too long, or the table is full of what has not expired. */
bool htable_set_text(struct htable *t, struct sv key, struct sv value, int64_t expires_s, uint64_t now_ms);
bool htable_set_int(struct htable *t, struct sv key, int64_t value, int64_t expires_s, uint64_t now_ms);
/* Add to a number, in one step; what is absent begins at initval or 0. False: a text, or no room. */
bool htable_add(struct htable *t, struct sv key, int64_t by, uint64_t now_ms, int64_t *out);
/* Its lifetime from now on; false: not there. 0: for ever. */
bool htable_set_expires(struct htable *t, struct sv key, int64_t expires_s, uint64_t now_ms);
/* Seconds left; false: not there. 0: for ever. */
bool htable_get_expires(struct htable *t, struct sv key, uint64_t now_ms, int64_t *out);
bool htable_remove(struct htable *t, struct sv key, uint64_t now_ms);
void htable_reset(struct htable *t);
size_t htable_count(struct htable *t); /* expired ones that are still there included */
size_t htable_max(const struct htable *t);
