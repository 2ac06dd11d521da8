/* A stream of MSRP frames: TCP or TLS, dialled or accepted.
 *
 * Independent of net/conn on purpose (a second opinion), small instead of
 * tunable. Everything runs on one loop and one thread. Bytes written are queued and leave at
 * the end of the loop turn, all at once. Name resolution blocks: this is a tool, not a server. */
#pragma once

#include "client/wire.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "net/addr.h"

struct mc_link;
struct mc_listener;
struct mc_tls;
struct mc_tracer;

struct mc_link_ops {
    void (*up)(struct mc_link *l);       /* connected, TLS done; accepted links too */
    void (*head)(struct mc_link *l, const struct mc_head *h);
    void (*body)(struct mc_link *l, struct sv bytes);
    void (*end)(struct mc_link *l, char flag);
    void (*drained)(struct mc_link *l);  /* the queue is below MC_LINK_LOW after it was above MC_LINK_HIGH */
    void (*down)(struct mc_link *l, const char *why); /* exactly once, last; why lives for the call */
};

enum { MC_LINK_HIGH = 256 * 1024, MC_LINK_LOW = 64 * 1024, MC_READ_SIZE = 128 * 1024 };

/* What all links share. */
struct mc_net {
    struct loop *loop; /* borrowed */
    const struct mc_link_ops *ops;
    struct rng rng;
    struct mc_tls *tls; /* owned */
    char *read_buf;     /* owned */
    struct list links, dirty;
    struct loop_defer flush;
    void (*trace)(void *arg, struct sv text); /* NULL: off; gets whole lines */
    void *trace_arg;
};

struct mc_tls_opts {
    bool no_verify;               /* as client: take any certificate */
    const char *ca_file;          /* trusted roots; NULL: the system's */
    const char *certificate, *private_key; /* PEM, to listen with TLS; NULL: cannot */
    const char *priorities;       /* GnuTLS priority string; NULL: NORMAL */
};

/* ops and the loop must outlive the net. fault gets the reason in words. */
int mc_net_init(struct mc_net *net, struct loop *loop, const struct mc_link_ops *ops, const struct mc_tls_opts *tls,
                struct buf *fault);
void mc_net_fini(struct mc_net *net); /* closes what is open */

struct mc_link {
    struct mc_net *net; /* back */
    struct loop_io io;
    struct list node, dirty_node;
    struct addr peer, local;
    void *user;         /* of the ops */

    /* set by link.c only */
    unsigned state;
    bool is_accepted, above, finishing, no_memory;
    struct addr *addrs; /* owned: left to try */
    size_t n_addrs, at_addr;
    char *host;         /* owned: TLS name */
    void *tls;          /* owned: gnutls_session_t; NULL: plain */
    bool wants_tls, tls_wants_write;
    char *q;            /* owned: bytes to send are q[q_at..q_n) */
    size_t q_at, q_n, q_cap;
    char *kept;         /* owned: received, not yet a whole event */
    size_t kept_n;
    struct mc_reader reader;
    struct mc_tracer *tx_trace, *rx_trace; /* owned; NULL: off */
    struct wheel_timer timer; /* connecting and handshake */
    struct loop_defer free_later;
};

/* Returns a link that is connecting; up() or down() follows, never before this returns. */
int mc_link_dial(struct mc_link **out, struct mc_net *net, const char *host, uint16_t port, bool tls, void *user);

static inline bool mc_link_is_full(const struct mc_link *l)
{
    return l->q_n - l->q_at >= MC_LINK_HIGH;
}

bool mc_link_is_up(const struct mc_link *l);
bool mc_link_is_tls(const struct mc_link *l);
void mc_link_write(struct mc_link *l, const void *p, size_t n);
static inline void mc_link_puts(struct mc_link *l, struct sv s)
{
    mc_link_write(l, s.p, s.n);
}

/* Room for n bytes at the end of the queue, to fill in place; then say how many. NULL: the link is closed, or out of
 * memory and will be closed at the end of the turn: no function that writes calls back. */
char *mc_link_room(struct mc_link *l, size_t n);
void mc_link_wrote(struct mc_link *l, size_t n);

void mc_link_close(struct mc_link *l, const char *why); /* now */
void mc_link_finish(struct mc_link *l);                 /* when all is sent */

/* Accepts links; *at gets the real port when it is 0. */
int mc_listener_new(struct mc_listener **out, struct mc_net *net, struct addr *at, bool tls);
void mc_listener_free(struct mc_listener **l);
