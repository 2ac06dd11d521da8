/* The Sofia stack: its event loop's transports, and what this server is called.
 *
 * UDP sockets are Sofia's own, one for each listening address with udp, and for each of the machine's where that is any; streams come through internal listeners on
 * loopback, one for each kind and address family in use, whose Via is set to the public address. */
#pragma once

#include "common/conf.h"
#include "net/pump_proto.h"
#include "net/resolve.h"
#include "sip/sofia.h"

struct stack;

/* The message callback gets every request without a transaction and every response without one. On failure the
 * reason is appended to fault; TD_EINUSE when a UDP port is taken. */
int stack_new(struct stack **out, const struct conf *conf, struct sipd *d, nta_message_f *on_message,
              struct buf *fault);
void stack_free(struct stack **s);
/* After a reload: the domains served. conf is borrowed, the former one not any more. */
void stack_configure(struct stack *s, const struct conf *conf);

su_root_t *stack_root(struct stack *s);
nta_agent_t *stack_agent(struct stack *s);

/* Are there streams of this kind and address family? */
bool stack_has(const struct stack *s, enum pump_kind kind, int family);

/* The internal listeners' ports, and their addresses one after the other (*i starts at 0; false: no more). */
void stack_ports(const struct stack *s, uint16_t ports[PUMP_KIND_N][2]);
bool stack_listener(const struct stack *s, size_t *i, struct addr *out);

/* Is this host (and port) this server: a domain it serves, or one of its addresses with one of its ports? */
bool stack_is_us(const struct stack *s, const url_t *url);
/* Does this server listen at that address? */
bool stack_owns(const struct stack *s, const struct addr *a);
/* Is the host a domain served here? Without configured domains our addresses are. */
bool stack_is_domain(const struct stack *s, const url_t *url);

/* The UDP primary that a datagram came in on, by Sofia's ident; NULL: no such. */
tport_t *stack_udp(const struct stack *s, const char *ident);
/* The UDP primary that a binding came on ("udp:HOST:PORT"), or else the first of the family; NULL: there is none. */
tport_t *stack_udp_for(const struct stack *s, const char *socket, int family);
/* The UDP primary to send from to that address: the one whose own address the kernel has for it, or else the first of the family. */
tport_t *stack_udp_to(const struct stack *s, const struct addr *to);
/* "udp:HOST:PORT" of a UDP primary. */
void stack_udp_text(const struct stack *s, const tport_t *tp, char *out, size_t size);
/* HOST:PORT by which others reach us as by this stream, one end of which is ours: for Record-Route and Path. */
enum { STACK_PUBLIC_MAX = RESOLVE_HOST_MAX + 10 };
void stack_public_text(const struct stack *s, enum pump_kind kind, const struct addr *end, char out[STACK_PUBLIC_MAX]);
/* The address that others reach this primary at: for Record-Route. */
const char *stack_host(const struct stack *s, const tport_t *tp);
uint16_t stack_port(const struct stack *s, const tport_t *tp);
