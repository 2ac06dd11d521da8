/* The SIP pump: carries SIP streams between clients and the SIP process.
 *
 * One struct pump a worker; give it to the worker as protos[PROTO_SIP] = { &pump_proto, pump }. For every
 * SIP connection it keeps a second stream, the leg, to the SIP process. Whole messages
 * cross, framed and checked here, so neither side ever sees a cut one; what is malformed but framed is answered here.
 * When the SIP process dies the clients stay and are handed to its successor. RFC 3261 s.18.3, RFC 5626 s.5.4.
 *
 * pump_link_*() and pump_tell() may be called from any thread (they post to the worker); all else is
 * the worker's own. */
#pragma once

#include "net/conn.h"
#include "net/pump_proto.h"

struct pump;

extern const struct conn_proto pump_proto;

struct pump_limits {
    int64_t idle_ms;    /* a flow without traffic is closed after this */
    int64_t message_ms; /* a message begun must be complete by then */
    int64_t dial_ms;    /* for each address of an outgoing connection, TLS included */
    bool (*may_dial)(void *arg, const struct addr *a); /* is this a place to connect to? NULL: any (S-SEC-05) */
    void *may_dial_arg; /* borrowed */
};

int pump_new(struct pump **out, struct worker *w, const struct pump_limits *limits);
/* Closes its connections. When the worker's loop does not run any more, before worker_fini(). */
void pump_free(struct pump **p);

/* The control socket to one SIP process, shared by all workers and closed with the last reference. */
struct pump_link;
int pump_link_new(struct pump_link **out, int fd, const uint16_t ports[PUMP_KIND_N][2]); /* takes fd, on failure too */
struct pump_link *pump_link_ref(struct pump_link *l);
void pump_link_unref(struct pump_link **l);

/* Send a record with a descriptor, or without one (-1); as send(). */
ssize_t pump_rec_send(int socket, const struct pump_rec *r, int file, int flags);

/* The SIP process is up: hand it the flows. / It has ended: keep the clients. */
void pump_link_up(struct pump *p, struct pump_link *l);
void pump_link_down(struct pump *p);

/* A record from the SIP process that is meant for this worker (GONE, DIAL, KEEP). */
void pump_tell(struct pump *p, const struct pump_rec *rec);
