/* Where users are: the bindings of every address of record, in memory, behind them table `location`.
 *
 * Reading is in memory alone. A change is made as a new list of bindings for one address; it takes the place of
 * the old one when it is on the disk, before anybody is told (S-REG-07, S-REG-12). Changes of one address wait
 * for each other. A binding that came on a stream names its flow and is of no use without it (RFC 5626 s.6).
 * One thread. RFC 3261 s.10. */
#pragma once

#include "common/hash.h"
#include "common/list.h"
#include "common/mailbox.h"

struct db;
struct location;

enum { LOCATION_RUID_MAX = 40, LOCATION_BINDINGS_MAX = 1000 };

/* Texts are NUL-terminated and owned by the binding; "" where there is none. */
struct binding {
    struct list node;
    char ruid[LOCATION_RUID_MAX];
    char *contact;    /* the URI */
    char *params;     /* other contact parameters as given, each with its ';' */
    char *received;   /* "sip:HOST:PORT": where a UDP client's requests really come from */
    char *path;       /* Path header value */
    char *callid, *user_agent, *instance;
    char *socket;     /* "udp:HOST:PORT" or "tcp:..": our own end */
    uint32_t cseq;
    int reg_id;
    double q;         /* -1: none given */
    int64_t expires, modified; /* UNIX seconds */
    uint64_t conn_id; /* of the flow; 0: UDP */
};

struct aor {
    struct location *location; /* back */
    struct hash_node node;
    char *user, *domain;       /* owned; the user unescaped, the domain in lower case */
    struct list bindings;      /* in the order they were made */
    size_t n;
    struct list waiting;       /* struct location_turn */
    bool busy;                 /* somebody has his turn: a change is being made or written */
    bool passing;              /* location_pass() is at work */
};

int location_new(struct location **out, struct db *db, struct mailbox *mb);
/* Nothing may be under way. */
void location_free(struct location **l);

/* Read what the last process left. Blocking, at start. */
int location_load(struct location *l, int64_t now);

/* NULL: no bindings (some may have expired). */
struct aor *location_find(struct location *l, struct sv user, struct sv domain);

/* Wait for one's turn to change the address: run() is called when no other change is under way, perhaps at once.
 * It must end in location_commit() or location_pass(). False: out of memory. */
struct location_turn {
    struct list node;
    void (*run)(struct location_turn *t, struct aor *a);
};
bool location_turn(struct location *l, struct sv user, struct sv domain, struct location_turn *t);
/* Nothing to change after all: the next one's turn. May free the aor. */
void location_pass(struct aor *a);

/* Make `bindings` (a list of struct binding; emptied) the address's bindings, what is missing in it being deleted. done
 * comes when that is on the disk and in memory; on an error nothing has changed. a lives until after done. */
void location_commit(struct aor *a, struct list *bindings, void (*done)(int err, struct aor *a, void *arg), void *arg);

struct binding *binding_new(void);
/* A copy with all texts; NULL: out of memory. */
struct binding *binding_copy(const struct binding *b);
void binding_free(struct binding **b);
void bindings_free(struct list *bindings);

/* Forget what has expired, and bindings whose flow has ended, in memory and on the disk. Now and then. */
void location_sweep(struct location *l, int64_t now, bool (*has_ended)(void *arg, uint64_t conn_id), void *arg);

/* For how long the oldest change has waited to be written; 0: none waits. */
uint64_t location_unwritten_ms(const struct location *l);

size_t location_count(const struct location *l); /* addresses with bindings */
