/* The mark in our Record-Route values: `td=PAYLOAD.MAC`.
 *
 * The payload says how the next hop on that side is reached: a flow, the real address of a UDP client behind NAT,
 * or nothing special. The MAC covers it and the Call-ID, so a mark can be neither made up nor carried to
 * another dialog: a request that shows a good one belongs to a dialog that this server has let pass (S-OUT-08,
 * S-SEC-06, S-RT-11). */
#pragma once

#include "net/addr.h"
#include "sip/sipd.h"

enum mark_kind { MARK_PLAIN, MARK_FLOW, MARK_UDP };

struct mark {
    enum mark_kind kind;
    uint64_t conn_id;   /* FLOW */
    struct addr addr;   /* UDP: the client's real address */
    char ident[8];      /* UDP: Sofia's ident of our socket */
};

enum { MARK_TEXT_MAX = 96 };

/* The value of the td parameter. */
void mark_print(const struct sipd *d, const struct mark *m, const char *callid, char out[MARK_TEXT_MAX]);
/* False: no mark of ours for this Call-ID. */
bool mark_parse(const struct sipd *d, const char *text, const char *callid, struct mark *m);
