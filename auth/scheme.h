/* The Sofia authentication scheme "tandem": Digest with our credentials, algorithms, nonces and replay check.
 *
 * Used through Sofia's own calls: auth_mod_create(AUTHTAG_METHOD(SCHEME_NAME), AUTHTAG_REALM("*")), then the
 * module's environment, then auth_mod_verify() with as_realm, as_method, as_uri and an as_plugin of ours. as_status
 * is 100 when the answer comes later (as_callback); else 0, 400, 403, 500 or the challenge's. One module a thread.
 * What is to be answered is in as_plugin->answer as text, not in as_response and as_info: whoever answers writes text. */
#pragma once

#include <sofia-sip/auth_plugin.h>

#include "auth/digest.h"
#include "db/cred.h"

struct nonces;

#define SCHEME_NAME "tandem"

/* What a module needs to know; Sofia keeps it behind the auth_mod_t. All borrowed but what is an array. */
struct auth_plugin_t {
    struct db *db;
    struct mailbox *mailbox;
    struct nonces *nonces;
    bool (*uri_ok)(struct sv given, struct sv request_uri, struct sv method);
    uint64_t (*now_s)(void);
    enum digest_alg algs[DIGEST_ALG_N]; /* offered, in this order */
    size_t n_algs;
    uint64_t first_use_s, lifetime_s;
    bool require_qop;
    char decoy[DIGEST_ALG_N][CRYPTO_HEX_MAX]; /* stands for the HA1 of users who have none */
};

/* One verification; the caller's, alive until the status is final or auth_mod_cancel() was called. All zero but what is given to it. */
struct auth_splugin_t {
    bool is_msrp;           /* in: the hash is over as_uri, and qop is required (RFC 4976 s.9.1) */
    struct sv headers;      /* in: MSRP's header lines, in which its credentials are; those of SIP are an argument of auth_mod_verify() */
    const struct db_cred *given; /* in: judge by these, ask nobody; or NULL */
    bool had_credentials;   /* out */
    bool stale;             /* out */
    struct buf answer;      /* out, owned by the caller: header lines for the response, each with CRLF */

    auth_mod_t *am;
    auth_status_t *as;
    const auth_challenger_t *ach;
    struct db_cred_req *lookup; /* under way */
    enum digest_alg alg;
    uint32_t nc;
    struct digest_cred cred; /* last: its text need not be zero */
};

/* Tell Sofia of it; once a process is enough, any thread may. */
int scheme_register(void);
auth_plugin_t *scheme_env(auth_mod_t *am);
