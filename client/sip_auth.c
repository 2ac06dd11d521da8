/* Digest with SHA-256 for Sofia's clients. */
#include "client/sip_auth.h"

#define SOFIA_EXTEND_AUTH_CLIENT 1
#include <sofia-sip/auth_client.h>
#include <sofia-sip/auth_client_plugin.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/url.h>

#include "client/digest.h"

struct client {
    auth_client_t base;
    char *challenge; /* of base.ca_home: the WWW-Authenticate value in use */
    uint32_t nc;
};

static const char *secret; /* borrowed; Sofia's own way to hand it over cannot carry a colon */

/* 2: new credentials are worth a try; 1: noted; negative: error. A server's offers come one call each, the one it
 * prefers first; those behind it have a nonce of their own and are passed over. */
static int take_challenge(auth_client_t *ca, msg_auth_t const *offer)
{
    struct client *c = (struct client *)(void *)ca;
    struct mc_challenge old = { 0 }, now;
    struct buf b = BUF_INIT;
    int ret = 1;

    buf_puts(&b, "Digest ");
    for (size_t i = 0; offer->au_params && offer->au_params[i]; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", offer->au_params[i]);
    if (buf_failed(&b)) {
        ret = -1;
        goto out;
    }
    if (!mc_challenge_parse(buf_sv(&b), &now))
        goto out;
    if (c->challenge)
        mc_challenge_parse(sv_of(c->challenge), &old);
    if (c->challenge && now.algorithm != old.algorithm)
        goto out;
    if (!c->challenge || now.is_stale)
        ret = 2;
    if (!c->challenge || !sv_eq(old.nonce, now.nonce))
        c->nc = 0;
    su_free(ca->ca_home, c->challenge);
    c->challenge = su_strdup(ca->ca_home, b.p);
    if (!c->challenge)
        ret = -1;
out:
    buf_fini(&b);
    return ret;
}

static int authorize(auth_client_t *ca, su_home_t *home, char const *method, url_t const *url,
                     msg_payload_t const *body, msg_header_t **out)
{
    struct client *c = (struct client *)(void *)ca;
    struct mc_credentials who;
    struct mc_challenge ch;
    struct mc_digest d;
    struct buf b = BUF_INIT;
    char cnonce[17];
    char *uri;

    if (!ca->ca_user || !ca->ca_pass || ca->ca_clear || !c->challenge ||
        !mc_challenge_parse(sv_of(c->challenge), &ch))
        return 0;
    uri = url_as_string(home, url);
    if (!uri)
        return -1;
    crypto_random_name(cnonce, sizeof cnonce - 1);
    who = (struct mc_credentials){ sv_of(ca->ca_user), sv_of(secret), true };
    d = (struct mc_digest){ sv_of(method), sv_of(uri), sv_of(cnonce), ++c->nc };
    mc_digest_authorize(&b, &ch, &who, &d);
    *out = buf_failed(&b) ? NULL : msg_header_make(home, ca->ca_credential_class, b.p);
    buf_fini(&b);
    su_free(home, uri);
    return *out ? 0 : -1;
}

static int clear(auth_client_t *ca)
{
    ca->ca_clear = 1;
    return 1;
}

/* Sofia compares schemes without regard to case; but auc_register_plugin() takes the place of the first plugin whose
 * name is *not* the same, case and all, and that is its own "Digest". */
static const auth_client_plugin_t plugin = {
    .auc_plugin_size = sizeof plugin,
    .auc_size = sizeof(struct client),
    .auc_name = "DIGEST",
    .auc_challenge = take_challenge,
    .auc_authorize = authorize,
    .auc_clear = clear,
};

int sip_auth_install(const char *password)
{
    secret = password;
    return auc_register_plugin(&plugin);
}
