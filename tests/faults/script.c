/* What happens in a conversation. */
#include "tests/faults/script.h"

#include <stdlib.h>

enum { STALL_MS = 60, SILENT_TALKS = 16 };

/* ---- chance ---- */

static uint64_t draw(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0..n-1 */
static uint64_t below(uint64_t *x, uint64_t n)
{
    return n ? draw(x) % n : 0;
}

static bool chance(uint64_t *x, unsigned percent)
{
    return below(x, 100) < percent;
}

/* ---- scripts by random ---- */

static void random_size(struct message *m, uint64_t *x)
{
    unsigned kind = (unsigned)below(x, 1000);

    m->has_body = m->has_range = true;
    m->chunk_max = UINT32_MAX;
    if (kind < 40) {
        m->has_body = false;
    } else if (kind < 60) {
        m->size = 0;
    } else if (kind < 850) {
        m->size = 1 + below(x, chance(x, 80) ? 200 : 2048);
        m->has_range = !chance(x, 5);
    } else if (kind < 980) {
        m->size = 2 + below(x, 12000);
        m->chunk_max = 1 + below(x, chance(x, 50) ? 2048 : 8192);
        m->chunk_max = TD_MAX(m->chunk_max, m->size / 40 + 1);
    } else {
        m->size = 10000 + below(x, chance(x, 80) ? 100000 : 400000);
        if (chance(x, 15))
            m->abort_at = 1 + below(x, m->size - 1);
    }
}

static void random_message(struct message *m, uint64_t *x, bool has_silent)
{
    static const unsigned codes[] = { 400, 403, 413, 415, 481, 499, 501, 600 };
    unsigned how = (unsigned)below(x, 100);

    random_size(m, x);
    m->block_at = below(x, BLOCK_SIZE - BODY_MAX);
    m->fr = how < 30 ? FR_ABSENT : how < 60 ? FR_YES : how < 85 ? FR_PARTIAL : FR_NO;
    m->wants_success = m->size && chance(x, 30);
    if (chance(x, 8)) {
        m->reply = chance(x, 70) ? REPLY_ERROR : REPLY_ERROR_AT_ONCE;
        m->reply_code = codes[below(x, TD_ARRAY_LEN(codes))];
    } else if (has_silent && chance(x, 10)) {
        m->reply = REPLY_NEVER;
    }
}

/* Bytes that a direction may have to pass; a guess. */
static uint64_t guess(const struct script *s, int end, enum proxy_pipe pipe)
{
    uint64_t n = 300;

    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < s->n_messages[i]; k++) {
            const struct message *m = &s->messages[i][k];
            bool body = (i == end) == (pipe == PIPE_UP);

            n += body ? 400 + m->size + m->size / m->chunk_max * 400 : 250;
        }
    return n;
}

static void random_plan(struct script *s, int end, enum proxy_pipe pipe, uint64_t *x)
{
    struct proxy_plan *p = &s->plan[end][pipe];
    uint64_t bytes = guess(s, end, pipe);

    if (chance(x, 40)) {
        static const uint16_t pieces[] = { 1, 2, 3, 7, 61, 97, 499, 1460, 2049 };

        p->piece = pieces[below(x, TD_ARRAY_LEN(pieces))];
        p->pieces_from = chance(x, 50) ? 0 : below(x, bytes);
        p->pieces_to = p->pieces_from + (20 + below(x, 400)) * p->piece;
    }
    if (chance(x, 15)) {
        p->stall_at = below(x, bytes);
        p->stall_ms = 10 + (uint32_t)below(x, 300);
    }
}

void script_random(struct script *s, uint64_t seed, unsigned number, bool has_tls)
{
    uint64_t x = seed ^ (uint64_t)number << 32;
    unsigned topology = (unsigned)below(&x, 4), end, how = (unsigned)below(&x, 100);
    bool has_silent = number % 1000 < SILENT_TALKS; /* early, as each of them takes as long as the relay waits */

    s->kind[0] = END_CLIENT;
    s->kind[1] = topology < 2 ? END_CLIENT : topology == 2 ? END_DIALS : END_LISTENS;
    for (int i = 0; i < 2; i++) {
        s->tls[i] = has_tls && chance(&x, 25);
        s->n_messages[i] = 1 + below(&x, i && chance(&x, 50) ? 4 : 100);
        s->messages[i] = calloc(s->n_messages[i], sizeof *s->messages[i]);
        if (!s->messages[i])
            abort();
        for (size_t k = 0; k < s->n_messages[i]; k++)
            random_message(&s->messages[i][k], &x, has_silent);
    }
    for (int i = 0; i < 2; i++)
        for (int pipe = 0; pipe < 2; pipe++)
            random_plan(s, i, (enum proxy_pipe)pipe, &x);
    end = (unsigned)below(&x, 2);
    if (how < 30) {
        enum proxy_pipe pipe = (enum proxy_pipe)below(&x, 2);
        struct proxy_plan *p = &s->plan[end][pipe];

        p->cut = CUT_RESET;
        p->cut_at = below(&x, guess(s, (int)end, pipe));
    } else if (how < 42) {
        s->plan[end][PIPE_UP].cut = CUT_HALF;
        s->plan[end][PIPE_UP].cut_at = below(&x, guess(s, (int)end, PIPE_UP));
    } else if (how < 52) {
        enum proxy_pipe pipe = (enum proxy_pipe)below(&x, 2);

        s->plan[end][pipe].cut = CUT_CLOSE;
        s->plan[end][pipe].cut_at = below(&x, guess(s, (int)end, pipe));
    } else if (how < 58) { /* both */
        for (int i = 0; i < 2; i++) {
            s->plan[i][PIPE_UP].cut = CUT_RESET;
            s->plan[i][PIPE_UP].cut_at = below(&x, guess(s, i, PIPE_UP));
        }
    }
}

/* ---- scripts by the byte ---- */

struct exchange {
    const char *name;
    enum end_kind other;
    bool from_start;
    uint64_t stall_at; /* 0: never; the first end pauses there for a moment */
    struct message messages[3]; /* of the first end; a size of 0 without chunk_max ends the list */
    struct message back; /* of the second end */
};

#define TEXT(octets, report, success)                                                                                  \
    {                                                                                                                  \
        .size = octets, .has_body = true, .has_range = true, .chunk_max = 4096, .fr = report, .wants_success = success \
    }
#define CHUNKS(octets, chunk, report)                                                         \
    {                                                                                         \
        .size = octets, .has_body = true, .has_range = true, .chunk_max = chunk, .fr = report \
    }

static const struct exchange exchanges[SCRIPT_EXCHANGES] = {
    { .name = "a message between two clients, with both reports",
      .other = END_CLIENT,
      .messages = { TEXT(40, FR_YES, true) } },
    { .name = "a message to a client from outside",
      .other = END_DIALS,
      .messages = { TEXT(10, FR_ABSENT, false) },
      .back = TEXT(30, FR_YES, true) },
    { .name = "messages to an endpoint outside and back",
      .other = END_LISTENS,
      .messages = { TEXT(30, FR_YES, true) },
      .back = TEXT(20, FR_PARTIAL, false) },
    { .name = "a message in two chunks and one without body",
      .other = END_CLIENT,
      .messages = { CHUNKS(60, 30, FR_PARTIAL), { .chunk_max = 1, .has_range = true } } },
    { .name = "a refused message",
      .other = END_CLIENT,
      .messages = { { .size = 20,
                      .has_body = true,
                      .has_range = true,
                      .chunk_max = 4096,
                      .reply = REPLY_ERROR,
                      .reply_code = 415 } } },
    { .name = "a large chunk that is interrupted",
      .other = END_CLIENT,
      .messages = { CHUNKS(5000, 100000, FR_YES) },
      .back = TEXT(20, FR_YES, false) },
    { .name = "a large chunk whose sender pauses while others speak",
      .other = END_CLIENT,
      .stall_at = 3000,
      .messages = { CHUNKS(4500, 100000, FR_YES) },
      .back = TEXT(20, FR_YES, false) },
    { .name = "AUTH and a message", .other = END_CLIENT, .from_start = true, .messages = { TEXT(10, FR_YES, false) } },
};

void script_exchange(struct script *s, size_t which)
{
    const struct exchange *x = &exchanges[which];
    size_t n = 0;

    while (n < TD_ARRAY_LEN(x->messages) && x->messages[n].chunk_max)
        n++;
    s->kind[0] = END_CLIENT;
    s->kind[1] = x->other;
    s->from_start = x->from_start;
    s->plan[0][PIPE_UP].stall_at = x->stall_at;
    s->plan[0][PIPE_UP].stall_ms = x->stall_at ? STALL_MS : 0;
    s->n_messages[0] = n;
    s->n_messages[1] = x->back.chunk_max ? 1 : 0;
    for (int i = 0; i < 2; i++) {
        s->messages[i] = calloc(s->n_messages[i] + 1, sizeof *s->messages[i]);
        if (!s->messages[i])
            abort();
        memcpy(s->messages[i], i ? &x->back : x->messages, s->n_messages[i] * sizeof *s->messages[i]);
        for (size_t k = 0; k < s->n_messages[i]; k++)
            s->messages[i][k].block_at = 1000 * k;
    }
}

const char *script_exchange_name(size_t n)
{
    return exchanges[n].name;
}
