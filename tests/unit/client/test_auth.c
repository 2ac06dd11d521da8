/* AUTH with a relay that speaks by script: challenges, Use-Path, rspauth, refresh. */
#include <stdlib.h>
#include <unistd.h>

#include "client/msrp_client.h"
#include "common/buf.h"
#include "tests/unit/harness.h"

/* One client session and the socket of its relay. */
struct world {
    struct loop *loop;
    struct mc mc;
    struct mc_session *s;
    int listen_fd, fd;
    struct buf got; /* the request that came last */
    unsigned ready, failed, code;
};

static void ready(struct mc_session *s)
{
    ((struct world *)s->user)->ready++;
}

static void failed(struct mc_session *s, unsigned code, const char *why)
{
    struct world *w = s->user;

    w->failed++;
    w->code = code;
}

static const struct mc_ops ops = { .ready = ready, .failed = failed };

static void world_init(struct world *w, const struct mc_opts *opts)
{
    static const struct mc_tls_opts tls = { .no_verify = true };
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof at;
    struct buf fault = BUF_INIT;
    char relay[64];

    memset(w, 0, sizeof *w);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    w->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_FATAL(bind(w->listen_fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(w->listen_fd, 1) == 0);
    CHECK_FATAL(getsockname(w->listen_fd, (struct sockaddr *)&at, &len) == 0);
    CHECK_FATAL(loop_new(&w->loop) == 0);
    CHECK_FATAL(mc_init(&w->mc, w->loop, &ops, opts, &tls, &fault) == 0);
    snprintf(relay, sizeof relay, "msrp://127.0.0.1:%u", ntohs(at.sin_port));
    CHECK_FATAL(mc_session_new_relay(&w->s, &w->mc, relay, "alice", "Wonder-1and", w) == 0);
    w->fd = accept(w->listen_fd, NULL, NULL);
    CHECK_FATAL(w->fd >= 0);
}

static void world_fini(struct world *w)
{
    mc_session_free(&w->s);
    for (int i = 0; i < 100 && !list_is_empty(&w->mc.net.links); i++)
        loop_turn(w->loop, 10);
    mc_fini(&w->mc);
    loop_free(&w->loop);
    close(w->fd);
    close(w->listen_fd);
    buf_fini(&w->got);
}

/* Wait for a whole request; false: none came. */
static bool relay_gets(struct world *w)
{
    char in[4096];

    buf_clear(&w->got);
    for (int i = 0; i < 200; i++) {
        ssize_t n;

        loop_turn(w->loop, 2);
        n = recv(w->fd, in, sizeof in, MSG_DONTWAIT);
        if (n > 0)
            buf_add(&w->got, in, (size_t)n);
        if (w->got.n > 3 && memcmp(w->got.p + w->got.n - 3, "$\r\n", 3) == 0)
            return true;
    }
    return false;
}

/* Answer the request that came last; more is header lines. */
static void relay_says(struct world *w, const char *status, const char *more)
{
    const char *tid = w->got.p + strlen("MSRP "), *from = strstr(w->got.p, "From-Path: ") + strlen("From-Path: ");
    struct buf b = BUF_INIT;

    buf_printf(&b, "MSRP %.16s %s\r\nTo-Path: %.*s\r\nFrom-Path: msrp://relay.invalid:1;tcp\r\n%s-------%.16s$\r\n",
               tid, status, (int)strcspn(from, "\r"), from, more, tid);
    CHECK(send(w->fd, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n);
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 2);
    buf_fini(&b);
}

static struct sv param(const struct world *w, const char *name)
{
    const char *at = strstr(w->got.p, "Authorization: ");
    struct sv v = SV("");

    if (at)
        mc_auth_param(sv_make(at + 15, strcspn(at + 15, "\r")), sv_of(name), &v);
    return v;
}

#define WANTS(nonce, alg) \
    "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"" nonce "\", algorithm=" alg "\r\n"
#define USE_PATH "Use-Path: msrp://near.invalid:1/n;tcp msrp://far.invalid:2/f;tcp\r\n"

static const struct mc_opts plain = { .algorithm = -1 };

/* M-AUTH-02, M-AUTH-15, M-TOK-04: the first algorithm offered is taken; the path for SDP is Use-Path reversed and our
 * URI. */
TEST(challenge_is_answered_and_use_path_becomes_the_path)
{
    struct buf path = BUF_INIT;
    struct world w;

    world_init(&w, &plain);
    CHECK(relay_gets(&w) && param(&w, "response").n == 0);
    relay_says(&w, "401 Unauthorized", WANTS("n1", "SHA-256") WANTS("n1", "MD5"));
    CHECK(relay_gets(&w));
    CHECK(sv_eq(param(&w, "algorithm"), SV("SHA-256")) && param(&w, "response").n == 64);
    CHECK(sv_eq(param(&w, "nc"), SV("00000001")) && sv_eq(param(&w, "uri"), sv_of(w.s->relay_uri)));
    relay_says(&w, "200 OK", USE_PATH "Expires: 600\r\n");
    CHECK_INT(w.ready, 1);
    buf_printf(&path, "msrp://far.invalid:2/f;tcp msrp://near.invalid:1/n;tcp %s", w.s->uri);
    CHECK_STR(w.s->path, path.p);
    CHECK_STR(w.s->use_path, "msrp://near.invalid:1/n;tcp msrp://far.invalid:2/f;tcp");
    CHECK(wheel_timer_is_running(&w.s->refresh_timer));
    buf_fini(&path);
    world_fini(&w);
}

TEST(options_choose_the_algorithm_and_leave_out_the_uri)
{
    const struct mc_opts opts = { .algorithm = CRYPTO_MD5, .no_uri = true, .expires_s = 77 };
    struct world w;

    world_init(&w, &opts);
    CHECK(relay_gets(&w) && strstr(w.got.p, "\r\nExpires: 77\r\n"));
    relay_says(&w, "401 Unauthorized", WANTS("n1", "SHA-256") WANTS("n1", "MD5"));
    CHECK(relay_gets(&w));
    CHECK(sv_eq(param(&w, "algorithm"), SV("MD5")) && param(&w, "response").n == 32 && param(&w, "uri").n == 0);
    world_fini(&w);
}

/* M-AUTH-11: stale means try again; the same without it means the password is wrong. */
TEST(stale_nonce_is_tried_again_and_a_refusal_is_not)
{
    struct world w;

    world_init(&w, &plain);
    CHECK(relay_gets(&w));
    relay_says(&w, "401 Unauthorized", WANTS("n1", "MD5"));
    CHECK(relay_gets(&w));
    relay_says(&w, "401 Unauthorized", WANTS("n2", "MD5, stale=true"));
    CHECK(relay_gets(&w) && sv_eq(param(&w, "nonce"), SV("n2")));
    relay_says(&w, "401 Unauthorized", WANTS("n3", "MD5"));
    CHECK(!relay_gets(&w));
    CHECK_INT(w.failed, 1);
    CHECK_INT(w.code, 401);
    world_fini(&w);
}

/* M-AUTH-14: whoever sends an rspauth must know the password. */
TEST(wrong_rspauth_ends_the_session)
{
    struct world w;

    world_init(&w, &plain);
    CHECK(relay_gets(&w));
    relay_says(&w, "401 Unauthorized", WANTS("n1", "MD5"));
    CHECK(relay_gets(&w));
    relay_says(&w, "200 OK",
               USE_PATH "Authentication-Info: rspauth=\"00000000000000000000000000000000\", qop=auth\r\n");
    CHECK_INT(w.ready, 0);
    CHECK_INT(w.failed, 1);
    world_fini(&w);
}

TEST(success_without_a_usable_use_path_is_a_failure)
{
    const char *more[] = { "", "Use-Path: sip:x\r\n", "Use-Path: \r\n" };

    for (size_t i = 0; i < TD_ARRAY_LEN(more); i++) {
        struct world w;

        world_init(&w, &plain);
        CHECK(relay_gets(&w));
        relay_says(&w, "200 OK", more[i]);
        CHECK_INT(w.ready, 0);
        CHECK_INT(w.failed, 1);
        world_fini(&w);
    }
}

/* M-TOK-09: the refresh goes to the token itself, with the next nonce count, before the token ends. */
TEST(token_is_refreshed_before_it_expires)
{
    struct world w;

    world_init(&w, &plain);
    CHECK(relay_gets(&w));
    relay_says(&w, "401 Unauthorized", WANTS("n1", "MD5"));
    CHECK(relay_gets(&w));
    relay_says(&w, "200 OK", "Use-Path: msrp://127.0.0.1:1/tok;tcp\r\nExpires: 1\r\n");
    CHECK_INT(w.ready, 1);
    loop_timer_start(w.loop, &w.s->refresh_timer, 0); /* instead of waiting for it */
    CHECK(relay_gets(&w));
    CHECK(strstr(w.got.p, "\r\nTo-Path: msrp://127.0.0.1:1/tok;tcp\r\n") != NULL);
    CHECK(sv_eq(param(&w, "nc"), SV("00000002")) && sv_eq(param(&w, "uri"), SV("msrp://127.0.0.1:1/tok;tcp")));
    relay_says(&w, "200 OK", "Use-Path: msrp://127.0.0.1:1/tok;tcp\r\nExpires: 600\r\n");
    CHECK_INT(w.ready, 1);
    CHECK_INT(w.failed, 0);
    world_fini(&w);
}

SUITE(auth_suite, TEST_ROW(challenge_is_answered_and_use_path_becomes_the_path),
      TEST_ROW(options_choose_the_algorithm_and_leave_out_the_uri),
      TEST_ROW(stale_nonce_is_tried_again_and_a_refusal_is_not), TEST_ROW(wrong_rspauth_ends_the_session),
      TEST_ROW(success_without_a_usable_use_path_is_a_failure), TEST_ROW(token_is_refreshed_before_it_expires));
