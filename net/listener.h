/* Listening sockets: one per worker and address, SO_REUSEPORT.
 *
 * Accepts, applies the limits, and starts every connection in the sniffer. */
#pragma once

#include "net/conn.h"

enum { PORT_TCP = 1, PORT_TLS = 2, PORT_WS = 4, PORT_WSS = 8, PORT_UDP = 16 }; /* transports */
enum { PORT_SIP = 1, PORT_MSRP = 2 };                                          /* protocols */

struct listener;

/* Bind and listen. *at gets the real port when it is 0. The first worker's call finds out whether the port
 * is free; the error is TD_EINUSE or TD_EPERM. */
int listener_new(struct listener **out, struct worker *w, struct addr *at, uint8_t transports, uint8_t protocols);
/* The same with a socket that listens already, which becomes the listener's, also in case of failure (TD_ENOMEM, TD_EIO). */
int listener_adopt(struct listener **out, struct worker *w, int fd, uint8_t transports, uint8_t protocols);
/* Remains the listener's. Does not change while it lives; any thread. */
int listener_fd(const struct listener *l);
void listener_free(struct listener **l);
