/* The mark in our Record-Route and Path values: `td=PAYLOAD.MAC`.
 *
 * The payload says how the next hop on that side is reached: a flow, the real address of a UDP client behind NAT,
 * or nothing special. The MAC covers it and the Call-ID, so a mark can be neither made up nor carried to
 * another dialog: a request that shows a good one belongs to a dialog that this server has let pass (S-OUT-08,
 * S-SEC-06, S-RT-11).
 *
 * The key lives in the database: a dialog goes on after a restart. A flow does not, so its mark says, too, which registered device is at the
 * end of it, to be found again on the flow that the device has by then. */
#pragma once

#include "net/addr.h"
#include "sip/sipd.h"

enum mark_kind { MARK_PLAIN, MARK_FLOW, MARK_UDP };

struct mark {
    enum mark_kind kind;
    uint64_t conn_id;   /* FLOW; 0: of an earlier run of the server */
    uint64_t device;    /* FLOW: mark_device() of the binding on it; 0: none */
    struct addr addr;   /* UDP: the client's real address */
    char ident[8];      /* UDP: Sofia's ident of our socket */
};

enum { MARK_TEXT_MAX = 96 };

/* The value of the td parameter. */
void mark_print(const struct sipd *d, const struct mark *m, const char *callid, char out[MARK_TEXT_MAX]);
/* What names a device of a user: its instance (RFC 5626) or else its contact. Never 0. */
uint64_t mark_device(const struct sipd *d, struct sv user, struct sv domain, const char *instance, const char *contact);

/* False: no mark of ours for this Call-ID. */
bool mark_parse(const struct sipd *d, const char *text, const char *callid, struct mark *m);
