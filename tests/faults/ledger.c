/* What was sent, what came, and who was told. */
#include "tests/faults/ledger.h"

#include <inttypes.h>
#include <stdlib.h>

char ledger_block[BLOCK_SIZE];

void ledger_init(uint64_t seed)
{
    static const char *const traps[] = { "\r\n-------",
                                         "\r\n-------abcd$\r\n",
                                         "\r\n-------s000001.01.0$\r\n",
                                         "\r\n\r\n",
                                         "\r\n--------abcd$\r\n",
                                         "\n-------abcd$\n",
                                         "-------",
                                         "\r",
                                         "MSRP abcd SEND\r\nTo-Path: msrp://x:1/y;tcp\r\n" };
    uint64_t x = seed | 1;

    for (size_t i = 0; i < BLOCK_SIZE; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        ledger_block[i] = (char)(x >> 56);
    }
    for (size_t at = 0; at < BLOCK_SIZE - 64;) {
        const char *trap;

        x = x * 6364136223846793005u + 1442695040888963407u;
        trap = traps[(x >> 40) % TD_ARRAY_LEN(traps)];
        memcpy(ledger_block + at, trap, strlen(trap));
        at += strlen(trap) + (x >> 50) % 300;
    }
}

static void *grow(void *array, size_t n, size_t size)
{
    void *grown = n & (n - 1) ? array : realloc(array, (n ? n * 2 : 1) * size);

    if (!grown)
        abort();
    memset((char *)grown + n * size, 0, size);
    return grown;
}

struct chunk *message_chunk(struct message *m, uint64_t from)
{
    m->chunks = grow(m->chunks, m->n_chunks, sizeof *m->chunks);
    m->chunks[m->n_chunks].from = from;
    return &m->chunks[m->n_chunks++];
}

struct piece *message_piece(struct message *m, uint64_t from)
{
    m->pieces = grow(m->pieces, m->n_pieces, sizeof *m->pieces);
    m->pieces[m->n_pieces].from = from;
    return &m->pieces[m->n_pieces++];
}

void message_told(struct message *m, uint64_t from, uint64_t n, unsigned code, uint64_t at_ms)
{
    m->told = grow(m->told, m->n_told, sizeof *m->told);
    m->told[m->n_told++] = (struct told){ from, n, code, at_ms };
}

void message_free(struct message *m)
{
    free(m->chunks);
    free(m->pieces);
    free(m->told);
}

bool message_has_begun(const struct message *m)
{
    return m->n_chunks > 0;
}

const struct chunk *message_chunk_at(const struct message *m, uint64_t at)
{
    for (size_t i = m->n_chunks; i-- > 0;)
        if (m->chunks[i].from <= at && at < m->chunks[i].from + TD_MAX(m->chunks[i].n, (uint64_t)1))
            return &m->chunks[i];
    return NULL;
}

static bool overlap(uint64_t a, uint64_t an, uint64_t b, uint64_t bn)
{
    return a < b + bn && b < a + an;
}

static bool is_told(const struct message *m, uint64_t from, uint64_t n)
{
    for (size_t i = 0; i < m->n_told; i++)
        if (overlap(m->told[i].from, TD_MAX(m->told[i].n, (uint64_t)1), from, TD_MAX(n, (uint64_t)1)))
            return true;
    return false;
}

/* Was anything said about the chunk, be it that the failure came when all of it but the end-line was out? */
static bool chunk_is_told(const struct message *m, const struct chunk *k)
{
    for (size_t i = 0; i < m->n_told; i++)
        if (m->told[i].n == 0 && m->told[i].from == k->from + k->n)
            return true;
    return is_told(m, k->from, k->n);
}

static bool has_code(const struct message *m, unsigned code)
{
    for (size_t i = 0; i < m->n_pieces; i++)
        if (m->pieces[i].code == code)
            return true;
    return false;
}

static bool is_good(unsigned code)
{
    return code >= 200 && code < 300;
}

/* One REPORT: may it be there, and is it about what it should be? */
static const char *told_fault(const struct message *m, const struct told *t, const struct circumstances *c)
{
    const struct piece *same = NULL, *other = NULL;
    const struct chunk *chunk = message_chunk_at(m, t->from);
    bool is_late;

    if (m->fr == FR_NO)
        return "a REPORT although nobody wanted one (M-FWD-24)";
    if (!chunk && t->n)
        return "a REPORT about octets that were not sent";
    for (const struct told *u = m->told; u < t; u++)
        if (t->n && u->n ? overlap(t->from, t->n, u->from, u->n) : t->n == u->n && t->from == u->from)
            return "two REPORTs about the same octets (M-FR-02)";
    if (!chunk || (t->n == 0 && chunk->n)) /* it failed between two pieces */
        return c->receiver_broken ? NULL : "a REPORT about nothing";
    if (t->n && t->from + t->n > chunk->from + TD_MAX(chunk->n, (uint64_t)1))
        return "a REPORT about more octets than were sent in the chunk";
    if (chunk->code >= 300)
        return "a REPORT and an error response for one chunk (M-FR-02)";
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->pieces[i].from == t->from && m->pieces[i].n == t->n)
            same = &m->pieces[i];
        else if (overlap(m->pieces[i].from, m->pieces[i].n, t->from, t->n))
            other = &m->pieces[i];
    }
    is_late = t->at_ms >= chunk->begun_ms + c->response_ms;
    if (c->receiver_broken)
        return t->code == 408 || t->code == 481 || t->code == 403 || (same && t->code == same->code) ||
                       has_code(m, t->code)
                   ? NULL
                   : "a REPORT with a code that nobody has given";
    if (other)
        return "a REPORT with a range that was not sent in one piece (M-REP-02)";
    if (!same)
        return "a REPORT about octets that the receiver, who is well, never got";
    if (is_good(same->code))
        return t->code == 408 && is_late ? NULL : "a REPORT about octets that the receiver has accepted";
    if (same->code == 0)
        return t->code == 408 && is_late && m->fr != FR_PARTIAL ? NULL : "a REPORT about octets that were not refused";
    return t->code == same->code || (t->code == 408 && is_late && m->fr != FR_PARTIAL)
               ? NULL
               : "a REPORT with another code than the receiver's";
}

/* Octets of the chunk that came in complete pieces; *unsure: not all of them accepted with 2xx. */
static uint64_t delivered(const struct message *m, const struct chunk *k, bool *unsure)
{
    uint64_t sum = 0;

    *unsure = false;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const struct piece *p = &m->pieces[i];
        uint64_t from = TD_MAX(p->from, k->from), to = TD_MIN(p->from + p->n, k->from + k->n);

        if (!p->complete || (k->n ? from >= to : p->n || p->from != k->from))
            continue;
        sum += k->n ? to - from : 1; /* an empty chunk counts as one octet */
        if (!is_good(p->code))
            *unsure = true;
    }
    return sum;
}

/* Of the last piece of a chunk; 0: none. */
static char last_flag(const struct message *m, const struct chunk *k)
{
    for (size_t i = m->n_pieces; i-- > 0;)
        if (m->pieces[i].from >= k->from && m->pieces[i].from <= k->from + k->n)
            return m->pieces[i].flag;
    return 0;
}

static const char *chunk_fault(const struct message *m, const struct chunk *k, const struct circumstances *c)
{
    bool wants_ok = m->fr == FR_ABSENT || m->fr == FR_YES, stopped = has_code(m, 413), unsure;
    uint64_t got = delivered(m, k, &unsure), need = TD_MAX(k->n, (uint64_t)1);

    if (k->answers > 1)
        return "two responses to one request";
    if (m->fr == FR_NO && k->answers)
        return "a response although nobody wanted one (M-FWD-24)";
    if (m->fr == FR_PARTIAL && is_good(k->code))
        return "a 200 although none was wanted (M-FWD-24)";
    if (k->answers && !k->closed && is_good(k->code))
        return "a 200 before the chunk was complete (M-FWD-20)";
    if (k->code >= 300) {
        if (is_told(m, k->from, k->n))
            return "an error response and a REPORT for one chunk (M-FR-02)";
        if (got)
            return "an error response for what was delivered";
        if (!c->receiver_broken && !(stopped && k->code == 413))
            return "refused without a reason";
        return NULL;
    }
    if (k->closed && wants_ok && !c->sender_broken && !k->answers)
        return "no response (M-FWD-20)";
    if (c->receiver_broken) {
        if (c->sender_broken || m->fr == FR_NO ||
            m->fr == FR_PARTIAL) /* partial: it may have been written and then lost */
            return NULL;
        if ((got < need || unsure) && !chunk_is_told(m, k))
            return "lost, and its sender was not told";
        return NULL;
    }
    if (c->sender_broken && got && got < need && !stopped && last_flag(m, k) != '#')
        return "its sender is gone in the middle of a chunk, and the receiver does not know (M-CHK-14)";
    if (stopped)
        return NULL; /* after a 413 no more goes to the receiver (M-FWD-16); its REPORT is checked with its piece */
    if (got < need && k->closed && (!c->sender_broken || is_good(k->code)))
        return m->n_told ? "lost in part, the receiver being well" : "lost, and its sender was not told";
    return NULL;
}

static const char *piece_fault(const struct message *m, const struct piece *p, const struct circumstances *c)
{
    const struct chunk *k = message_chunk_at(m, p->from);
    bool told = is_told(m, p->from, p->n), is_late;

    if (p->n == 0 && !k && m->n_chunks)
        k = message_chunk_at(m, p->from - 1); /* nothing but the news of its end */
    if (!k || p->from + p->n > k->from + TD_MAX(k->n, (uint64_t)1))
        return "a piece reaches over the end of its chunk";
    if (c->receiver_broken)
        return NULL;
    if (!p->complete)
        return "a chunk has begun and does not end (M-CHK-14)";
    if (p->flag == '#' && k->flag != '#' && !c->sender_broken && !has_code(m, 413))
        return "ended with # though its sender did not give up";
    if (c->sender_broken || m->fr == FR_NO)
        return NULL;
    is_late =
        m->fr == FR_PARTIAL && p->answered_ms >= k->begun_ms + c->response_ms / 2; /* its transaction may be gone */
    if (p->code >= 300 && !told && !is_late)
        return "refused by the receiver, and its sender was not told (M-RSP-04)";
    if (p->code == 0 && m->reply == REPLY_NEVER && m->fr != FR_PARTIAL && !told)
        return "not answered, and its sender was not told (M-TMR-03)";
    return NULL;
}

static const char *ending_fault(const struct message *m, const struct circumstances *c)
{
    const struct chunk *k = &m->chunks[m->n_chunks - 1];
    const struct piece *p = m->n_pieces ? &m->pieces[m->n_pieces - 1] : NULL;

    if (p && p->complete && p->flag == '$' && !(k->closed && k->flag == '$'))
        return "ended with $ though its sender did not end it";
    if (p && p->complete && p->flag != '+' && p->flag != '#' && p->flag != '$')
        return "an unknown flag";
    if (c->receiver_broken)
        return NULL;
    if (!c->sender_broken && p && k->closed && k->code < 300 && p->flag != k->flag && !has_code(m, 413))
        return "ended with another flag than it was sent with (M-CHK-12)";
    if (m->success_heard > m->success_said)
        return "a success REPORT that the receiver did not make";
    if (!c->sender_broken && m->success_heard < m->success_said)
        return "a success REPORT was lost";
    return NULL;
}

const char *message_fault(const struct message *m, const struct circumstances *c)
{
    const char *fault = NULL;

    if (!m->n_chunks)
        return m->n_pieces || m->n_told ? "it was not sent, and heard of" : NULL;
    for (size_t i = 0; i < m->n_told && !fault; i++)
        fault = told_fault(m, &m->told[i], c);
    for (size_t i = 0; i < m->n_chunks && !fault; i++)
        fault = chunk_fault(m, &m->chunks[i], c);
    for (size_t i = 0; i < m->n_pieces && !fault; i++)
        fault = piece_fault(m, &m->pieces[i], c);
    return fault ? fault : ending_fault(m, c);
}

void message_show(struct buf *out, const struct message *m)
{
    static const char *const frs[] = { "absent", "yes", "partial", "no" }, *const replies[] = { "ok", "error",
                                                                                                "error at once",
                                                                                                "never" };

    buf_printf(out, "  %s: %" PRIu64 " octets%s, failure report %s, success report %s, reply %s %u\n", m->id, m->size,
               m->has_body ? "" : " (no body)", frs[m->fr], m->wants_success ? "yes" : "no", replies[m->reply],
               m->reply_code);
    for (size_t i = 0; i < m->n_chunks; i++)
        buf_printf(out, "    sent     %" PRIu64 "+%" PRIu64 " %c answered %u (%u times)\n", m->chunks[i].from,
                   m->chunks[i].n, m->chunks[i].closed ? m->chunks[i].flag : '?', m->chunks[i].code,
                   m->chunks[i].answers);
    for (size_t i = 0; i < m->n_pieces; i++)
        buf_printf(out, "    received %" PRIu64 "+%" PRIu64 " %c answered %u after %" PRIu64 " ms\n", m->pieces[i].from,
                   m->pieces[i].n, m->pieces[i].complete ? m->pieces[i].flag : '?', m->pieces[i].code,
                   m->pieces[i].answered_ms ? m->pieces[i].answered_ms - m->chunks[0].begun_ms : 0);
    for (size_t i = 0; i < m->n_told; i++)
        buf_printf(out, "    reported %" PRIu64 "+%" PRIu64 " %u after %" PRIu64 " ms\n", m->told[i].from, m->told[i].n,
                   m->told[i].code, m->told[i].at_ms - m->chunks[0].begun_ms);
    buf_printf(out, "    success REPORT made %u, heard %u\n", m->success_said, m->success_heard);
}
