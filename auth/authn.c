/* Authentication of MSRP AUTH and SIP requests. */
#include "auth/authn.h"

#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su.h>
#include <sofia-sip/url.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/claim.h"
#include "auth/nonce.h"
#include "auth/scheme.h"
#include "common/err.h"
#include "common/list.h"

struct authn {
    auth_mod_t *am;       /* owned */
    char *realm;          /* owned: of MSRP */
    struct list requests; /* struct authn_req: under way */
};

struct authn_req {
    struct list node;
    struct authn *a;       /* back */
    auth_status_t *as;     /* owned */
    authn_cb *cb;
    void *arg;
    struct auth_splugin_t scheme;
};

static const auth_challenger_t origin = { 401, "Unauthorized", sip_www_authenticate_class,
                                          sip_authentication_info_class };
static const auth_challenger_t proxy = { 407, "Proxy Authentication Required", sip_proxy_authenticate_class, NULL };

static uint64_t monotonic_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec;
}

/* ---- the object */

int authn_new(struct authn **out, const struct authn_opts *o, const struct conf *conf)
{
    struct authn *a = calloc(1, sizeof *a);
    auth_plugin_t *env;
    int err = TD_ENOMEM;

    *out = NULL;
    if (!a)
        return err;
    list_init(&a->requests);
    su_init();
    err = scheme_register();
    if (err)
        goto out;
    err = TD_ENOMEM;
    a->am = auth_mod_create(NULL, AUTHTAG_METHOD(SCHEME_NAME), AUTHTAG_REALM("*"), TAG_END());
    if (!a->am)
        goto out;
    env = scheme_env(a->am);
    env->db = o->db;
    env->mailbox = o->mailbox;
    env->nonces = o->nonces;
    env->uri_ok = o->uri_ok;
    env->now_s = o->now_s ? o->now_s : monotonic_s;
    for (int i = 0; i < DIGEST_ALG_N; i++) {
        uint8_t noise[32];

        crypto_random(noise, sizeof noise);
        crypto_hash_hex(i == DIGEST_MD5 ? CRYPTO_MD5 : CRYPTO_SHA256, sv_make(noise, sizeof noise), env->decoy[i]);
    }
    err = authn_configure(a, conf);
    if (err)
        goto out;
    *out = a;
    a = NULL;
out:
    authn_free(&a);
    return err;
}

void authn_free(struct authn **ap)
{
    struct authn *a = *ap;

    if (!a)
        return;
    *ap = NULL;
    list_each_safe(node, &a->requests)
        authn_cancel(list_item(node, struct authn_req, node));
    auth_mod_destroy(a->am);
    free(a->realm);
    free(a);
}

/* In the order configured; common/conf has seen to it that MD5 is the last (M-AUTH-15: clients that keep only the last
 * challenge are old ones). */
static void set_algorithms(auth_plugin_t *env, const struct conf_list *names)
{
    enum digest_alg alg;

    env->n_algs = 0;
    for (size_t i = 0; i < names->n && env->n_algs < DIGEST_ALG_N; i++)
        if (digest_alg_parse(sv_of(names->v[i]), &alg))
            env->algs[env->n_algs++] = alg;
}

int authn_configure(struct authn *a, const struct conf *conf)
{
    auth_plugin_t *env = scheme_env(a->am);
    char host[256] = "localhost";
    char *realm;

    if (!*conf->auth.realm)
        gethostname(host, sizeof host - 1); /* M-AUTH-05 */
    realm = sv_dup(sv_of(*conf->auth.realm ? conf->auth.realm : host));
    if (!realm)
        return TD_ENOMEM;
    free(a->realm);
    a->realm = realm;
    set_algorithms(env, &conf->auth.algorithms);
    env->lifetime_s = (uint64_t)conf->auth.nonce_lifetime;
    env->first_use_s = (uint64_t)conf->auth.nonce_first_use;
    env->require_qop = conf->auth.require_qop;
    return env->n_algs ? TD_OK : TD_EINVAL;
}

/* ---- a request */

static void req_free(struct authn_req *r)
{
    list_remove(&r->node);
    if (r->as)
        auth_status_unref(r->as);
    buf_fini(&r->scheme.answer);
    free(r);
}

void authn_cancel(struct authn_req *r)
{
    auth_mod_cancel(r->a->am, r->as);
    req_free(r);
}

/* Say how it ended, and be gone. */
static void req_finish(struct authn_req *r)
{
    const auth_status_t *as = r->as;
    struct authn_result result = {
        .phrase = as->as_phrase, .status = as->as_status, .realm = sv_of(as->as_realm),
        .username = r->scheme.had_credentials && r->scheme.cred.username.p ? digest_user(&r->scheme.cred) : SV(""),
        .had_credentials = r->scheme.had_credentials, .stale = r->scheme.stale,
    };

    switch (as->as_status) {
    case 0:
        result.verdict = AUTHN_OK;
        result.status = 200;
        result.phrase = "OK";
        break;
    case 400:
        result.verdict = AUTHN_BAD;
        break;
    case 403:
        result.verdict = AUTHN_FORBIDDEN;
        break;
    case 401:
    case 407:
        result.verdict = AUTHN_CHALLENGE;
        break;
    default:
        result.verdict = AUTHN_ERROR;
    }
    if (result.verdict == AUTHN_ERROR) {
        result.status = r->scheme.is_msrp ? 408 : 500;
        result.phrase = r->scheme.is_msrp ? "Authentication Timeout" : "Server Internal Error";
    }
    result.headers = buf_sv(&r->scheme.answer);
    r->cb(&result, r->arg);
    req_free(r);
}

static void on_status(auth_magic_t *magic, auth_status_t *as)
{
    req_finish(magic);
}

static struct authn_req *req_new(struct authn *a, bool is_msrp, authn_cb *cb, void *arg)
{
    struct authn_req *r = malloc(sizeof *r);

    if (!r)
        return NULL;
    memset(r, 0, offsetof(struct authn_req, scheme.cred));
    list_init(&r->node);
    r->a = a;
    r->cb = cb;
    r->arg = arg;
    r->scheme.is_msrp = is_msrp;
    r->as = auth_status_new(NULL);
    if (!r->as) {
        free(r);
        return NULL;
    }
    r->as->as_plugin = &r->scheme;
    r->as->as_magic = r;
    r->as->as_callback = on_status;
    return r;
}

/* Out of memory before there is a request. */
static struct authn_req *give_up(bool is_msrp, authn_cb *cb, void *arg)
{
    const struct authn_result result = { .verdict = AUTHN_ERROR,
                                         .status = is_msrp ? 408 : 500,
                                         .phrase = "Out Of Memory",
                                         .headers = SV(""),
                                         .username = SV(""),
                                         .realm = SV("") };

    cb(&result, arg);
    return NULL;
}

static struct authn_req *req_verify(struct authn_req *r, msg_auth_t *credentials, const auth_challenger_t *ach)
{
    auth_mod_verify(r->a->am, r->as, credentials, ach);
    if (r->as->as_status == 100) {
        list_append(&r->a->requests, &r->node);
        return r;
    }
    req_finish(r);
    return NULL;
}

static struct authn_req *verify_msrp(struct authn *a, struct sv uri, struct sv headers, struct sv realm, const struct db_cred *given,
                                     authn_cb *cb, void *arg)
{
    struct authn_req *r = req_new(a, true, cb, arg);

    if (!r)
        return give_up(true, cb, arg);
    r->scheme.given = given;
    r->as->as_realm = su_strndup(r->as->as_home, realm.p, (isize_t)realm.n);
    r->as->as_uri = su_strndup(r->as->as_home, uri.p, (isize_t)uri.n);
    r->as->as_method = "AUTH";
    if (!r->as->as_realm || !r->as->as_uri) {
        req_free(r);
        return give_up(true, cb, arg);
    }
    r->scheme.headers = headers;
    return req_verify(r, NULL, &origin);
}

struct authn_req *authn_msrp(struct authn *a, struct sv uri, struct sv headers, authn_cb *cb, void *arg)
{
    return verify_msrp(a, uri, headers, sv_of(a->realm), NULL, cb, arg);
}

void authn_msrp_given(struct authn *a, struct sv uri, struct sv headers, struct sv realm, const struct db_cred *cred, authn_cb *cb,
                      void *arg)
{
    static const struct db_cred nobody;

    verify_msrp(a, uri, headers, realm, cred ? cred : &nobody, cb, arg);
}

struct sv authn_realm(const struct authn *a)
{
    return sv_of(a->realm);
}

bool authn_password(struct sv headers, struct sv realm, struct sv password, bool is_ha1, struct db_cred *out)
{
    struct digest_cred claimed;
    struct buf text = BUF_INIT;
    bool good;

    *out = (struct db_cred){ .found = true };
    if (!claim_first(&claimed, headers))
        return false;
    if (is_ha1)
        return sv_copy(password, out->ha1_md5, sizeof out->ha1_md5) && sv_copy(password, out->ha1b_md5, sizeof out->ha1b_md5);
    buf_printf(&text, SV_FMT ":" SV_FMT ":" SV_FMT, SV_ARG(claimed.username), SV_ARG(realm), SV_ARG(password));
    good = !buf_failed(&text);
    if (good) {
        char hex[CRYPTO_HEX_MAX];

        crypto_hash_hex(CRYPTO_MD5, buf_sv(&text), hex);
        memcpy(out->ha1_md5, hex, sizeof out->ha1_md5);
        memcpy(out->ha1b_md5, hex, sizeof out->ha1b_md5);
        crypto_hash_hex(CRYPTO_SHA256, buf_sv(&text), out->ha1_sha256);
    }
    buf_fini(&text);
    return good;
}

int authn_fetch(struct authn *a, struct sv headers, struct db_cred *out, void (*done)(int err, const struct db_cred *cred, void *arg),
                void *arg, struct db_cred_req **req)
{
    auth_plugin_t *env = scheme_env(a->am);
    struct digest_cred claimed;

    if (!claim_first(&claimed, headers))
        return TD_EINVAL;
    return db_cred_get(env->db, digest_user(&claimed), claimed.realm, out, env->mailbox, done, arg, req);
}

struct authn_req *authn_sip(struct authn *a, struct sip_s const *sip, struct sv realm, bool is_proxy, authn_cb *cb,
                            void *arg)
{
    struct authn_req *r = req_new(a, false, cb, arg);

    if (!r)
        return give_up(false, cb, arg);
    r->as->as_realm = su_strndup(r->as->as_home, realm.p, (isize_t)realm.n);
    r->as->as_method = su_strdup(r->as->as_home, sip->sip_request->rq_method_name);
    r->as->as_uri = url_as_string(r->as->as_home, sip->sip_request->rq_url);
    if (!r->as->as_realm || !r->as->as_method || !r->as->as_uri) {
        req_free(r);
        return give_up(false, cb, arg);
    }
    return is_proxy ? req_verify(r, sip->sip_proxy_authorization, &proxy)
                    : req_verify(r, sip->sip_authorization, &origin);
}
