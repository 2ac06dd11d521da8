/* Sending messages: chunks, their answers, reports, time-outs. RFC 4975 s.5.1, s.7.1. */
#include <stdio.h>
#include <stdlib.h>

#include "client/msrp_priv.h"
#include "common/err.h"

enum { ANSWER_MS = 30000, PIECE = 64 * 1024, HEAD_ROOM = 512 };

static struct wire *wire_of(struct mc_session *s)
{
    return s->link->user;
}

/* Are there other sessions on the link? */
static bool has_company(struct mc_session *s)
{
    return s->link_node.next != s->link_node.prev;
}

/* ---- the fate of a message ---- */

static void forget_txns(struct mc_session *s, const struct mc_out *m)
{
    for (uint32_t i = s->txn_oldest; i != s->txn_next; i++)
        if (s->txns[i & s->txn_mask].m == m)
            s->txns[i & s->txn_mask].m = NULL;
}

static void out_free(struct mc_out *m)
{
    free(m->carry);
    free(m);
}

static void close_chunk(struct mc_session *s, char flag);

static struct mc_out *first_out(struct mc_session *s)
{
    return list_is_empty(&s->outs) ? NULL : list_item(s->outs.next, struct mc_out, node);
}

static void out_end(struct mc_session *s, struct mc_out *m, unsigned code, const char *why)
{
    if (s->chunk_open && m == first_out(s))
        close_chunk(s, '#');
    if (m->pending)
        forget_txns(s, m);
    list_remove(&m->node);
    s->mc->ops->out_done(s, m, code, why);
    out_free(m);
}

/* Has all of it been sent, answered and, if asked for, reported? */
static void out_settle(struct mc_session *s, struct mc_out *m)
{
    if (m->all_sent && m->pending == 0 && (!m->success_report || span_is_full(&m->reported, m->sent)))
        out_end(s, m, 200, "OK");
}

static struct mc_out *find_out(struct list *in, struct sv id)
{
    list_each(node, in) {
        struct mc_out *m = list_item(node, struct mc_out, node);

        if (sv_eq(sv_of(m->id), id))
            return m;
    }
    return NULL;
}

/* ---- writing a chunk ---- */

static char *put(char *at, struct sv s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_u64(char *at, uint64_t v)
{
    char digits[20];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

/* "-------" tid: the session's prefix and the transaction number in hex. */
static void name_chunk(struct mc_session *s, uint32_t no)
{
    char *at = put(s->chunk_end, SV("-------"));

    at = put(at, sv_make(s->tid_prefix, sizeof s->tid_prefix - 1));
    for (int shift = 28; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[no >> shift & 15];
    s->chunk_end_n = (size_t)(at - s->chunk_end);
}

/* Octets that the chunk about to be opened is to carry; MC_UNKNOWN: until the source ends. */
static uint64_t chunk_size(const struct mc_out *m)
{
    uint64_t left = m->size == MC_UNKNOWN ? MC_UNKNOWN : m->size - m->sent;

    return m->chunk && m->chunk < left ? m->chunk : left;
}

static void open_chunk(struct mc_session *s, struct mc_out *m)
{
    size_t to_n = strlen(s->to_path), uri_n = strlen(s->uri), type_n = m->type ? strlen(m->type) : 0;
    char *room = mc_link_room(s->link, to_n + uri_n + type_n + HEAD_ROOM), *at = room;
    uint64_t n = chunk_size(m);

    if (!room)
        return;
    name_chunk(s, s->txn_next);
    /* octets at hand can be asked; those that come later are watched as they go by */
    if (m->mem && n <= MC_SMALL)
        while (mc_end_line_find(sv_make(m->mem + m->sent, (size_t)n), sv_make(s->chunk_end, s->chunk_end_n)) < n) {
            s->txns[s->txn_next++ & s->txn_mask] = (struct mc_txn){ 0 };
            name_chunk(s, s->txn_next);
        }
    at = put(at, SV("MSRP "));
    at = put(at, sv_make(s->chunk_end + 7, s->chunk_end_n - 7));
    at = put(at, SV(" SEND\r\nTo-Path: "));
    at = put(at, sv_make(s->to_path, to_n));
    at = put(at, SV("\r\nFrom-Path: "));
    at = put(at, sv_make(s->uri, uri_n));
    at = put(at, SV("\r\nMessage-ID: "));
    at = put(at, sv_of(m->id));
    if (m->success_report)
        at = put(at, SV("\r\nSuccess-Report: yes"));
    if (m->no_failure_report)
        at = put(at, SV("\r\nFailure-Report: no"));
    at = put(at, SV("\r\nByte-Range: "));
    at = put_u64(at, m->sent + 1);
    at = put(at, SV("-"));
    /* only what is at hand and short may name its end: all else can be interrupted */
    if (!m->type || (m->mem && n <= MC_SMALL))
        at = put_u64(at, m->sent + (m->type ? n : 0));
    else
        at = put(at, SV("*"));
    at = put(at, SV("/"));
    at = m->size == MC_UNKNOWN ? put(at, SV("*")) : put_u64(at, m->size);
    if (m->type) {
        at = put(at, SV("\r\nContent-Type: "));
        at = put(at, sv_make(m->type, type_n));
        at = put(at, SV("\r\n\r\n"));
    } else {
        at = put(at, SV("\r\n"));
    }
    mc_link_wrote(s->link, (size_t)(at - room));
    m->chunk_sent = 0;
    s->tail_n = 0;
    s->chunk_open = true;
    wire_of(s)->open = s;
}

static void start_timer(struct mc_session *s)
{
    const struct mc_txn *t = &s->txns[s->txn_oldest & s->txn_mask];
    uint64_t age = loop_now_ms(s->mc->net.loop) - t->since_ms;

    loop_timer_start(s->mc->net.loop, &s->txn_timer, age < ANSWER_MS ? ANSWER_MS - age : 0);
}

static void close_chunk(struct mc_session *s, char flag)
{
    struct mc_out *m = first_out(s);
    char end[sizeof s->chunk_end + 8], *at = end;

    if (m->type)
        at = put(at, SV("\r\n"));
    at = put(at, sv_make(s->chunk_end, s->chunk_end_n));
    *at++ = flag;
    at = put(at, SV("\r\n"));
    s->chunk_open = false;
    wire_of(s)->open = NULL;
    mc_link_write(s->link, end, (size_t)(at - end));
    if (m->no_failure_report) {
        s->txns[s->txn_next++ & s->txn_mask] = (struct mc_txn){ 0 };
        m->acked += m->chunk_sent;
    } else {
        s->txns[s->txn_next++ & s->txn_mask] = (struct mc_txn){ m, m->chunk_sent, loop_now_ms(s->mc->net.loop), true };
        m->pending++;
    }
    while (s->txn_oldest != s->txn_next && !s->txns[s->txn_oldest & s->txn_mask].is_open)
        s->txn_oldest++;
    if (s->txn_oldest != s->txn_next && !wheel_timer_is_running(&s->txn_timer))
        start_timer(s);
}

/* How many of n octets may go out before they, with what was sent of this chunk, spell its end-line. */
static size_t safe_octets(struct mc_session *s, const char *p, size_t n)
{
    struct sv end = sv_make(s->chunk_end, s->chunk_end_n);
    char joint[2 * sizeof s->tail];
    size_t head = TD_MIN(n, sizeof s->tail), at;

    memcpy(joint, s->tail, s->tail_n);
    memcpy(joint + s->tail_n, p, head);
    at = mc_end_line_find(sv_make(joint, s->tail_n + head), end);
    if (at < s->tail_n + head)
        return at < s->tail_n ? 0 : at - s->tail_n;
    return mc_end_line_find(sv_make(p, n), end);
}

static void remember_tail(struct mc_session *s, const char *p, size_t n)
{
    const size_t max = sizeof s->tail;

    if (n >= max) {
        memcpy(s->tail, p + n - max, max);
        s->tail_n = max;
        return;
    }
    if (s->tail_n + n > max) {
        memmove(s->tail, s->tail + s->tail_n + n - max, max - n);
        s->tail_n = max - n;
    }
    memcpy(s->tail + s->tail_n, p, n);
    s->tail_n += n;
}

static void all_sent(struct mc_session *s, struct mc_out *m)
{
    close_chunk(s, '$');
    m->size = m->sent;
    m->all_sent = true;
    list_remove(&m->node);
    list_append(&s->flight, &m->node);
    out_settle(s, m);
}

/* What was pulled and would have ended the chunk too early comes first in the next one. */
static bool keep_for_later(struct mc_out *m, const char *p, size_t n)
{
    char *carry = malloc(n + m->carry_n);

    if (!carry)
        return false;
    memcpy(carry, p, n);
    if (m->carry_n)
        memcpy(carry + n, m->carry, m->carry_n);
    free(m->carry);
    m->carry = carry;
    m->carry_n += n;
    return true;
}

static long pull(struct mc_session *s, struct mc_out *m, char *p, size_t n)
{
    if (m->carry_n == 0)
        return s->mc->ops->out_pull(s, m, p, n);
    n = TD_MIN(n, m->carry_n);
    memcpy(p, m->carry, n);
    m->carry_n -= n;
    memmove(m->carry, m->carry + n, m->carry_n);
    return (long)n;
}

enum push { PUSH_MORE, PUSH_WAIT };

/* One piece of the open chunk. */
static enum push push_piece(struct mc_session *s, struct mc_out *m)
{
    uint64_t left = m->size == MC_UNKNOWN ? MC_UNKNOWN : m->size - m->sent;
    uint64_t want = m->chunk ? TD_MIN(m->chunk - m->chunk_sent, left) : left;
    size_t n = (size_t)TD_MIN(want, (uint64_t)PIECE), safe;
    char *room;

    if (left == 0 || !m->type) {
        all_sent(s, m);
        return PUSH_MORE;
    }
    room = mc_link_room(s->link, n);
    if (!room)
        return PUSH_WAIT;
    if (m->mem) {
        memcpy(room, m->mem + m->sent, n);
    } else {
        long got = pull(s, m, room, n);

        if (got == TD_EAGAIN) {
            if (has_company(s))
                close_chunk(s, '+');
            return PUSH_WAIT;
        }
        if (got == 0 && m->size == MC_UNKNOWN) {
            all_sent(s, m);
            return PUSH_MORE;
        }
        if (got <= 0) {
            out_end(s, m, 0,
                    got ? "could not read what is to be sent" : "what is to be sent is shorter than announced");
            return PUSH_MORE;
        }
        n = (size_t)got;
    }
    safe = safe_octets(s, room, n);
    if (safe < n && !m->mem && !keep_for_later(m, room + safe, n - safe)) {
        out_end(s, m, 0, "out of memory");
        return PUSH_MORE;
    }
    mc_link_wrote(s->link, safe);
    remember_tail(s, room, safe);
    m->sent += safe;
    m->chunk_sent += safe;
    if (m->sent == m->size)
        all_sent(s, m);
    else if (safe < n || (m->chunk && m->chunk_sent >= m->chunk))
        close_chunk(s, '+');
    return PUSH_MORE;
}

void mc_out_pump(struct mc_session *s)
{
    uint32_t before = s->txn_next;

    if (s->is_pumping)
        return;
    s->is_pumping = true;
    while (s->state == MC_S_READY && s->to_path && s->link && mc_link_is_up(s->link) && !mc_link_is_full(s->link)) {
        struct mc_out *m = first_out(s);

        if (!m)
            break;
        if (!s->chunk_open) {
            if (wire_of(s)->open || s->txn_next - s->txn_oldest >= s->window)
                break;
            open_chunk(s, m);
            if (!s->chunk_open)
                break;
        }
        if (push_piece(s, m) == PUSH_WAIT)
            break;
    }
    s->is_pumping = false;
    if (s->link && s->txn_next != before && has_company(s)) /* the others may have waited for its chunk to end */
        loop_defer(s->mc->net.loop, &wire_of(s)->next_turn);
}

void mc_out_pump_all(struct wire *w)
{
    size_t n = 0;

    list_each(node, &w->sessions)
        n++;
    /* each goes to the end before it is asked: a callback may take any of them off the list */
    for (; n > 0 && !list_is_empty(&w->sessions); n--) {
        struct list *first = w->sessions.next;

        list_remove(first);
        list_append(&w->sessions, first);
        mc_out_pump(list_item(first, struct mc_session, link_node));
    }
}

void mc_out_interrupt(struct mc_link *l)
{
    struct wire *w = l->user;

    if (w->open)
        close_chunk(w->open, '+');
}

/* The session-id and a number. */
static void name_message(struct mc_session *s, char out[MC_IDENT_MAX + 1])
{
    char *at = put(out, sv_make(s->id, sizeof s->id - 1));

    *at++ = 'm';
    at = put_u64(at, s->message_no++);
    *at = '\0';
}

struct mc_out *mc_session_send(struct mc_session *s, const struct mc_out *what)
{
    struct mc_out *m;
    uint32_t slots = 2;

    if (s->state == MC_S_DEAD)
        return NULL;
    if (!s->txns) {
        while (slots <= s->window)
            slots *= 2;
        s->txns = calloc(slots, sizeof *s->txns);
        s->txn_mask = slots - 1;
    }
    m = s->txns ? calloc(1, sizeof *m) : NULL;
    if (!m)
        return NULL;
    m->type = what->type;
    m->mem = what->mem;
    m->size = what->type ? what->size : 0;
    m->chunk = what->chunk;
    m->success_report = what->success_report;
    m->no_failure_report = what->no_failure_report;
    m->user = what->user;
    name_message(s, m->id);
    list_append(&s->outs, &m->node);
    mc_out_pump(s);
    return m;
}

void mc_session_kick(struct mc_session *s)
{
    mc_out_pump(s);
}

/* ---- answers ---- */

static bool number_of(const struct mc_session *s, struct sv tid, uint32_t *out)
{
    size_t n = sizeof s->tid_prefix - 1;
    uint32_t no = 0;

    if (tid.n != n + 8 || memcmp(tid.p, s->tid_prefix, n) != 0)
        return false;
    for (size_t i = n; i < tid.n; i++) {
        const char *digit = memchr("0123456789abcdef", tid.p[i], 16);

        if (!digit)
            return false;
        no = no << 4 | (uint32_t)(digit - "0123456789abcdef");
    }
    *out = no;
    return no - s->txn_oldest < s->txn_next - s->txn_oldest;
}

void mc_out_answer(struct mc_session *s, const struct mc_head *h)
{
    struct mc_txn *t;
    struct mc_out *m;
    uint32_t no;
    char why[96];

    if (!s->txns || !number_of(s, h->tid, &no))
        return;
    t = &s->txns[no & s->txn_mask];
    if (!t->is_open)
        return;
    m = t->m;
    t->is_open = false;
    t->m = NULL;
    while (s->txn_oldest != s->txn_next && !s->txns[s->txn_oldest & s->txn_mask].is_open)
        s->txn_oldest++;
    if (s->txn_oldest == s->txn_next)
        loop_timer_stop(s->mc->net.loop, &s->txn_timer);
    if (m) {
        m->pending--;
        if (h->code >= 200 && h->code < 300) {
            m->acked += t->octets;
            out_settle(s, m);
        } else {
            snprintf(why, sizeof why, "answered %u " SV_FMT, h->code, SV_ARG(sv_upto(h->comment, 64)));
            out_end(s, m, h->code, why);
        }
    }
    mc_out_pump(s);
}

void mc_out_report(struct mc_session *s, struct sv id, const struct mc_range *r, unsigned code)
{
    struct mc_out *m = find_out(&s->flight, id);
    uint64_t end = r->end;
    char why[64];

    if (!m)
        m = find_out(&s->outs, id);
    if (!m) {
        if (code >= 300 && s->mc->ops->late_failure)
            s->mc->ops->late_failure(s, id, code);
        return;
    }
    if (code >= 300) {
        snprintf(why, sizeof why, "failure report: %u", code);
        out_end(s, m, code, why);
        return;
    }
    if (end == MC_UNKNOWN)
        end = r->total == MC_UNKNOWN ? m->sent : r->total;
    if (end > m->sent) /* a report about octets that were never sent says nothing */
        return;
    span_add(&m->reported, r->start, end + 1 - r->start);
    out_settle(s, m);
}

static void on_timeout(struct wheel_timer *timer)
{
    struct mc_session *s = TD_CONTAINER_OF(timer, struct mc_session, txn_timer);
    uint64_t now = loop_now_ms(s->mc->net.loop);

    while (s->txn_oldest != s->txn_next) {
        struct mc_txn *t = &s->txns[s->txn_oldest & s->txn_mask];
        struct mc_out *m = t->m;

        if (t->is_open && now - t->since_ms < ANSWER_MS) {
            start_timer(s);
            break;
        }
        t->is_open = false;
        t->m = NULL;
        s->txn_oldest++;
        if (m) {
            m->pending--;
            out_end(s, m, 408, "no answer for 30 seconds");
        }
    }
    mc_out_pump(s);
}

void mc_out_init(struct mc_session *s)
{
    wheel_timer_init(&s->txn_timer, on_timeout);
}

void mc_out_lost(struct mc_session *s, const char *why)
{
    if (s->chunk_open) {
        s->chunk_open = false;
        if (s->link)
            wire_of(s)->open = NULL;
    }
    loop_timer_stop(s->mc->net.loop, &s->txn_timer);
    for (struct list *in = &s->flight;; in = &s->outs) {
        while (!list_is_empty(in))
            out_end(s, list_item(in->next, struct mc_out, node), 0, why);
        if (in == &s->outs)
            break;
    }
    s->txn_oldest = s->txn_next;
}

void mc_out_forget(struct mc_session *s)
{
    if (s->chunk_open && s->link)
        close_chunk(s, '#');
    s->chunk_open = false;
    for (struct list *in = &s->flight;; in = &s->outs) {
        while (!list_is_empty(in)) {
            struct mc_out *m = list_item(in->next, struct mc_out, node);

            list_remove(&m->node);
            out_free(m);
        }
        if (in == &s->outs)
            break;
    }
}
