/* Overload: when new requests are answered 503 with Retry-After, without a transaction, so that calls that are up go on (S-SEC-01).
 *
 * Signs of it are looked for twice a second; one that was seen holds for a second. One thread. */
#pragma once

#include "common/defs.h"

enum overload_sign {
    OVERLOAD_TRANSACTIONS, /* as many as there may be */
    OVERLOAD_LATE,         /* a turn of the loop took a second */
    OVERLOAD_DATAGRAMS,    /* a UDP socket's queue was half full two times in a row: before long the kernel drops BYEs, too */
    OVERLOAD_DATABASE,     /* registrations are not written for a second: holds for them alone */
    OVERLOAD_N,
};

struct overload {
    uint64_t until_ms[OVERLOAD_N]; /* 0: no such sign */
    uint64_t noted_ms;             /* 0: not yet */
    unsigned n_crowded;            /* times in a row that a UDP socket's queue was half full */
};

/* What was found. */
struct overload_state {
    size_t transactions, transactions_max; /* incoming and outgoing, those included that are remembered for retransmissions */
    unsigned datagrams_percent;            /* of the fullest queue */
    uint64_t unwritten_ms;                 /* for how long a registration has waited for the disk */
};

/* To be called every OVERLOAD_SWEEP_MS; logs what begins and ends. */
enum { OVERLOAD_SWEEP_MS = 500 };
void overload_note(struct overload *o, const struct overload_state *s, uint64_t now_ms);

/* Is a new request refused? is_change: it changes a registration. */
bool overload_refuses(const struct overload *o, bool is_change);

/* The limit when the operator has set none: what half of the memory holds. */
size_t overload_transactions_max(uint64_t machine_memory);
