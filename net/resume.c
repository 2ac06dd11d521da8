/* Sessions to be resumed. */
#include "net/resume.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/list.h"

struct kept {
    struct list node;
    char *host; /* owned */
    int rule;
    size_t n;
    char bytes[];
};

struct resume {
    pthread_mutex_t lock;
    struct list all; /* the oldest first */
    size_t n;
};

static void kept_free(struct kept *k)
{
    list_remove(&k->node);
    explicit_bzero(k->bytes, k->n);
    free(k->host);
    free(k);
}

int resume_new(struct resume **out)
{
    struct resume *r = *out = calloc(1, sizeof *r);

    if (!r)
        return TD_ENOMEM;
    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->all);
    return TD_OK;
}

void resume_free(struct resume **rp)
{
    struct resume *r = *rp;

    if (!r)
        return;
    *rp = NULL;
    while (!list_is_empty(&r->all))
        kept_free(list_item(r->all.next, struct kept, node));
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void resume_put(struct resume *r, int rule, const char *host, const void *bytes, size_t n)
{
    struct kept *k = n <= RESUME_BYTES ? malloc(sizeof *k + n) : NULL;

    if (!k)
        return;
    list_init(&k->node);
    k->n = n;
    memcpy(k->bytes, bytes, n);
    k->rule = rule;
    k->host = strdup(host);
    if (!k->host) {
        kept_free(k);
        return;
    }
    pthread_mutex_lock(&r->lock);
    if (r->n == RESUME_MAX)
        kept_free(list_item(r->all.next, struct kept, node));
    else
        r->n++;
    list_append(&r->all, &k->node);
    pthread_mutex_unlock(&r->lock);
}

bool resume_take(struct resume *r, int rule, const char *host, struct buf *out)
{
    struct kept *found = NULL;

    pthread_mutex_lock(&r->lock);
    for (struct list *node = r->all.prev; node != &r->all && !found; node = node->prev) {
        struct kept *k = list_item(node, struct kept, node);

        if (k->rule == rule && sv_eq_nocase(sv_of(k->host), sv_of(host)))
            found = k;
    }
    if (found) {
        r->n--;
        list_remove(&found->node);
    }
    pthread_mutex_unlock(&r->lock);
    if (!found)
        return false;
    buf_add(out, found->bytes, found->n);
    list_init(&found->node);
    kept_free(found);
    return !buf_failed(out);
}
