/* What the files of the edge share. */
#pragma once

#include <pthread.h>

#include "auth/authn.h"
#include "auth/nonce.h"
#include "ctl/rpc.h"
#include "db/db.h"
#include "db/feed.h"
#include "db/list.h"
#include "db/startup.h"
#include "msrp/relay.h"
#include "net/limit.h"
#include "net/listener.h"
#include "net/memory.h"
#include "net/pump.h"
#include "net/reach.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "net/worker.h"
#include "script/script.h"
#include "tandemd/edge.h"
#include "tandemd/handover.h"
#include "tandemd/scripts.h"
#include "tandemd/sipproc.h"

struct edge;

struct edge_worker {
    struct worker worker;
    struct edge *edge;             /* back */
    pthread_t thread;
    bool started;
    struct listener **listeners;   /* owned */
    size_t n_listeners;
    struct relay *relay;           /* owned */
    struct authn *authn;           /* owned */
    struct pump *pump;             /* owned */
    struct db_feed *feed;          /* owned */
    struct post drain_post, stop_post;
    struct wheel_timer stop_timer;
    uint64_t stop_at_ms;
};

struct edge {
    const struct edge_start *start; /* borrowed */
    struct conf *conf;              /* owned */
    struct conf **old_confs;        /* owned: replaced by reloads; somebody may still read them */
    size_t n_old_confs;
    struct loop *loop;              /* owned: the control thread's */
    struct stats stats;             /* the control thread's */
    struct loop_io signal_io;
    int signal_fd;
    struct handover handover;       /* while it starts: the last process's listening sockets */
    struct limits *limits;          /* owned, as are all of these */
    struct memory memory;           /* the workers' ceiling */
    struct tlsio_server *tls;
    struct nonces *nonces;
    struct db *db;
    struct db_reader *reader;       /* the RPC thread's */
    struct relay_shared *relay_shared;
    struct reach sip_reach;         /* where the pumps may dial to */
    struct script_shared *script_shared;
    struct sipproc *sipproc;
    struct pump **pumps;            /* the workers', as sipproc wants them */
    struct rpc *rpc;
    struct rpc_backend backend;
    struct edge_worker *workers;
    unsigned n_workers;
    char mark_secret[DB_SECRET_LEN + 1]; /* key of the SIP process's marks */
    uint64_t next_conn_id;
    size_t n_restored;              /* sessions of the last process */
    bool stopping, is_ready;
    int exit_err;
    struct wheel_timer drain_timer;
    uint64_t drain_until_ms;
    pthread_mutex_t reload_lock;    /* SIGHUP and the RPC thread may both ask */
};

/* limits.memory, or what it stands for. */
uint64_t edge_memory_limit(const struct conf *conf);
/* [accounting] keep, in seconds. */
struct ws_settings edge_ws(const struct conf *conf);
int64_t edge_keep_s(const struct conf *conf);

/* ---- reload.c ---- */

/* Read the configuration again and put in force what can be; says in the log what was done. TD_EINVAL: faults has a line for
 * each fault and nothing has changed; TD_OK: perhaps some for what could not be loaded, and stays as it is. Any thread. */
int edge_reload(struct edge *e, struct buf *live, struct buf *restart, struct buf *faults);

/* ---- backend.c: what operators ask through ctl/ ---- */

/* One list of sources that are shut out, for both processes: struct limits of the edge. The first is called by any thread, under a lock. */
void backend_on_ban(void *arg, const struct addr *a, uint64_t seconds);
void backend_on_sip_up(void *arg);
void backend_on_sip_ban(void *arg, const struct addr *a, enum limits_why why);

void backend_init(struct edge *e);
void backend_fini(struct edge *e);
