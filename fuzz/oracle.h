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

/* A new peer on this socket. */
void oracle_peer(size_t sock);
/* From here in what it says a frame begins that is in order. */
void oracle_good_frame(size_t sock);
/* Something was said. */
void oracle_heard(size_t sock);
/* The relay wrote. */
void oracle_said(size_t sock, const char *p, size_t n);
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
