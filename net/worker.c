/* A worker's shared memory and the end of its loop's turn. */
#include "net/worker.h"

#include <stdlib.h>

#include "common/err.h"
#include "net/conn.h"
#include "net/conn_private.h"
#include "net/memory.h"
#include "net/resolve.h"
#include "net/wsread.h"

enum { FIRST_SLOTS = 64 };

static bool has_work(const struct worker *w)
{
    return !list_is_empty(&w->again) || !list_is_empty(&w->dirty) || !list_is_empty(&w->doomed);
}

/* End of a turn: offer kept bytes again where reading was resumed, flush what was written. Offering may resume
 * others and writing may drain queues, hence the loop; the number of rounds is bounded to let new events in. */
static void on_turn_end(struct loop_hook *h)
{
    struct worker *w = TD_CONTAINER_OF(h, struct worker, flush_hook);

    for (int round = 0; round < 8 && has_work(w); round++) {
        struct list now = LIST_INIT(now);

        list_splice(&now, &w->again);
        while (!list_is_empty(&now)) {
            struct conn *c = list_item(now.next, struct conn, again_node);

            list_remove(&c->again_node);
            conn_offer_kept(c);
        }
        while (!list_is_empty(&w->dirty))
            conn_flush(list_item(w->dirty.next, struct conn, dirty_node));
        while (!list_is_empty(&w->doomed)) {
            struct conn *c = list_item(w->doomed.next, struct conn, doomed_node);

            conn_close(c, (enum close_reason)c->close_reason);
        }
    }
    memory_settle(w);
    if (has_work(w))
        loop_soon(w->loop);
}

int worker_init(struct worker *w, unsigned index, uint64_t *next_conn_id)
{
    int err;

    *w = (struct worker){ .index = index, .next_conn_id = next_conn_id, .first_line_ms = 30000, .handshake_ms = 10000,
                           .ws = { .max_message = 1024 * 1024, .ping_s = 30 } };
    list_init(&w->dirty);
    list_init(&w->borrowers);
    list_init(&w->again);
    list_init(&w->doomed);
    list_init(&w->conns);
    list_init(&w->idle);
    list_init(&w->memory_waiters);
    w->next = w;
    err = loop_new(&w->loop);
    if (err)
        return err;
    w->read_cap = WORKER_READ_SIZE;
    w->read_buf = malloc(w->read_cap);
    w->cipher_buf = malloc(WORKER_READ_SIZE);
    w->gather_buf = malloc(TX_BLOCK_SIZE);
    w->slots = calloc(FIRST_SLOTS, sizeof *w->slots);
    if (!w->read_buf || !w->cipher_buf || !w->gather_buf || !w->slots) {
        worker_fini(w);
        return TD_ENOMEM;
    }
    w->n_slots = FIRST_SLOTS;
    for (uint32_t i = 0; i < FIRST_SLOTS; i++)
        w->slots[i].next_free = i + 1 < FIRST_SLOTS ? i + 1 : UINT32_MAX;
    w->flush_hook.run = on_turn_end;
    loop_hook_add(w->loop, &w->flush_hook);
    return TD_OK;
}

void worker_fini(struct worker *w)
{
    while (w->conns.next && !list_is_empty(&w->conns)) {
        struct conn *c = list_item(w->conns.next, struct conn, all_node);

        conn_close(c, CLOSE_STOP);
        list_remove(&c->all_node); /* its memory goes with the loop's deferred calls */
    }
    resolver_free(&w->resolver);
    loop_free(&w->loop);
    tx_pool_fini(&w->pool);
    wsread_free(&w->ws_spare);
    free(w->read_buf);
    free(w->cipher_buf);
    free(w->gather_buf);
    free(w->slots);
    w->read_buf = w->cipher_buf = w->gather_buf = NULL;
    w->slots = NULL;
}

void worker_settle(struct worker *w)
{
    while (!list_is_empty(&w->borrowers)) {
        struct conn *c = list_item(w->borrowers.next, struct conn, borrow_node);

        list_remove(&c->borrow_node);
        conn_flush(c);
        if (!txq_own(&c->out, &w->pool))
            conn_doom(c, CLOSE_NO_MEMORY);
    }
}
