/* The client's side of a WebSocket, for peers of the whole-connection target: it puts what they say into frames, and takes what the relay
 * writes out of them. RFC 6455; every frame of the relay's is checked against it, and whether a message is text or binary (M-WS-03).
 *
 * A peer says a message with one call; how it is cut into frames, and what stands between them, is of the peer's manner. One thread. */
#pragma once

#include "fuzz/wrapped_io.h"

/* A peer's manner, in a byte. */
enum {
    WSP_CUT = 7,      /* index of how long its frames are; 0: one frame a message */
    WSP_TEXT = 8,     /* text rather than binary */
    WSP_PINGS = 16,   /* a ping between any two frames */
    WSP_HALVES = 32,  /* what is said with one call makes two messages */
    WSP_GLUE = 64,    /* ... is the front of the next one */
    WSP_SILENT = 128, /* pings are not answered */
};

void wsp_start(void);
void wsp_stop(void);
bool wsp_is(size_t sock);
/* Say the handshake; what follows are messages. */
void wsp_open(size_t sock);
void wsp_manner(size_t sock, uint8_t manner);
void wsp_say(size_t sock, const char *p, size_t n);
/* Something that is no message: a control frame, or one that breaks the protocol. */
void wsp_control(size_t sock, unsigned what);
/* The relay wrote. */
void wsp_said(size_t sock, const char *p, size_t n);

/* Defined by the target: messages that were said and written, and ends. */
void wsp_on_heard(size_t sock, const char *p, size_t n);
void wsp_on_message(size_t sock, const char *p, size_t n);
void wsp_on_closed(size_t sock, unsigned status); /* the relay's close frame */
void wsp_on_over(size_t sock); /* nothing it says from here on is a message */
