/* The SIP half of msrpcat: register, call, answer, hang up, with Sofia's nua.
 *
 * nua's media engine stays off and SDP passes as plain text (client/sdp.h reads it), so Sofia
 * never parses a description. Everything runs on the caller's thread, inside sip_ua_step(). One call at a time. */
#pragma once

#include "common/buf.h"

struct sip_ua;

struct sip_ua_ops {
    void (*registered)(void *arg, int status, const char *phrase);
    void (*invited)(void *arg, struct sv from, struct sv sdp);  /* answer with sip_ua_accept() or sip_ua_reject() */
    void (*answered)(void *arg, struct sv sdp);                 /* our INVITE got a 2xx */
    void (*refused)(void *arg, int status, const char *phrase); /* our INVITE got something else */
    void (*established)(void *arg);                             /* the call we accepted got its ACK */
    void (*ended)(void *arg);                                   /* the call is over, whoever hung up */
};

struct sip_ua_opts {
    const char *aor;      /* sip:user@host[:port] */
    const char *proxy;    /* next hop, a SIP URI with transport; NULL: the AOR's host by TCP */
    const char *user, *password;
    const char *bind_host; /* local IP literal towards the proxy */
    bool tls, no_verify;
    void (*trace)(void *arg, struct sv text); /* NULL: off */
    void *trace_arg;
};

int sip_ua_new(struct sip_ua **out, const struct sip_ua_opts *opts, const struct sip_ua_ops *ops, void *arg,
               struct buf *fault);
/* Shuts down in order (BYE, un-REGISTER), for at most a few seconds. */
void sip_ua_free(struct sip_ua **u);

void sip_ua_step(struct sip_ua *u); /* do what is due; never waits */

void sip_ua_register(struct sip_ua *u);
void sip_ua_invite(struct sip_ua *u, const char *to, struct sv sdp);
void sip_ua_accept(struct sip_ua *u, struct sv sdp);
void sip_ua_reject(struct sip_ua *u, int status, const char *phrase);
void sip_ua_bye(struct sip_ua *u); /* ended() follows */
