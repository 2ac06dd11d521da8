/* What the edge and the SIP process say to each other on the control socket.
 *
 * A SOCK_SEQPACKET pair, one record a packet, native byte order: both ends are the same executable. The edge
 * announces a flow with one end of a stream socket pair, its leg. A flow is named by its
 * connection id, which stays the same when the flow is handed to the next SIP process. */
#pragma once

#include "common/stats.h"
#include "net/addr.h"

enum pump_kind { PUMP_TCP, PUMP_TLS, PUMP_WS, PUMP_WSS, PUMP_KIND_N };

enum pump_type {
    /* edge to SIP process */
    /* first record; text: the secret for marks, and PUMP_RUN_LEN characters that name this run of the edge; carries
     * (SCM_RIGHTS) a memfd with a struct pump_shared */
    PUMP_HELLO = 1,
    /* conn_id, kind, peer, local, text: name in the peer's verified certificate; dial_id if asked for; carries the SIP
     * process's end of the leg */
    PUMP_ANNOUNCE,
    PUMP_CLOSED,    /* conn_id: the client has gone */
    PUMP_ENDING,    /* conn_id: the client sends no more, and takes the answers to what it has sent, but no requests */
    PUMP_ASK,       /* conn_id: the leg ended; was it you? */
    PUMP_PING,      /* are you alive? */
    PUMP_DIAL_FAILED, /* dial_id */
    PUMP_CONF,      /* a reload: carries a memfd with the configuration as text */
    PUMP_BAN,       /* peer, seconds, kind (enum limits_why): shut this source out; 0 seconds: let it in again. Both ways */
    PUMP_FORGET,    /* subscribers have changed: what is remembered of their credentials */
    /* SIP process to edge */
    PUMP_READY,     /* kind_port[][]: the internal listeners; 0: none */
    PUMP_GONE,      /* conn_id: answer to ASK: yes; without ASK: please close this flow */
    PUMP_PONG,
    PUMP_DIAL,      /* dial_id, kind, peer, text: open a connection to peer, with TLS as the host named in text */
    PUMP_KEEP,      /* conn_id, seconds: the client has promised to be heard that often */
    PUMP_FAULT,     /* text: why the SIP process cannot start; it exits after that */
};

enum { PUMP_RUN_LEN = 8, PUMP_TEXT_MAX = 256, PUMP_BOX_SIZE = 4096 };

/* Memory of both: it outlives a SIP process. */
struct pump_shared {
    char box[PUMP_BOX_SIZE]; /* the request in work, should it end the process */
    struct stats stats;      /* written by the SIP process's thread alone */
};

struct pump_rec {
    uint8_t type; /* enum pump_type */
    uint8_t kind; /* enum pump_kind; BAN: enum limits_why */
    uint16_t worker;  /* of the edge that owns the flow; comes back in GONE */
    uint32_t dial_id; /* 0: none */
    uint32_t seconds; /* KEEP, BAN */
    uint64_t conn_id;
    struct addr peer, local;
    uint16_t ports[PUMP_KIND_N][2]; /* READY: by kind and family (0: IPv4, 1: IPv6) */
    char text[PUMP_TEXT_MAX];       /* NUL-terminated; sent only as far as it is used */
};

/* Bytes of a record to send, and the check of one received (text is terminated). */
static inline size_t pump_rec_size(const struct pump_rec *r)
{
    return offsetof(struct pump_rec, text) + strnlen(r->text, PUMP_TEXT_MAX - 1) + 1;
}

static inline bool pump_rec_check(struct pump_rec *r, size_t n)
{
    if (n <= offsetof(struct pump_rec, text) || n > sizeof *r)
        return false;
    ((char *)r)[n - 1] = '\0';
    return true;
}
