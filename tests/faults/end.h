/* One end of a conversation: a client of the relay, or a foreign endpoint without one.
 *
 * It speaks raw frames over a link of client/, sends its messages as chunks, answers what comes as each message says, and keeps the
 * ledger of both. Whatever comes that is not exactly as it must be is a fault of the relay and goes to end_ops.fault(). */
#pragma once

#include "client/link.h"
#include "tests/faults/ledger.h"
#include "tests/faults/proxy.h"

enum end_kind {
    END_CLIENT, /* dials the relay and authenticates */
    END_DIALS, /* foreign: dials the relay */
    END_LISTENS, /* foreign: the relay dials */
};

struct end;

struct end_ops {
    void (*ready)(struct end *e); /* its URI and token are known; or the relay has come */
    void (*fault)(struct end *e, const char *what); /* the relay is wrong */
    void (*moved)(struct end *e); /* something has come or gone */
};

struct end {
    const struct end_ops *ops; /* borrowed */
    void *arg; /* borrowed: the owner's */
    struct end *peer; /* borrowed */
    enum end_kind kind;
    bool tls, is_ready, broken, is_over; /* over: what comes now no longer counts */
    size_t n_allowed; /* messages that it may send by now */
    unsigned serial; /* of the conversation; with index it names what this end makes */
    unsigned index;
    const char *user, *password; /* borrowed */
    struct mc_net *net; /* borrowed */
    struct mc_link *link; /* NULL: none */
    struct proxy proxy;
    char uri[160], token[160]; /* token: empty without a relay */
    char to_path[512]; /* to the peer; also the From-Path of what comes from it */
    char auth_tid[33];
    unsigned auth_tries;

    struct message *messages; /* owned: what it sends, in this order */
    size_t n_messages, at_message;
    uint64_t at_octet; /* of that message: the next one to send */
    bool chunk_open;
    char open_tid[33];

    /* what is coming */
    struct message *in; /* borrowed: the peer's; NULL: no SEND */
    size_t in_piece;
    uint64_t in_at; /* the octet that comes next */
    char in_tid[33];
    bool in_answered;
    struct message *in_report; /* borrowed: own; NULL: none */
    uint64_t seen_tids[256]; /* hashes of the latest */
    size_t n_tids;
    uint64_t last_ms; /* when something came */
};

extern const struct mc_link_ops end_link_ops;
/* For links that were accepted: whose are they? */
extern struct end *end_by_port[65536];

/* Open its proxy and, unless it listens, dial. relay and listener: where the relay and this program's listeners are. */
bool end_start(struct end *e, struct loop *loop, const struct addr *relay, const struct addr *listener);
/* Both are ready: what the paths between them are. */
void end_introduce(struct end *a, struct end *b);
/* Write what can be written. */
void end_pump(struct end *e);
void end_stop(struct end *e);
