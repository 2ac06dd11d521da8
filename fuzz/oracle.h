/* Is what the relay writes a consequence of what was said to it? An opinion of its own on RFC 4975 and 4976.
 *
 * It reads what each peer says with a frame splitter of its own, and what the relay writes with the client library's parser.
 * Every request written must be one that came, its paths moved, its other lines and octets as they were (M-FWD-08, M-FWD-14); every
 * response and REPORT must have a reason and come once. Anything else ends the program. */
#pragma once

#include "fuzz/wrapped_io.h"

enum { ORACLE_FRAMES = 384 };

/* password: who says it in an AUTH may have connections opened. */
void oracle_start(const char *password);
void oracle_stop(void);

/* A new peer on this socket; on a WebSocket what it says and hears are messages, each of them one frame (M-WS-04). */
void oracle_peer(size_t sock, bool on_websocket);
/* From here in what it says a frame begins that is in order. */
void oracle_good_frame(size_t sock);
/* Something was said: octets, or a message. */
void oracle_heard(size_t sock, const char *p, size_t n);
/* The relay wrote: octets, or a message. */
void oracle_said(size_t sock, const char *p, size_t n);
/* What is said on this WebSocket from here on is of no consequence, and may end it. */
void oracle_over(size_t sock);
/* The relay ends this WebSocket: has it been given a reason for that status? */
void oracle_closed(size_t sock, unsigned status);
/* The relay connects: has anybody who may asked for it? */
void oracle_dialled(const struct addr *to);

/* The latest requests written to this socket without a response; the oldest first. */
struct oracle_request {
    size_t sock;
    char tid[33];
    char from[512], to[512]; /* its paths */
    bool is_send;
};
bool oracle_next_request(size_t sock, struct oracle_request *out);
/* A header's value in the last response to this socket; empty: none. */
struct sv oracle_use_path(size_t sock);

/* Everybody reads and time has passed: is a good frame unaccounted for? */
void oracle_settled(void);
