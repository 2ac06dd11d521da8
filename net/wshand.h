/* The WebSocket opening handshake, server's side: is this HTTP request one, and what is answered? Pure functions.
 *
 * Which sub-protocol is spoken is the first of the client's that is served here: RFC 7118 s.4.1 (sip), RFC 7977 s.4.1
 * (msrp). RFC 6455 s.4.2. */
#pragma once

#include "common/buf.h"
#include "common/conf.h"

enum {
    WSHAND_HEAD_MAX = 8 * 1024, /* request line and headers */
    WSHAND_HEADERS_MAX = 100,
};

enum wshand_protocol { WSHAND_NONE, WSHAND_SIP = 1, WSHAND_MSRP = 2 }; /* bits */

struct wshand_policy {
    bool is_served;                /* no: no WebSocket on this port, all is 404 */
    uint8_t protocols;             /* bits of enum wshand_protocol that are spoken on it */
    uint8_t forbidden;             /* those that would be, were it only secure: 403 */
    const struct conf_list *origins; /* allow-list; NULL or empty: any. Who names no origin is no browser, and let in */
};

struct wshand_result {
    int status;                    /* 101, or why not */
    enum wshand_protocol protocol; /* with 101 */
    const char *why;               /* static: for the log */
};

/* Bytes of the request head at p, its empty line included. 0: it is not all there. */
size_t wshand_head(const char *p, size_t n);

/* Judge a request (its whole head, or what there is when it is over WSHAND_HEAD_MAX) and append the answer to out. */
struct wshand_result wshand_answer(struct sv head, const struct wshand_policy *policy, struct buf *out);
