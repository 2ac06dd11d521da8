/* What the files of net/ know of a connection beyond net/conn.h. */
#pragma once

#include "net/conn.h"
#include "net/tls.h"

enum { TLS_RECORD_MAX = 16 * 1024 }; /* plaintext of one */

/* It has something to write at the end of the turn. */
void conn_mark_dirty(struct conn *c);
/* The socket and all memory but the struct itself. */
void conn_release(struct conn *c);

/* Deadline for being up (first line, handshake, connect): closes with the reason given. */
void conn_deadline(struct conn *c, int64_t ms, enum close_reason reason);
void conn_deadline_clear(struct conn *c);

/* Options of a connected socket. */
void conn_tune(int fd);
/* Give a dialled connection its connected socket, then start what is queued. Takes the descriptor over. */
int conn_attach(struct conn *c, int fd);
/* The dialled connection (TLS included) is ready for the protocol. */
void conn_is_up(struct conn *c);
/* Forget a handshake and what it has queued; what the protocol has written stays. */
void conn_drop_tls(struct conn *c);
/* Start TLS as client on a connected, dialled connection. */
int conn_start_tls_client(struct conn *c, const char *host, enum tlsio_verify verify);

/* The protocol is known: tell the observer. */
void conn_opened(struct conn *c);

/* ---- intake.c ---- */

/* Its socket can be read or written. */
void conn_ready(struct loop_io *io, uint32_t events);
void conn_drop_kept(struct conn *c);
/* Offer what was kept to the protocol again, if reading is not paused. */
void conn_offer_kept(struct conn *c);

/* ---- dial.c ---- */

/* The socket of a connecting connection is ready. */
void dial_ready(struct conn *c, uint32_t events);
/* The address it was connected to is no good, its TLS has failed: the next one, or the end of the connection. c->dial
 * is there. */
void dial_again(struct conn *c, enum close_reason why, const char *text);
void dial_free(struct dial **d);
