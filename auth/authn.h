/* Authentication of MSRP AUTH and SIP requests: one door for both protocols.
 *
 * A struct authn belongs to one thread and answers through that thread's mailbox. Credentials that are in memory are
 * judged before the call returns; else the database's reader thread is asked meanwhile. The callback comes exactly
 * once (possibly before the call returns) unless the request is cancelled. Inside is a Sofia authentication module
 * (auth/scheme.h), which judges both alike. */
#pragma once

#include "common/conf.h"
#include "common/mailbox.h"

struct authn;
struct authn_req;
struct db;
struct db_cred;
struct db_cred_req;
struct nonces;
struct sip_s; /* Sofia's sip_t */

enum authn_verdict {
    AUTHN_OK,        /* 200; headers: Authentication-Info */
    AUTHN_CHALLENGE, /* 401 or 407; headers: one challenge for each algorithm */
    AUTHN_BAD,       /* 400: malformed, or the digest is for another URI */
    AUTHN_FORBIDDEN, /* 403: right password, blocked user */
    AUTHN_ERROR,     /* the database did not answer: 408 for MSRP, 500 for SIP */
};

struct authn_result {
    enum authn_verdict verdict;
    int status;
    const char *phrase;    /* static */
    struct sv headers;     /* header lines for the response, each with CRLF */
    struct sv username;    /* verified with OK and FORBIDDEN, else as claimed; empty: no credentials */
    struct sv realm;       /* also the user's domain */
    bool had_credentials;  /* for our realm; so CHALLENGE without stale was a failed attempt */
    bool stale;
};

/* Texts live during the call. The authn and the request handle may not be freed in here. */
typedef void authn_cb(const struct authn_result *r, void *arg);

struct authn_opts {
    struct db *db;           /* borrowed, started */
    struct mailbox *mailbox; /* borrowed: of the thread that owns the authn */
    struct nonces *nonces;   /* borrowed: one a process */
    /* Is the `uri` parameter a client gave good for this request? MSRP: are they equal (M-AUTH-08)? SIP: S-AUT-06. */
    bool (*uri_ok)(struct sv given, struct sv request_uri, struct sv method);
    uint64_t (*now_s)(void); /* NULL: the monotonic clock */
};

int authn_new(struct authn **out, const struct authn_opts *o, const struct conf *conf);
/* Requests under way are cancelled. */
void authn_free(struct authn **a);

/* After a reload: realm, algorithms, nonce lifetime are copied from it. */
int authn_configure(struct authn *a, const struct conf *conf);

/* uri: the rightmost URI of To-Path, byte for byte. headers: the frame's header lines after the paths, each with CRLF.
 * Returns the request when the callback is still to come, else NULL. */
struct authn_req *authn_msrp(struct authn *a, struct sv uri, struct sv headers, authn_cb *cb, void *arg);

/* The same for a realm and credentials that the caller knows, or NULL: nobody's, so whatever the client says is wrong. The callback
 * comes before this returns. */
void authn_msrp_given(struct authn *a, struct sv uri, struct sv headers, struct sv realm, const struct db_cred *cred, authn_cb *cb,
                      void *arg);

/* The realm of MSRP. */
struct sv authn_realm(const struct authn *a);

/* What a user who claims this name in such headers would have with that password, or with that MD5 HA1. False: nobody is claimed. */
bool authn_password(struct sv headers, struct sv realm, struct sv password, bool is_ha1, struct db_cred *out);

/* Fetch the credentials that an MSRP AUTH with these headers claims to have. 1: *out is filled; 0: done comes later, unless it is
 * cancelled by db_cred_cancel(); negative: none are claimed, or the database fails. realm: as the client gives it. */
int authn_fetch(struct authn *a, struct sv headers, struct db_cred *out, void (*done)(int err, const struct db_cred *cred, void *arg),
                void *arg, struct db_cred_req **req);

/* sip need not outlive the call. realm: the domain served. is_proxy: 407 and Proxy-*, else 401. */
struct authn_req *authn_sip(struct authn *a, struct sip_s const *sip, struct sv realm, bool is_proxy, authn_cb *cb,
                            void *arg);

/* The callback does not come any more. */
void authn_cancel(struct authn_req *req);
