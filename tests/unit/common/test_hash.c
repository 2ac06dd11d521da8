/* The growing hash table. */
#include "common/hash.h"

#include <stdlib.h>

#include "tests/unit/harness.h"

struct item {
    struct hash_node node;
    int key;
};

static struct item *find(struct hash *h, int key)
{
    struct hash_node *n = hash_first(h, hash_bytes(&key, sizeof key));

    while (n && TD_CONTAINER_OF(n, struct item, node)->key != key)
        n = hash_next(n);
    return n ? TD_CONTAINER_OF(n, struct item, node) : NULL;
}

TEST(all_elements_are_found_while_the_table_grows_and_shrinks)
{
    enum { N = 5000 };
    static struct item items[N];
    struct hash h;
    int wrong = 0;

    CHECK_INT(hash_init(&h, 3), 0);
    for (int i = 0; i < N; i++) {
        items[i].key = i;
        hash_insert(&h, &items[i].node, hash_bytes(&i, sizeof i));
        wrong += find(&h, i) != &items[i] || find(&h, i / 2) != &items[i / 2];
    }
    for (int i = 0; i < N; i += 2)
        hash_remove(&h, &items[i].node);
    for (int i = 0; i < N; i++)
        wrong += find(&h, i) != (i % 2 ? &items[i] : NULL);
    CHECK_INT(wrong, 0);
    CHECK_INT(h.n, N / 2);
    hash_fini(&h);
}

SUITE(hash_suite, TEST_ROW(all_elements_are_found_while_the_table_grows_and_shrinks));
