/* What the files of the MSRP client share with each other and nobody else. */
#pragma once

#include "client/msrp_client.h"

/* The state of a link: the sessions on it and the frame being read. It, sessions and links are freed at the end of the
 * loop turn, so whoever called back may go on reading them. */
struct wire {
    struct list sessions;
    struct mc_session *open;  /* whose chunk is open on the link; NULL: none */
    struct loop_defer free_later, next_turn;

    enum { WIRE_OTHER, WIRE_SEND } kind;
    struct mc_session *s;     /* the SEND's; NULL: refused, or gone */
    struct mc_in *m;          /* its message; NULL: bodiless or refused */
    struct mc_in *spare;      /* owned: for a message that is complete in one chunk */
    unsigned code;            /* what it will be answered */
    bool answer_ok, answer_bad;
    char tid[MC_IDENT_MAX + 1];
    struct buf to, own;       /* paths of the answer */
    struct mc_range range;
    uint64_t got;             /* octets of this chunk so far */
};

void mc_random_name(struct mc *mc, char *out, size_t n);
char *mc_own_uri(struct mc_session *s, const struct addr *at, bool tls);
void mc_session_bind(struct mc_session *s, struct mc_link *l);
void mc_session_fail(struct mc_session *s, unsigned code, const char *why);

/* msrp_auth.c */
void mc_auth_init(struct mc_session *s);
void mc_auth_start(struct mc_session *s);
void mc_auth_answer(struct mc_session *s, const struct mc_head *h);

/* msrp_out.c */
void mc_out_init(struct mc_session *s);
void mc_out_pump(struct mc_session *s);
void mc_out_pump_all(struct wire *w); /* every session of the link, each first in turn */
void mc_out_interrupt(struct mc_link *l); /* before any other frame is written: end an open chunk */
void mc_out_answer(struct mc_session *s, const struct mc_head *h);
void mc_out_report(struct mc_session *s, struct sv id, const struct mc_range *r, unsigned code);
void mc_out_lost(struct mc_session *s, const char *why); /* the connection: every message fails */
void mc_out_forget(struct mc_session *s);                /* the session is being freed */
