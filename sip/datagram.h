/* Datagrams are looked at before Sofia sees them, as messages on streams are in the edge (net/sipframe.h).
 *
 * Sofia reads its UDP sockets itself and says nothing when a start line makes no sense to it; recvmsg() is interposed, as accept() is in
 * sip/flow.c. What may not pass is answered here, from the socket it came to, and Sofia is given a keep-alive instead. RFC 3261 s.18.3. One thread. */
#pragma once

#include "common/sv.h"
#include "net/addr.h"

/* May a datagram of this source pass? is_request: it is none of the keep-alives and responses. NULL: all may. */
typedef bool datagram_may_fn(void *arg, const struct addr *source, bool is_request);
void datagram_admit(datagram_may_fn *may, void *arg);

/* One has come back, as nobody takes it there (ICMP): where it went, and how it began. NULL: nobody wants to know. */
typedef void datagram_returned(void *arg, const struct addr *to, struct sv text);
void datagram_returns(datagram_returned *fn, void *arg);

/* How full the queue of one of the sockets is, in the kernel: the fullest one's. */
unsigned datagram_percent(void);

/* From now on, for the sockets bound to these addresses; borrowed, n 0 ends it. */
void datagram_guard(const struct addr *locals, size_t n);
