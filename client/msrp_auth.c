/* AUTH to the relay: challenge, Use-Path, refresh. RFC 4976 s.5.1, s.9.1. */
#include <stdio.h>
#include <stdlib.h>

#include "client/msrp_priv.h"

enum { TRIES = 3, REFRESH_LEAD_S = 30 };

static void send_auth(struct mc_session *s, const char *to)
{
    struct mc_link *l = s->link;
    struct buf b = BUF_INIT;

    mc_random_name(s->mc, s->auth_tid, sizeof s->auth_tid - 1);
    buf_printf(&b, "MSRP %s AUTH\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", s->auth_tid, to, s->uri);
    if (s->mc->opts.expires_s)
        buf_printf(&b, "Expires: %u\r\n", s->mc->opts.expires_s);
    if (s->challenge) {
        struct mc_credentials who = { sv_of(s->auth_user), sv_of(s->auth_password), !s->mc->opts.no_uri };
        struct mc_challenge c;
        struct mc_digest d;

        mc_challenge_parse(sv_of(s->challenge), &c);
        mc_random_name(s->mc, s->cnonce, sizeof s->cnonce - 1);
        d = (struct mc_digest){ SV("AUTH"), sv_of(to), sv_of(s->cnonce), ++s->nc };
        buf_puts(&b, "Authorization: ");
        mc_digest_authorize(&b, &c, &who, &d);
        buf_puts(&b, "\r\n");
    }
    buf_printf(&b, "-------%s$\r\n", s->auth_tid);
    if (to != s->auth_to) {
        free(s->auth_to);
        s->auth_to = sv_dup(sv_of(to));
    }
    if (buf_failed(&b) || !s->auth_to) {
        buf_fini(&b);
        mc_session_fail(s, 0, "out of memory");
        return;
    }
    mc_out_interrupt(l);
    mc_link_puts(l, buf_sv(&b));
    buf_fini(&b);
}

void mc_auth_start(struct mc_session *s)
{
    s->uri = mc_own_uri(s, &s->link->local, mc_link_is_tls(s->link));
    if (!s->uri) {
        mc_session_fail(s, 0, "out of memory");
        return;
    }
    s->state = MC_S_AUTH;
    s->auth_tries = 0;
    send_auth(s, s->relay_uri);
}

/* The token's own URI stands last in Use-Path when there are several relays; it is what is refreshed. */
static void on_refresh(struct wheel_timer *t)
{
    struct mc_session *s = TD_CONTAINER_OF(t, struct mc_session, refresh_timer);
    const char *last = strrchr(s->use_path, ' ');

    if (!s->link || s->state != MC_S_READY)
        return;
    s->auth_tries = 0;
    send_auth(s, last ? last + 1 : s->use_path);
}

static bool take_challenge(struct mc_session *s, const struct mc_head *h, bool *is_stale)
{
    for (size_t i = 0; i < h->n; i++) {
        struct mc_challenge c;

        if (!sv_eq_nocase(h->h[i].name, SV("WWW-Authenticate")) || !mc_challenge_parse(h->h[i].value, &c))
            continue;
        if (s->mc->opts.algorithm >= 0 && c.algorithm != (enum crypto_hash)s->mc->opts.algorithm)
            continue;
        free(s->challenge);
        s->challenge = sv_dup(h->h[i].value);
        s->nc = 0;
        *is_stale = c.is_stale;
        return s->challenge != NULL;
    }
    return false;
}

/* A relay that proves it knows the password too must prove it right. */
static bool rspauth_is_good(const struct mc_session *s, const struct mc_head *h)
{
    const struct sv *info = mc_head_get(h, SV("Authentication-Info"));
    struct mc_credentials who = { sv_of(s->auth_user), sv_of(s->auth_password), false };
    struct mc_digest d = { SV(""), sv_of(s->auth_to), sv_of(s->cnonce), s->nc };
    char expected[CRYPTO_HEX_MAX];
    struct mc_challenge c;
    struct sv got;

    if (!info || !s->challenge || !mc_auth_param(*info, SV("rspauth"), &got))
        return true;
    mc_challenge_parse(sv_of(s->challenge), &c);
    mc_digest_rspauth(&c, &who, &d, expected);
    return sv_eq(got, sv_of(expected));
}

/* Use-Path as given goes in front of To-Path; reversed, and with our URI, it is the path for the peer. */
static bool take_use_path(struct mc_session *s, struct sv value)
{
    struct buf b = BUF_INIT;
    struct sv rest = value, uris[16];
    size_t n = 0;

    while (n < TD_ARRAY_LEN(uris) && mc_path_next(&rest, &uris[n]))
        n++;
    if (n == 0 || rest.n)
        return false;
    while (n > 0) {
        buf_add_sv(&b, uris[--n]);
        buf_putc(&b, ' ');
    }
    buf_puts(&b, s->uri);
    s->use_path = sv_dup(value);
    s->path = buf_failed(&b) ? NULL : sv_dup(buf_sv(&b));
    buf_fini(&b);
    return s->use_path && s->path;
}

static void start_refresh(struct mc_session *s, const struct mc_head *h)
{
    const struct sv *expires = mc_head_get(h, SV("Expires"));
    uint64_t seconds;

    if (!expires || !sv_to_u64(*expires, &seconds, NULL) || seconds == 0 || seconds > UINT32_MAX)
        return;
    seconds = seconds > 2 * REFRESH_LEAD_S ? seconds - REFRESH_LEAD_S : (seconds + 1) / 2;
    loop_timer_start(s->mc->net.loop, &s->refresh_timer, seconds * 1000);
}

static void on_accepted(struct mc_session *s, const struct mc_head *h)
{
    const struct sv *use_path = mc_head_get(h, SV("Use-Path"));

    if (!rspauth_is_good(s, h)) {
        mc_session_fail(s, 0, "the relay's rspauth is wrong: it does not know the password");
        return;
    }
    start_refresh(s, h);
    if (s->state != MC_S_AUTH)
        return;
    if (!use_path || !mc_path_is_valid(*use_path) || !take_use_path(s, *use_path)) {
        mc_session_fail(s, 0, "no usable Use-Path in the relay's answer");
        return;
    }
    s->state = MC_S_READY;
    s->mc->ops->ready(s);
}

void mc_auth_answer(struct mc_session *s, const struct mc_head *h)
{
    bool is_stale = false, had = s->challenge && s->auth_tries > 0;
    char why[128];

    s->auth_tid[0] = '\0';
    s->auth_tries++;
    if (h->code >= 200 && h->code < 300) {
        on_accepted(s, h);
        return;
    }
    if (h->code == 401 && s->auth_tries < TRIES && take_challenge(s, h, &is_stale) && (!had || is_stale)) {
        send_auth(s, s->auth_to);
        return;
    }
    snprintf(why, sizeof why, "the relay answers AUTH with %u " SV_FMT, h->code, SV_ARG(sv_upto(h->comment, 80)));
    mc_session_fail(s, h->code, why);
}

void mc_auth_init(struct mc_session *s)
{
    wheel_timer_init(&s->refresh_timer, on_refresh);
}
