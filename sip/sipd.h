/* What the files of the SIP process share: one struct, made and taken down by process.c. One thread. */
#pragma once

#include "common/conf.h"
#include "common/hash.h"
#include "common/list.h"
#include "common/log.h"
#include "common/stats.h"
#include "net/reach.h"
#include "sip/flow.h"
#include "sip/overload.h"
#include "sip/sofia.h"
#include "sip/stack.h"

struct authn;
struct crypto_mac;
struct db;
struct db_feed;
struct dns;
struct limits;
struct location;
struct nonces;
struct script;
struct script_api;
struct script_shared;

struct sipd {
    const struct conf *conf;   /* borrowed */
    struct stack *stack;       /* owned, as all below */
    su_root_t *root;           /* borrowed from the stack, as is nta */
    nta_agent_t *nta;
    struct flows *flows;
    struct dns *dns;
    struct reach reach;        /* where requests may go */
    struct reach trusted;      /* and who needs no credentials */
    struct db *db;
    struct mailbox *mailbox;   /* answers of the database */
    int mail_wait;             /* its place in the root; -1: none */
    struct nonces *nonces;
    struct authn *authn;
    struct location *location;
    struct db_feed *feed;      /* accounting */
    struct overload overload;
    size_t n_requests;         /* struct request that live */
    struct list forks;         /* transactions under way */
    struct list offers;        /* connections offered to places of UDP: struct hops in hop.c, oldest first */
    struct list errands;       /* messages without one: struct errand in errand.c */
    size_t n_errands;
    struct list undelivered;   /* UDP responses that may have to go elsewhere: struct undelivered in undelivered.c, oldest first */
    size_t n_undelivered;
    struct hash answered;      /* branches of INVITEs answered with 2xx: struct answered in answered.c */
    struct list answered_list; /* the same, oldest first */
    struct pump_shared *shared; /* mapping: the request in work, for the edge to log should we die of it, and counters */
    struct conf *own_conf;     /* owned: of the last reload; NULL: none */
    struct limits *limits;     /* sources of datagrams, and who is shut out, as the edge says */
    const struct script_api *const *apis; /* borrowed: what scripts are offered */
    size_t n_apis;
    struct script_shared *script_shared;
    struct script *script;     /* NULL: the built-in routing alone */
    char *script_callback;     /* the function for requests */
    bool script_sees_replies;  /* it has ksr_reply_route */
    struct crypto_mac *mac;    /* by a key of the database: for the marks, which outlive the server */
    char run[PUMP_RUN_LEN + 1]; /* of this run of the server: connection ids mean something in it */
    uint64_t accounted[1024];  /* requests counted without a transaction: account.c's */
    uint64_t unnamed[256];     /* transactions of methods that Sofia does not know: step_cancel.c's */
    struct deaf {
        uint64_t hash, until_ms;
    } deaf[256];               /* places that took no connection and get datagrams of any size: hop.c's */
    int64_t swept_at;
    struct log_quota denied;   /* lines about them */
};

static inline uint64_t sipd_now_ms(void)
{
    su_time_t now = su_now();

    return (uint64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

/* UNIX time in seconds. */
static inline int64_t sipd_time(void)
{
    return (int64_t)su_now().tv_sec - 2208988800; /* Sofia counts from 1900 */
}
