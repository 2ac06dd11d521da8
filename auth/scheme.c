/* The Sofia authentication scheme: which credentials, are they right, are they fresh, what to answer.
 *
 * The order of the questions decides what a stranger can learn. The digest is always computed, for an unknown user with
 * a decoy HA1; only who gave a right digest hears that the nonce is stale (401 with stale=true) or the user blocked
 * (403); everybody else gets the same challenge. RFC 7616, RFC 8760; M-AUTH-02 to M-AUTH-15, S-AUT-01 to S-AUT-13. */
#include "auth/scheme.h"

#include <pthread.h>
#include <sofia-sip/su_string.h>

#include "auth/claim.h"
#include "auth/nonce.h"
#include "common/err.h"

struct scheme_mod {
    auth_mod_t mod;
    struct auth_plugin_t env;
};

auth_plugin_t *scheme_env(auth_mod_t *am)
{
    return &((struct scheme_mod *)(void *)am)->env;
}

static bool is_offered(const auth_plugin_t *env, enum digest_alg alg)
{
    for (size_t i = 0; i < env->n_algs; i++)
        if (env->algs[i] == alg)
            return true;
    return false;
}

/* ---- answers */

static void set_status(auth_status_t *as, int status, const char *phrase)
{
    as->as_status = status;
    as->as_phrase = phrase;
}

static void header_begin(struct buf *answer, msg_hclass_t *of)
{
    buf_puts(answer, of->hc_name);
    buf_puts(answer, ": ");
}

/* The answer is complete. */
static void answered(auth_status_t *as, int status, const char *phrase)
{
    if (buf_failed(&as->as_plugin->answer)) {
        buf_fini(&as->as_plugin->answer);
        set_status(as, 500, auth_internal_server_error);
        return;
    }
    set_status(as, status, phrase);
}

/* One header for each algorithm, in the order configured or backwards. */
static void challenge_with(auth_mod_t *am, auth_status_t *as, const auth_challenger_t *ach, bool backwards)
{
    auth_plugin_t *env = scheme_env(am);
    struct buf *answer = &as->as_plugin->answer;
    struct sv realm = sv_of(as->as_realm);
    char nonce[NONCE_LEN + 1];

    nonce_make(env->nonces, realm, env->now_s(), env->lifetime_s, nonce);
    for (size_t i = 0; i < env->n_algs; i++) {
        enum digest_alg alg = env->algs[backwards ? env->n_algs - 1 - i : i];

        header_begin(answer, ach->ach_header);
        digest_challenge_print(answer, alg, realm, sv_of(nonce), sv_of(nonces_opaque(env->nonces)), as->as_stale);
        buf_puts(answer, "\r\n");
    }
    answered(as, ach->ach_status, ach->ach_phrase);
}

static void challenge(auth_mod_t *am, auth_status_t *as, const auth_challenger_t *ach)
{
    challenge_with(am, as, ach, false);
}

static void challenge_stale(struct auth_splugin_t *s)
{
    s->stale = true;
    s->as->as_stale = 1;
    challenge(s->am, s->as, s->ach);
}

/* Users whose rows were made elsewhere may have an HA1 for MD5 alone, and a client tries the first algorithm it
 * knows. So who failed with SHA-256 is offered MD5 first, known or not, and SHA-256 behind it: the password may have been mistyped
 * by a client that knows nothing else. MD5 goes last (M-AUTH-15) for those who know it alone, and they do not fail like this. */
static void challenge_again(struct auth_splugin_t *s)
{
    challenge_with(s->am, s->as, s->ach, s->alg == DIGEST_SHA256);
}

/* ---- judging */

/* What the second hash covers: the frame's own bytes for MSRP (M-AUTH-07), the parameter's for SIP (S-AUT-05). */
static struct sv hashed_uri(const struct auth_splugin_t *s)
{
    return s->is_msrp ? sv_of(s->as->as_uri) : s->cred.uri;
}

static void admit(struct auth_splugin_t *s, struct sv ha1)
{
    char rspauth[CRYPTO_HEX_MAX];

    if (s->ach->ach_info && s->cred.qop.p) {
        digest_response(s->alg, &s->cred, ha1, SV(""), hashed_uri(s), rspauth);
        header_begin(&s->answer, s->ach->ach_info);
        digest_info_print(&s->answer, sv_of(rspauth), s->cred.cnonce, s->cred.nc);
        buf_puts(&s->answer, "\r\n");
    }
    answered(s->as, 0, "");
}

static void judge(struct auth_splugin_t *s, const struct db_cred *user)
{
    auth_plugin_t *env = scheme_env(s->am);
    bool is_whole = digest_user(&s->cred).n < s->cred.username.n; /* SHA-256: the table has no other, and MD5 is offered again */
    struct sv ha1 = sv_of(s->alg != DIGEST_MD5 ? user->ha1_sha256 : is_whole ? user->ha1b_md5 : user->ha1_md5), nonce = s->cred.nonce;
    bool has_ha1 = user->found && ha1.n, right;
    char expected[CRYPTO_HEX_MAX];

    if (!has_ha1)
        ha1 = sv_of(env->decoy[s->alg]);
    digest_response(s->alg, &s->cred, ha1, sv_of(s->as->as_method), hashed_uri(s), expected);
    right = crypto_equal(s->cred.response, sv_of(expected));
    if (!right || !has_ha1) {
        challenge_again(s);
        return;
    }
    if (nonce_check(env->nonces, nonce, sv_of(s->as->as_realm), env->now_s(), env->lifetime_s) != NONCE_GOOD ||
        !nonce_use(env->nonces, nonce, s->nc, env->now_s(), env->first_use_s, env->lifetime_s)) {
        challenge_stale(s);
        return;
    }
    if (user->blocked) {
        set_status(s->as, 403, "Forbidden");
        return;
    }
    admit(s, ha1);
}

static void looked_up(int err, const struct db_cred *user, void *arg)
{
    struct auth_splugin_t *s = arg;

    s->lookup = NULL;
    if (err)
        set_status(s->as, 500, "Authentication Unavailable");
    else
        judge(s, user);
    s->as->as_callback(s->as->as_magic, s->as);
}

/* ---- reading the request */

/* Where the credentials of a request are. */
struct source {
    msg_auth_t *au;       /* SIP */
    struct claims claims; /* MSRP */
};

/* The next ones into s->cred. 1: there they are; 0: there are no more; negative: malformed. */
static int read_next(struct auth_splugin_t *s, struct source *src)
{
    msg_auth_t *au;
    bool good = true;

    if (s->is_msrp)
        return claim_next(&src->claims, &s->cred);
    while ((au = src->au) && !su_casematch(au->au_scheme, "Digest"))
        src->au = au->au_next;
    if (!au)
        return 0;
    src->au = au->au_next;
    digest_cred_init(&s->cred);
    for (const msg_param_t *p = au->au_params; p && *p && good; p++)
        good = digest_take_param(&s->cred, sv_of(*p));
    return good ? 1 : TD_EINVAL;
}

/* Find Digest credentials for our realm, best with an algorithm that we offer. False: some are malformed. */
static bool find_credentials(struct auth_splugin_t *s, msg_auth_t *au)
{
    auth_plugin_t *env = scheme_env(s->am);
    struct source next = { au, { s->headers, 0 } }, here, chosen = next;
    bool is_offered_one = false, is_read = false; /* is s->cred the chosen one? */
    enum digest_alg alg;
    int found = 1;

    while (!is_offered_one) {
        here = next;
        found = read_next(s, &next);
        if (found <= 0)
            break;
        is_read = false;
        if (!s->cred.realm.p || !sv_eq(s->cred.realm, sv_of(s->as->as_realm)))
            continue;
        alg = DIGEST_MD5;
        is_offered_one = (!s->cred.algorithm.p || digest_alg_parse(s->cred.algorithm, &alg)) && is_offered(env, alg);
        if (!s->had_credentials || is_offered_one) {
            s->had_credentials = is_read = true;
            chosen = here;
        }
    }
    if (found < 0)
        return false;
    if (s->had_credentials && !is_read)
        read_next(s, &chosen);
    return true;
}

/* Is everything there that a digest needs? If not, a new challenge shows how it is done (M-AUTH-09). */
static bool is_complete(struct auth_splugin_t *s)
{
    const struct digest_cred *c = &s->cred;

    s->alg = DIGEST_MD5;
    if (c->algorithm.p && !digest_alg_parse(c->algorithm, &s->alg))
        return false;
    if (!is_offered(scheme_env(s->am), s->alg))
        return false;
    if (!c->username.n || !c->nonce.n || !c->response.n)
        return false;
    if (c->qop.p)
        return sv_eq_nocase(c->qop, SV("auth")) && c->cnonce.n && digest_nc_parse(c->nc, &s->nc);
    /* The form of RFC 2069 has no count: its nonce serves for one request. */
    s->nc = 1;
    return !s->is_msrp && !scheme_env(s->am)->require_qop;
}

static void check(auth_mod_t *am, auth_status_t *as, msg_auth_t *au, const auth_challenger_t *ach)
{
    struct auth_splugin_t *s = as->as_plugin;
    auth_plugin_t *env = scheme_env(am);
    struct db_cred user;
    int known;

    s->am = am;
    s->as = as;
    s->ach = ach;
    digest_cred_init(&s->cred);
    if (!find_credentials(s, au)) {
        digest_cred_init(&s->cred); /* nobody in particular */
        s->had_credentials = s->is_msrp;
        set_status(as, 400, "Malformed Credentials");
        return;
    }
    if (!s->had_credentials || !is_complete(s)) {
        challenge(am, as, ach);
        return;
    }
    /* Optional in MSRP (M-AUTH-08), the hashed text in SIP (S-AUT-06). */
    if (s->cred.uri.p ? !env->uri_ok(s->cred.uri, sv_of(as->as_uri), sv_of(as->as_method)) : !s->is_msrp) {
        set_status(as, 400, "Digest URI Mismatch");
        return;
    }
    if (s->given) {
        judge(s, s->given);
        return;
    }
    known = db_cred_get(env->db, digest_user(&s->cred), sv_of(as->as_realm), &user, env->mailbox, looked_up, s, &s->lookup);
    if (known == 1)
        judge(s, &user);
    else if (known == 0)
        set_status(as, 100, "Trying");
    else
        set_status(as, 500, "Authentication Unavailable");
}

static void cancel(auth_mod_t *am, auth_status_t *as)
{
    struct auth_splugin_t *s = as->as_plugin;

    if (s->lookup)
        db_cred_cancel(s->lookup);
    s->lookup = NULL;
}

static auth_scheme_t scheme = {
    SCHEME_NAME, sizeof(struct scheme_mod), auth_init_default, check, challenge, cancel, auth_destroy_default,
};

static int register_result;

static void register_once(void)
{
    register_result = auth_mod_register_plugin(&scheme);
}

int scheme_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_once);
    return register_result == 0 ? TD_OK : TD_ELIMIT;
}
