/* Open transactions: identifiers, the table, hop timers. */
#include "msrp/txn.h"

#include <stdlib.h>

enum { INDEX_CHARS = 5, RANDOM_CHARS = TID_LEN - INDEX_CHARS, INDEX_BITS = 5, INDEX_NONE = (1 << (INDEX_CHARS * INDEX_BITS)) - 1, FIRST_BLOCK = 256 };

static const char index_digits[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char random_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+";

static void put_index(uint32_t index, char out[INDEX_CHARS])
{
    for (int i = 0; i < INDEX_CHARS; i++)
        out[i] = index_digits[index >> (INDEX_BITS * i) & 31];
}

static void put_random(struct relay *relay, char out[RANDOM_CHARS])
{
    uint8_t raw[sizeof(uint64_t) + 1];
    uint64_t bits;

    rng_bytes(&relay->worker->rng, raw, sizeof raw);
    memcpy(&bits, raw, sizeof bits);
    for (int i = 0; i < RANDOM_CHARS - 1; i++, bits >>= 6)
        out[i] = random_digits[bits & 63];
    out[RANDOM_CHARS - 1] = random_digits[(bits | (unsigned)raw[sizeof bits] << 4) & 63]; /* four bits are left */
}

void tid_make(struct relay *relay, char out[TID_LEN])
{
    put_index(INDEX_NONE, out);
    put_random(relay, out + INDEX_CHARS);
}

static bool index_of(struct sv tid, uint32_t *index)
{
    uint32_t v = 0;

    if (tid.n != TID_LEN)
        return false;
    for (int i = 0; i < INDEX_CHARS; i++) {
        char c = tid.p[i];

        if (c >= 'a' && c <= 'z')
            v |= (uint32_t)(c - 'a') << (INDEX_BITS * i);
        else if (c >= '2' && c <= '7')
            v |= (uint32_t)(c - '2' + 26) << (INDEX_BITS * i);
        else
            return false;
    }
    *index = v;
    return true;
}

/* Free transactions are chained through their index: relay->txns[i]->index is the next free one while it is not in use. */
static struct txn *take(struct relay *relay)
{
    struct txn *t;
    uint32_t index;

    if (relay->free_txn == UINT32_MAX) {
        uint32_t n = relay->n_txns ? relay->n_txns * 2 : FIRST_BLOCK;
        struct txn **grown, *block;

        if (n >= INDEX_NONE)
            return NULL;
        grown = realloc(relay->txns, n * sizeof *grown);
        if (!grown)
            return NULL;
        relay->txns = grown;
        block = calloc(n - relay->n_txns, sizeof *block);
        if (!block)
            return NULL;
        for (uint32_t i = relay->n_txns; i < n; i++) {
            relay->txns[i] = &block[i - relay->n_txns];
            put_index(i, relay->txns[i]->tid); /* for ever */
            relay->txns[i]->index = i + 1 < n ? i + 1 : UINT32_MAX;
        }
        relay->free_txn = relay->n_txns;
        relay->n_txns = n;
    }
    index = relay->free_txn;
    t = relay->txns[index];
    relay->free_txn = t->index;
    t->index = index;
    return t;
}

/* Blocks double in size, so their first elements are those at 0 and at the powers of two. */
void txn_pool_free(struct relay *relay)
{
    for (uint32_t i = 0; i < relay->n_txns; i = i ? i * 2 : FIRST_BLOCK)
        free(relay->txns[i]);
    free(relay->txns);
}

struct txn *txn_new(struct relay *relay, struct msrp_conn *to, const struct outgoing *f)
{
    struct txn *t = to->n_txns < TXNS_PER_CONN ? take(relay) : NULL;

    if (!t)
        return NULL;
    to->n_txns++;
    relay->worker->held += (int64_t)sizeof *t;
    t->relay = relay;
    t->to = to;
    t->route = route_ref(f->route);
    t->is_send = f->method == MSRP_SEND;
    t->is_auth = f->method == MSRP_AUTH;
    t->credentials = f->credentials;
    t->open = true;
    t->written = false;
    t->answer = 0;
    t->flag = f->flag;
    t->has_body = f->has_body;
    t->fr = f->fr;
    t->range = f->range;
    t->start = f->range.present ? f->range.start : 1;
    t->octets = f->body.n;
    t->end_pos = UINT64_MAX;
    t->started_at = f->started_at;
    t->message_id_n = (uint8_t)TD_MIN(f->message_id.n, sizeof t->message_id);
    if (t->message_id_n)
        memcpy(t->message_id, f->message_id.p, t->message_id_n);
    t->tid_in_n = (uint8_t)TD_MIN(f->tid_in.n, sizeof t->tid_in);
    if (t->tid_in_n)
        memcpy(t->tid_in, f->tid_in.p, t->tid_in_n);
    put_random(relay, t->tid + INDEX_CHARS);
    list_append(&to->unsent, &t->node);
    list_init(&t->stream_node);
    t->stream = NULL;
    stats_add(&relay->worker->stats, STAT_msrp_transactions, 1);
    return t;
}

void txn_redraw(struct txn *t)
{
    put_random(t->relay, t->tid + INDEX_CHARS);
}

void txn_queued(struct txn *t)
{
    t->open = false;
    t->end_pos = t->to->conn->doomed ? UINT64_MAX : t->to->conn->bytes_out;
}

struct txn *txn_find(struct msrp_conn *from, struct sv tid)
{
    struct relay *relay = from->relay;
    uint32_t index;
    struct txn *t;

    if (!index_of(tid, &index) || index >= relay->n_txns)
        return NULL;
    t = relay->txns[index];
    return t->route && t->to == from && memcmp(t->tid, tid.p, TID_LEN) == 0 ? t : NULL;
}

void txn_free(struct txn **tp)
{
    struct txn *t = *tp;
    struct relay *relay;
    uint32_t index;

    *tp = NULL;
    if (!t)
        return;
    relay = t->relay;
    index = t->index;
    t->to->n_txns--;
    relay->worker->held -= (int64_t)sizeof *t;
    list_remove(&t->node);
    list_remove(&t->stream_node);
    route_unref(relay, &t->route);
    t->index = relay->free_txn;
    relay->free_txn = index;
    stats_add(&relay->worker->stats, STAT_msrp_transactions, -1);
}

static uint64_t patience_ms(const struct msrp_conn *to)
{
    return (uint64_t)relay_conf(to->relay->shared)->msrp.response_timeout * 1000;
}

void txn_wait(struct txn *t)
{
    struct msrp_conn *to = t->to;
    struct loop *loop = to->relay->worker->loop;

    t->written = true;
    t->waits_since_ms = loop_now_ms(loop);
    list_remove(&t->node);
    list_append(&to->unanswered, &t->node);
    if (!wheel_timer_is_running(&to->answer_timer))
        loop_timer_start(loop, &to->answer_timer, patience_ms(to));
}

void txn_sent(struct msrp_conn *to, uint64_t pos)
{
    while (!list_is_empty(&to->unsent)) {
        struct txn *t = list_item(to->unsent.next, struct txn, node);

        if (t->end_pos > pos)
            break;
        if (t->answer)
            hop_answered(t, t->answer);
        else
            txn_wait(t);
    }
}

/* The first transaction that is left, or one that is no more, has waited long enough. */
static void on_answer_timer(struct wheel_timer *timer)
{
    struct msrp_conn *to = TD_CONTAINER_OF(timer, struct msrp_conn, answer_timer);
    struct loop *loop = to->relay->worker->loop;
    uint64_t now = loop_now_ms(loop), patience = patience_ms(to);

    while (!list_is_empty(&to->unanswered)) {
        struct txn *t = list_item(to->unanswered.next, struct txn, node);
        uint64_t waited = now - t->waits_since_ms;

        if (waited < patience) {
            loop_timer_start(loop, timer, patience - waited);
            break;
        }
        hop_timed_out(t);
    }
}

void txn_conn_init(struct msrp_conn *m)
{
    list_init(&m->unsent);
    list_init(&m->unanswered);
    wheel_timer_init(&m->answer_timer, on_answer_timer);
}

void txn_conn_fini(struct msrp_conn *m)
{
    loop_timer_stop(m->relay->worker->loop, &m->answer_timer);
}
