/* Signs of overload. */
#include "sip/overload.h"

#include "common/log.h"

enum {
    HOLD_MS = 1000,
    LATE_MS = 1000,
    CROWDED_PERCENT = 50,
    CROWDED_TIMES = 2,
    UNWRITTEN_MS = 1000,
    A_TRANSACTION = 16 * 1024,     /* of memory, at most: tests/sip/sip_peers.py */
    TRANSACTIONS_MOST = 150 * 1000, /* what the process's address space holds */
};

size_t overload_transactions_max(uint64_t machine_memory)
{
    uint64_t n = machine_memory / 2 / A_TRANSACTION;

    return n && n < TRANSACTIONS_MOST ? (size_t)n : TRANSACTIONS_MOST;
}

static const char *text_of(enum overload_sign sign)
{
    switch (sign) {
    case OVERLOAD_TRANSACTIONS:
        return "as many transactions as there may be (limits.transactions)";
    case OVERLOAD_LATE:
        return "requests come faster than they can be handled";
    case OVERLOAD_DATAGRAMS:
        return "datagrams come faster than they can be read";
    case OVERLOAD_DATABASE:
        return "registrations wait for the database";
    case OVERLOAD_N:
        break;
    }
    return "";
}

static void set(struct overload *o, enum overload_sign sign, bool is_seen, uint64_t now_ms)
{
    if (is_seen) {
        if (!o->until_ms[sign])
            log_warn("sip", 0, "overload: %s; new %s are answered 503", text_of(sign),
                     sign == OVERLOAD_DATABASE ? "registrations" : "requests");
        o->until_ms[sign] = now_ms + HOLD_MS;
    } else if (o->until_ms[sign] && now_ms >= o->until_ms[sign]) {
        o->until_ms[sign] = 0;
        log_info("sip", 0, "overload is over: %s", text_of(sign));
    }
}

void overload_note(struct overload *o, const struct overload_state *s, uint64_t now_ms)
{
    bool is_late = o->noted_ms && now_ms >= o->noted_ms + OVERLOAD_SWEEP_MS + LATE_MS;

    o->noted_ms = now_ms;
    o->n_crowded = s->datagrams_percent >= CROWDED_PERCENT ? o->n_crowded + 1 : 0;
    set(o, OVERLOAD_TRANSACTIONS, s->transactions >= s->transactions_max, now_ms);
    set(o, OVERLOAD_LATE, is_late, now_ms);
    set(o, OVERLOAD_DATAGRAMS, o->n_crowded >= CROWDED_TIMES, now_ms);
    set(o, OVERLOAD_DATABASE, s->unwritten_ms >= UNWRITTEN_MS, now_ms);
}

bool overload_refuses(const struct overload *o, bool is_change)
{
    return o->until_ms[OVERLOAD_TRANSACTIONS] || o->until_ms[OVERLOAD_LATE] || o->until_ms[OVERLOAD_DATAGRAMS] ||
           (is_change && o->until_ms[OVERLOAD_DATABASE]);
}
