/* The SIP half of msrpcat: register, call, answer, hang up, with Sofia's nua. */
#include "client/sip_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sip_ua;
#define SU_ROOT_MAGIC_T struct sip_ua
#define NUA_MAGIC_T struct sip_ua
#define NUA_HMAGIC_T struct sip_ua
#include <sofia-sip/msg_header.h>
#include <sofia-sip/nua.h>
#include <sofia-sip/nua_tag.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/tport_tag.h>

#include "client/sip_auth.h"
#include "common/err.h"
#include "net/addr.h"

enum { SHUTDOWN_MS = 4000, STEP_MS = 20, AUTH_TRIES = 2 };

struct sip_ua {
    const struct sip_ua_ops *ops; /* borrowed */
    void *arg;
    su_root_t *root;              /* owned */
    nua_t *nua;                   /* owned */
    nua_handle_t *reg, *call;     /* owned; NULL: none */
    unsigned reg_tries, call_tries;
    bool is_registered, is_shut_down, is_talking;
    char *aor, *user;             /* owned */
    char *contact;                /* owned; NULL: Sofia's own */
    void (*trace)(void *arg, struct sv text);
    void *trace_arg;
};

/* Give the credentials for the challenge in a 401 or 407; false: they were refused, or there is none. */
static bool authenticate(struct sip_ua *u, nua_handle_t *nh, sip_t const *sip, unsigned *tries)
{
    msg_auth_t const *ch = NULL;
    struct buf b = BUF_INIT;
    const char *realm;

    if (sip)
        ch = sip->sip_www_authenticate ? sip->sip_www_authenticate : sip->sip_proxy_authenticate;
    realm = ch ? msg_header_find_param(ch->au_common, "realm=") : NULL;
    if (!realm || !u->user || ++*tries > AUTH_TRIES)
        return false;
    /* the password goes to sip_auth: this syntax has no way to write a colon in it */
    buf_printf(&b, "Digest:%s:%s:-", realm, u->user);
    if (!buf_failed(&b))
        nua_authenticate(nh, NUTAG_AUTH(b.p), TAG_END());
    buf_fini(&b);
    return true;
}

static struct sv payload_of(sip_t const *sip)
{
    if (!sip || !sip->sip_payload || !sip->sip_payload->pl_data)
        return SV("");
    return sv_make(sip->sip_payload->pl_data, sip->sip_payload->pl_len);
}

static void drop_call(struct sip_ua *u)
{
    if (u->call)
        nua_handle_destroy(u->call);
    u->call = NULL;
    u->is_talking = false;
}

static void on_register(struct sip_ua *u, nua_handle_t *nh, int status, char const *phrase, sip_t const *sip)
{
    if (status < 200 || ((status == 401 || status == 407) && authenticate(u, nh, sip, &u->reg_tries)))
        return;
    u->reg_tries = 0;
    u->is_registered = status < 300;
    u->ops->registered(u->arg, status, phrase);
}

static void on_invite_answer(struct sip_ua *u, nua_handle_t *nh, int status, char const *phrase, sip_t const *sip)
{
    if (nh != u->call || status < 200)
        return;
    if ((status == 401 || status == 407) && authenticate(u, nh, sip, &u->call_tries))
        return;
    if (status < 300) {
        u->is_talking = true;
        u->ops->answered(u->arg, payload_of(sip));
    } else {
        drop_call(u);
        u->ops->refused(u->arg, status, phrase);
    }
}

static void on_invited(struct sip_ua *u, nua_handle_t *nh, sip_t const *sip)
{
    char from[256];

    if (u->call) {
        nua_respond(nh, SIP_486_BUSY_HERE, TAG_END());
        nua_handle_destroy(nh);
        return;
    }
    u->call = nh;
    snprintf(from, sizeof from, "sip:%s%s%s", sip->sip_from->a_url->url_user ? sip->sip_from->a_url->url_user : "",
             sip->sip_from->a_url->url_user ? "@" : "",
             sip->sip_from->a_url->url_host ? sip->sip_from->a_url->url_host : "");
    u->ops->invited(u->arg, sv_of(from), payload_of(sip));
}

static void on_event(nua_event_t event, int status, char const *phrase, nua_t *nua, struct sip_ua *u, nua_handle_t *nh,
                     struct sip_ua *hmagic, sip_t const *sip, tagi_t tags[])
{
    switch (event) {
    case nua_r_register:
        on_register(u, nh, status, phrase, sip);
        break;
    case nua_r_invite:
        on_invite_answer(u, nh, status, phrase, sip);
        break;
    case nua_i_invite:
        if (sip && status < 200 && nh != u->call)
            on_invited(u, nh, sip);
        break;
    case nua_i_ack:
        if (nh == u->call && !u->is_talking) {
            u->is_talking = true;
            u->ops->established(u->arg);
        }
        break;
    case nua_i_terminated:
        if (nh == u->call) {
            drop_call(u);
            u->ops->ended(u->arg);
        }
        break;
    case nua_r_shutdown:
        u->is_shut_down = status >= 200;
        break;
    default:
        break;
    }
}

static void on_log(void *stream, char const *fmt, va_list ap)
{
    struct sip_ua *u = stream;
    struct buf b = BUF_INIT;

    buf_vprintf(&b, fmt, ap);
    if (!buf_failed(&b))
        u->trace(u->trace_arg, buf_sv(&b));
    buf_fini(&b);
}

static void discard_log(void *stream, char const *fmt, va_list ap)
{
}

/* Sofia listens for TLS only under a sips URI, and would then register a sips contact for our sip address, which
 * registrars refuse (RFC 3261 s.10.2.1, RFC 5630). So the contact is written here, and for that the port is chosen
 * here. */
static bool choose_contact(struct sip_ua *u, const struct sip_ua_opts *opts, struct buf *url)
{
    struct addr at;
    struct buf b = BUF_INIT;
    char text[ADDR_TEXT_MAX];
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct sv user = sv_of(opts->aor + strlen("sip:"));
    int fd;

    if (!addr_from_host(&at, sv_of(opts->bind_host), 0))
        return false;
    fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, &at.sa, addr_len(&at)) == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
        addr_from_socket(&at, &ss);
        addr_text(&at, text);
        buf_printf(url, "sips:%s", text);
        buf_printf(&b, "<sip:" SV_FMT "@%s;transport=tls>", SV_ARG(sv_upto(user, sv_find(user, '@'))), text);
        u->contact = buf_failed(&b) ? NULL : sv_dup(buf_sv(&b));
        buf_fini(&b);
    }
    if (fd >= 0)
        close(fd);
    return u->contact != NULL;
}

int sip_ua_new(struct sip_ua **out, const struct sip_ua_opts *opts, const struct sip_ua_ops *ops, void *arg,
               struct buf *fault)
{
    struct sip_ua *u = calloc(1, sizeof *u);
    bool is_v6 = strchr(opts->bind_host, ':') != NULL;
    struct buf url = BUF_INIT;
    int err = TD_ENOMEM;

    *out = NULL;
    if (!u || (opts->tls && !choose_contact(u, opts, &url)))
        goto out;
    if (!opts->tls)
        buf_printf(&url, "sip:%s%s%s:*;transport=tcp", is_v6 ? "[" : "", opts->bind_host, is_v6 ? "]" : "");
    if (buf_failed(&url))
        goto out;
    u->ops = ops;
    u->arg = arg;
    u->trace = opts->trace;
    u->trace_arg = opts->trace_arg;
    u->aor = sv_dup(sv_of(opts->aor));
    u->user = opts->user ? sv_dup(sv_of(opts->user)) : NULL;
    if (!u->aor || su_init() < 0 || sip_auth_install(opts->password ? opts->password : "") < 0)
        goto out;
    u->root = su_root_create(u);
    if (!u->root)
        goto out;
    su_root_threading(u->root, 0);
    su_log_redirect(su_log_default, u->trace ? on_log : discard_log, u);
    u->nua = nua_create(
        u->root, on_event, u, NUTAG_URL(url.p), SIPTAG_FROM_STR(opts->aor), NUTAG_MEDIA_ENABLE(0),
        NUTAG_OUTBOUND("no-options-keepalive no-validate"), NUTAG_SESSION_TIMER(0),
        TAG_IF(opts->proxy, NUTAG_PROXY(opts->proxy)), TAG_IF(u->trace, TPTAG_LOG(1)),
        TAG_IF(opts->tls, TPTAG_TLS_VERIFY_POLICY(opts->no_verify ? TPTLS_VERIFY_NONE : TPTLS_VERIFY_OUT)), TAG_END());
    if (!u->nua) {
        buf_printf(fault, "SIP could not start on %s", url.p);
        err = TD_EIO;
        goto out;
    }
    err = TD_OK;
    *out = u;
    u = NULL;
out:
    if (err == TD_ENOMEM)
        buf_puts(fault, "out of memory");
    buf_fini(&url);
    sip_ua_free(&u);
    return err;
}

void sip_ua_free(struct sip_ua **up)
{
    struct sip_ua *u = *up;

    if (!u)
        return;
    *up = NULL;
    if (u->nua) {
        su_time_t start = su_now();

        nua_shutdown(u->nua);
        while (!u->is_shut_down && su_duration(su_now(), start) < SHUTDOWN_MS)
            su_root_step(u->root, STEP_MS);
        if (u->call)
            nua_handle_destroy(u->call);
        if (u->reg)
            nua_handle_destroy(u->reg);
        nua_destroy(u->nua);
    }
    if (u->root) {
        su_root_destroy(u->root);
        su_deinit();
    }
    free(u->aor);
    free(u->user);
    free(u->contact);
    free(u);
}

void sip_ua_step(struct sip_ua *u)
{
    su_root_step(u->root, 0);
}

void sip_ua_register(struct sip_ua *u)
{
    u->reg = nua_handle(u->nua, u, SIPTAG_TO_STR(u->aor), TAG_END());
    if (u->reg)
        nua_register(u->reg, TAG_IF(u->contact, SIPTAG_CONTACT_STR(u->contact)), TAG_END());
    else
        u->ops->registered(u->arg, 900, "out of memory");
}

void sip_ua_invite(struct sip_ua *u, const char *to, struct sv sdp)
{
    u->call = nua_handle(u->nua, u, SIPTAG_TO_STR(to), TAG_END());
    if (u->call)
        nua_invite(u->call, TAG_IF(u->contact, SIPTAG_CONTACT_STR(u->contact)),
                   SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(sdp.p), TAG_END());
    else
        u->ops->refused(u->arg, 900, "not a SIP URI");
}

void sip_ua_accept(struct sip_ua *u, struct sv sdp)
{
    if (u->call)
        nua_respond(u->call, SIP_200_OK, TAG_IF(u->contact, SIPTAG_CONTACT_STR(u->contact)),
                    SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(sdp.p), TAG_END());
}

void sip_ua_reject(struct sip_ua *u, int status, const char *phrase)
{
    if (u->call)
        nua_respond(u->call, status, phrase, TAG_END());
    drop_call(u);
}

void sip_ua_bye(struct sip_ua *u)
{
    if (u->call)
        nua_bye(u->call, TAG_END());
}
