/* WebSocket frames coming in, as a pure filter over wslay: bytes go in, whole messages and control frames come out.
 *
 * For the server's side: frames must be masked, no extension is known, fragments are put together within a limit. A
 * reader holds the unfinished frame and message, so a connection between two messages needs none (wsread_is_idle). It
 * touches no socket. One thread. RFC 6455 s.5. */
#pragma once

#include "common/sv.h"

struct wsread;

enum wsread_event {
    WSREAD_MORE,    /* all was taken, nothing is complete: feed more */
    WSREAD_MESSAGE, /* a text or binary message; which of them it was does not matter (RFC 7118 s.4.2, RFC 7977 s.4.2) */
    WSREAD_PING,
    WSREAD_PONG,
    WSREAD_CLOSE,
    /* Feed no more after these. */
    WSREAD_BROKEN,  /* the peer broke the protocol */
    WSREAD_TOO_BIG, /* the message is longer than allowed; told at the frame that says so */
    WSREAD_NO_MEMORY,
};

int wsread_new(struct wsread **out);
void wsread_free(struct wsread **r);

/* The next event in what is held and *in, which is advanced by what was taken; call again until MORE, with *in empty,
 * too.
 * max    bytes of a message at most
 * what   out: payload of the message or control frame; good until the next call
 * cost   memory grows with the bytes that have come, never with a length that was announced */
enum wsread_event wsread_next(struct wsread *r, size_t max, struct sv *in, struct sv *what);

/* Between two messages, and nothing is held. */
bool wsread_is_idle(const struct wsread *r);
/* A message has begun, and is not complete. */
bool wsread_is_amid(const struct wsread *r);
/* Bytes of memory. */
size_t wsread_size(const struct wsread *r);
