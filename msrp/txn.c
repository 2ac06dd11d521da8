/* Open transactions: identifiers, the table, hop timers. */
#include "msrp/txn.h"

#include <stdlib.h>

enum { INDEX_CHARS = 5, RANDOM_CHARS = TID_LEN - INDEX_CHARS, INDEX_BITS = 5, INDEX_NONE = (1 << (INDEX_CHARS * INDEX_BITS)) - 1, FIRST_BLOCK = 256,
       LOOK_MS = 2000 };

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
#pragma GCC unroll 10
    for (int i = 0; i < RANDOM_CHARS - 1; i++, bits >>= 6)
        out[i] = random_digits[bits & 63];
    out[RANDOM_CHARS - 1] = random_digits[(bits | (unsigned)raw[sizeof bits] << 4) & 63]; /* four bits are left */
}

void tid_make(struct relay *relay, char out[TID_LEN])
{
    put_index(INDEX_NONE, out);
    put_random(relay, out + INDEX_CHARS);
}

/* Of an identifier of ours. Any number for others, which will not compare as equal. */
static uint32_t index_of(const char *tid)
{
    uint32_t v = 0;

#pragma GCC unroll 5
    for (int i = 0; i < INDEX_CHARS; i++) {
        unsigned c = (uint8_t)tid[i], is_letter = c >> 6 & 1; /* or a digit, by chance, hence no branch: a is 1 in its lower bits, 2 is 18 */

        v |= (((c & 31) + 8 - 9 * is_letter) & 31) << (INDEX_BITS * i);
    }
    return v;
}

/* The first block has FIRST_BLOCK, and each further one as many as all before it: which one, the highest bit of the
 * index says. */
static struct txn *at(const struct relay *relay, uint32_t index)
{
    unsigned block = index < FIRST_BLOCK ? 0 : (unsigned)__builtin_clz(FIRST_BLOCK / 2) - (unsigned)__builtin_clz(index);
    uint32_t first = block ? FIRST_BLOCK / 2 << block : 0;

    return &relay->txn_blocks[block][index - first];
}

static bool grow(struct relay *relay)
{
    uint32_t had = relay->n_txns, n = had ? had * 2 : FIRST_BLOCK;
    unsigned block = 0;
    struct txn *t;

    while (relay->txn_blocks[block])
        block++;
    if (n >= INDEX_NONE)
        return false;
    t = aligned_alloc(_Alignof(struct txn), (n - had) * sizeof *t);
    if (!t)
        return false;
    memset(t, 0, (n - had) * sizeof *t);
    for (uint32_t i = had; i < n; i++, t++) {
        put_index(i, t->tid); /* for ever */
        t->index = i + 1 < n ? i + 1 : UINT32_MAX;
    }
    relay->txn_blocks[block] = t - (n - had);
    relay->free_txn = had;
    relay->n_txns = n;
    return true;
}

/* Free transactions are chained through their index, which is that of the next free one while they are not in use. */
static struct txn *take(struct relay *relay)
{
    struct txn *t;
    uint32_t index;

    if (relay->free_txn == UINT32_MAX && !grow(relay))
        return NULL;
    index = relay->free_txn;
    t = at(relay, index);
    relay->free_txn = t->index;
    t->index = index;
    return t;
}

void txn_pool_free(struct relay *relay)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(relay->txn_blocks); i++)
        free(relay->txn_blocks[i]);
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
    t->tid_in_n = t->is_send ? 0 : (uint8_t)TD_MIN(f->tid_in.n, sizeof t->tid_in);
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
    uint32_t index = tid.n == TID_LEN ? index_of(tid.p) : INDEX_NONE;
    struct txn *t;

    if (index >= relay->n_txns)
        return NULL;
    t = at(relay, index);
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

/* Its answer may have come in time, and it is we who do not read, as another does not take what it has for him: how
 * much longer than its time it may take then (M-TMR-03). For want of memory nothing is kept any longer. */
static uint64_t grace_ms(struct msrp_conn *to)
{
    bool paused = to->conn->pauses & ~CONN_PAUSE_MEMORY, was_unheard = to->unheard;

    to->unheard = paused;
    if (!conn_has_unread(to->conn))
        return 0;
    return paused || was_unheard ? patience_ms(to) : TD_MIN(patience_ms(to), (uint64_t)LOOK_MS);
}

/* The first transaction that is left, or one that is no more, has waited long enough. */
static void on_answer_timer(struct wheel_timer *timer)
{
    struct msrp_conn *to = TD_CONTAINER_OF(timer, struct msrp_conn, answer_timer);
    struct loop *loop = to->relay->worker->loop;
    uint64_t now = loop_now_ms(loop), patience = patience_ms(to), most = patience + grace_ms(to);

    while (!list_is_empty(&to->unanswered)) {
        struct txn *t = list_item(to->unanswered.next, struct txn, node);
        uint64_t waited = now - t->waits_since_ms;

        if (waited < most) {
            loop_timer_start(loop, timer, waited < patience ? patience - waited : TD_MIN(most - waited, (uint64_t)LOOK_MS));
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
