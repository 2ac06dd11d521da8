/* WebSocket: a layer of a connection between socket (or TLS) bytes and protocol, server's side. RFC 6455.
 *
 * wsio_proto is the protocol of a connection that the sniffer has found to be HTTP: it answers the handshake
 * (net/wshand), puts the layer in (c->ws) and hands the connection to SIP or MSRP, or it refuses. From then on:
 *
 * Reading: the protocol's data() is offered exactly one message, text or binary alike, put together of its fragments;
 * or, when it has paused the connection in the middle of one, the rest of it. What it leaves without pausing ends the
 * connection (1002): a message is never continued by the next one (RFC 7118 s.5, RFC 7977 s.5.1). A protocol that finds
 * a message in want of an end, or two of its own in one, calls conn_finish(c, CLOSE_WS_MESSAGE). wsio_begins() tells a
 * new message from a rest. Empty messages are not offered.
 *
 * Writing: wsio_write(), or wsio_begin() and then all of the message's bytes with the functions of net/conn.h, before
 * anything else is done with the connection: pings, pongs and the close frame go in between messages only because
 * nobody else gets to run in the middle of one.
 *
 * Ending: conn_finish() sends a close frame whose status follows from the reason; one of the peer's is answered and
 * closes the connection. The layer answers pings, and sends some when nothing is heard: two without an answer end the
 * connection. All of the worker's thread. */
#pragma once

#include "net/conn.h"

struct wsread;

extern const struct conn_proto wsio_proto;

enum {
    WS_MISSES_MAX = 2,       /* pings that may go unanswered */
    WS_MESSAGE_MS = 60000,   /* a message that has begun is to be complete by then */
};

/* Announce a message of n bytes, text only if all of it is valid UTF-8 (common/utf8.h). On a connection without
 * WebSocket: nothing. */
void wsio_begin(struct conn *c, size_t n, bool is_text);
/* Write a whole message: as text if it is, else binary (S-WS-03, M-WS-03). Without WebSocket: just the bytes. */
void wsio_write(struct conn *c, const void *p, size_t n);

/* In data(): is this the front of a message? */
bool wsio_begins(const struct conn *c);

/* When its client was heard last, be it a pong; of loop_now_ms(). 0: it has no WebSocket. */
uint64_t wsio_heard_ms(const struct conn *c);

/* ---- for the files of net/ ---- */

/* Bytes of the layer below, for messages to the protocol; how many were taken: all, unless the connection was
 * paused. */
size_t wsio_input(struct conn *c, const char *p, size_t n);
/* A message, or a part of one, waits for the connection to be resumed. */
bool wsio_is_waiting(const struct conn *c);
/* Say good-bye, unless it was said. */
void wsio_bye(struct conn *c, enum close_reason reason);
/* No more calls; the memory stays until wsio_free(), as the protocol may be looking at it. */
void wsio_stop(struct conn *c);
void wsio_free(struct conn *c);
