/* Where msrpcat puts the messages it receives. */
#include "client/cat_in.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What is kept of one message; mc_in's user. */
struct part {
    struct list node;
    uint64_t next;  /* position up to which it was written to the descriptor, and one more */
    uint64_t total; /* once it is complete */
    FILE *spool;    /* owned: octets that had to wait, at their positions; NULL: none */
};

void cat_in_init(struct cat_in *in, int fd)
{
    *in = (struct cat_in){ .fd = fd };
    list_init(&in->done);
}

static void part_free(struct part *p)
{
    if (!p)
        return;
    list_remove(&p->node);
    if (p->spool)
        fclose(p->spool);
    free(p);
}

void cat_in_fini(struct cat_in *in)
{
    while (!list_is_empty(&in->done))
        part_free(list_item(in->done.next, struct part, node));
}

static void put(struct cat_in *in, const char *p, size_t n)
{
    while (n > 0 && !in->failed) {
        ssize_t did = write(in->fd, p, n);

        if (did < 0 && errno == EINTR)
            continue;
        if (did < 0) {
            perror("msrpcat: output");
            in->failed = true;
            return;
        }
        p += did;
        n -= (size_t)did;
    }
}

bool cat_in_begin(struct cat_in *in, struct mc_in *m)
{
    struct part *p = calloc(1, sizeof *p);

    if (!p)
        return false;
    list_init(&p->node);
    p->next = 1;
    m->user = p;
    if (!in->front) {
        in->front = m;
        in->front_octets = 0;
    }
    return true;
}

static void spool(struct cat_in *in, struct part *p, uint64_t pos, struct sv bytes)
{
    if (!p->spool)
        p->spool = tmpfile();
    if (!p->spool || fseeko(p->spool, (off_t)(pos - 1), SEEK_SET) < 0 ||
        fwrite(bytes.p, 1, bytes.n, p->spool) != bytes.n) {
        perror("msrpcat: temporary file");
        in->failed = true;
    }
}

void cat_in_body(struct cat_in *in, struct mc_in *m, uint64_t pos, struct sv bytes)
{
    struct part *p = m->user;

    if (in->front != m || pos > p->next) {
        spool(in, p, pos, bytes);
        return;
    }
    bytes = sv_from(bytes, (size_t)TD_MIN(p->next - pos, (uint64_t)bytes.n)); /* without what came before already */
    put(in, bytes.p, bytes.n);
    p->next += bytes.n;
    in->front_octets += bytes.n;
}

/* The octets from next to total, from the spool. */
static void unspool(struct cat_in *in, struct part *p)
{
    char b[16384];

    if (!p->spool || fseeko(p->spool, (off_t)(p->next - 1), SEEK_SET) < 0)
        return;
    while (p->next <= p->total && !in->failed) {
        size_t n = fread(b, 1, (size_t)TD_MIN(p->total - p->next + 1, (uint64_t)sizeof b), p->spool);

        if (n == 0) {
            perror("msrpcat: temporary file");
            in->failed = true;
            return;
        }
        put(in, b, n);
        p->next += n;
    }
}

void cat_in_done(struct cat_in *in, struct mc_in *m, bool complete)
{
    struct part *p = m->user;

    bool was_front = in->front == m;

    m->user = NULL;
    if (was_front)
        in->front = NULL;
    if (complete) {
        p->total = m->total;
        if (was_front)
            list_prepend(&in->done, &p->node); /* its beginning is out already */
        else
            list_append(&in->done, &p->node);
        p = NULL;
    }
    part_free(p);
    if (in->front)
        return;
    list_each_safe(node, &in->done) {
        struct part *next = list_item(node, struct part, node);

        unspool(in, next);
        part_free(next);
    }
}
