/* The whole door: MSRP AUTH and SIP requests judged against a real database, with our own clock. */
#include "auth/authn.h"

#include <poll.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_parser.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/digest.h"
#include "auth/nonce.h"
#include "db/cred.h"
#include "db/db.h"
#include "db/subscriber.h"
#include "tests/unit/harness.h"

static const char uri[] = "msrps://edge.tandem.example:5061;tcp";
static const char realm[] = "edge.tandem.example";

static struct rig {
    char dir[64], file[80];
    struct db *db;
    struct mailbox *mb;
    struct nonces *nonces;
    struct conf *conf;
    struct authn *a;
} rig;

static uint64_t clock_s;

static uint64_t test_clock(void)
{
    return clock_s;
}

/* Stands for the caller's comparison: equal but for case. */
static bool uri_ok(struct sv given, struct sv request_uri, struct sv method)
{
    CHECK(method.n > 0);
    return sv_eq_nocase(given, request_uri);
}

static struct conf *conf_with(const char *algorithms)
{
    struct buf faults = BUF_INIT, algs = BUF_INIT;
    char realm_override[] = "auth.realm=edge.tandem.example";
    struct conf *c;

    buf_printf(&algs, "auth.algorithms=%s", algorithms);
    CHECK_INT(conf_load(&c, NULL, (char *[]){ realm_override, algs.p }, 2, &faults), 0);
    CHECK_FATAL(c != NULL);
    buf_fini(&faults);
    buf_fini(&algs);
    return c;
}

static struct authn *new_authn(const char *algorithms)
{
    struct authn_opts o = {
        .db = rig.db, .mailbox = rig.mb, .nonces = rig.nonces, .uri_ok = uri_ok, .now_s = test_clock
    };
    struct conf *conf = conf_with(algorithms);
    struct authn *a;

    CHECK_INT(authn_new(&a, &o, conf), 0);
    CHECK_FATAL(a != NULL);
    conf_free(&conf); /* it keeps copies */
    return a;
}

static void begin(const char *algorithms)
{
    struct buf why = BUF_INIT;

    clock_s = 5000;
    snprintf(rig.dir, sizeof rig.dir, "/tmp/tandem-auth-XXXXXX");
    CHECK_FATAL(mkdtemp(rig.dir) != NULL);
    snprintf(rig.file, sizeof rig.file, "%s/t.db", rig.dir);
    CHECK_INT(db_open(&rig.db, rig.file, &why), 0);
    CHECK_FATAL(rig.db != NULL);
    CHECK_INT(db_start(rig.db), 0);
    CHECK_INT(mailbox_new(&rig.mb), 0);
    CHECK_INT(nonces_new(&rig.nonces), 0);
    CHECK_INT(db_user_add(rig.db, SV("alice"), sv_of(realm), SV("Wonder-1and")), 0);
    CHECK_INT(db_user_add(rig.db, SV("mallory"), sv_of(realm), SV("pw")), 0);
    CHECK_INT(db_user_block(rig.db, SV("mallory"), sv_of(realm), true), 0);
    rig.a = new_authn(algorithms);
    buf_fini(&why);
}

static void end(void)
{
    authn_free(&rig.a);
    db_close(&rig.db);
    mailbox_free(&rig.mb);
    nonces_free(&rig.nonces);
    for (int i = 0; i < 3; i++) {
        static const char *const tails[] = { "", "-wal", "-shm" };
        char path[100];

        snprintf(path, sizeof path, "%s%s", rig.file, tails[i]);
        unlink(path);
    }
    rmdir(rig.dir);
}

/* ---- what came out */

struct seen {
    int calls;
    bool at_once;
    enum authn_verdict verdict;
    int status;
    bool had_credentials, stale;
    char headers[2048], username[64], phrase[64];
};

static void see(const struct authn_result *r, void *arg)
{
    struct seen *s = arg;

    s->calls++;
    s->verdict = r->verdict;
    s->status = r->status;
    s->had_credentials = r->had_credentials;
    s->stale = r->stale;
    CHECK(sv_copy(r->headers, s->headers, sizeof s->headers));
    CHECK(sv_copy(r->username, s->username, sizeof s->username));
    CHECK(sv_copy(sv_of(r->phrase), s->phrase, sizeof s->phrase));
}

static void wait_for(struct seen *s)
{
    for (time_t stop = time(NULL) + 5; !s->calls && time(NULL) <= stop;) {
        struct pollfd fd = { .fd = mailbox_fd(rig.mb), .events = POLLIN };

        poll(&fd, 1, 20);
        mailbox_run(rig.mb);
    }
    CHECK_INT(s->calls, 1);
}

static struct seen ask_of(struct authn *a, const char *headers)
{
    struct seen s = { 0 };

    if (authn_msrp(a, sv_of(uri), sv_of(headers), see, &s))
        wait_for(&s);
    else
        s.at_once = true;
    CHECK_INT(s.calls, 1);
    return s;
}

static struct seen ask(const char *headers)
{
    return ask_of(rig.a, headers);
}

/* ---- what a client does */

struct client {
    const char *user, *password, *method, *uri;
    enum digest_alg alg;
    char nonce[128], opaque[64];
};

static bool between(const char *text, const char *from, char *out, size_t size)
{
    const char *at = strstr(text, from), *stop;

    out[0] = '\0';
    if (!at)
        return false;
    at += strlen(from);
    stop = strchr(at, '"');
    return stop && sv_copy(sv_make(at, (size_t)(stop - at)), out, size);
}

static void take_challenge(struct client *c, const struct seen *s)
{
    CHECK(between(s->headers, "nonce=\"", c->nonce, sizeof c->nonce));
    CHECK(between(s->headers, "opaque=\"", c->opaque, sizeof c->opaque));
}

static const char *hex(enum digest_alg alg, const char *fmt, ...) TD_PRINTF(2, 3);
static const char *hex(enum digest_alg alg, const char *fmt, ...)
{
    static char out[4][CRYPTO_HEX_MAX];
    static int turn;
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    turn = (turn + 1) % 4;
    crypto_hash_hex(alg == DIGEST_MD5 ? CRYPTO_MD5 : CRYPTO_SHA256, sv_of(text), out[turn]);
    return out[turn];
}

static const char *response_of(const struct client *c, unsigned nc)
{
    return hex(c->alg, "%s:%s:%08x:0a4f113b9c21:auth:%s", hex(c->alg, "%s:%s:%s", c->user, realm, c->password),
               c->nonce, nc, hex(c->alg, "%s:%s", c->method, c->uri));
}

/* A header value; more: further parameters, beginning with ", ". */
static const char *credentials(const struct client *c, unsigned nc, const char *more)
{
    static char out[1024];

    snprintf(out, sizeof out,
             "Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", opaque=\"%s\", qop=auth, nc=%08x, "
             "cnonce=\"0a4f113b9c21\", "
             "response=\"%s\"%s%s",
             c->user, realm, c->nonce, c->opaque, nc, response_of(c, nc),
             c->alg == DIGEST_SHA256 ? ", algorithm=SHA-256" : "", more);
    return out;
}

static const char *line(const char *value)
{
    static char out[2048];

    snprintf(out, sizeof out, "Expires: 600\r\nAuthorization: %s\r\nX-Other: y\r\n", value);
    return out;
}

static const struct client alice = { .user = "alice", .password = "Wonder-1and", .method = "AUTH", .uri = uri };

static struct client challenged(enum digest_alg alg)
{
    struct client c = alice;
    struct seen s = ask("");

    c.alg = alg;
    take_challenge(&c, &s);
    return c;
}

/* ---- MSRP */

/* M-AUTH-02, M-AUTH-03, M-AUTH-06: X-01, byte for byte. */
TEST(a_stranger_is_challenged_exactly_as_in_x_01)
{
    char expected[512];
    struct client c = alice;
    struct seen s;

    begin("MD5");
    s = ask("Expires: 600\r\n");
    CHECK(s.at_once && s.verdict == AUTHN_CHALLENGE && s.status == 401 && !s.had_credentials && !s.stale);
    CHECK_STR(s.phrase, "Unauthorized");
    CHECK_STR(s.username, "");
    take_challenge(&c, &s);
    snprintf(expected, sizeof expected,
             "WWW-Authenticate: Digest realm=\"edge.tandem.example\", qop=\"auth\", nonce=\"%s\", opaque=\"%s\", "
             "algorithm=MD5\r\n",
             c.nonce, c.opaque);
    CHECK_STR(s.headers, expected);
    end();
}

/* M-AUTH-15, S-AUT-03 */
TEST(each_algorithm_has_its_header_and_md5_is_the_last)
{
    const char *sha, *md5;
    struct seen s;

    begin("SHA-256 MD5");
    s = ask("");
    sha = strstr(s.headers, "algorithm=SHA-256\r\nWWW-Authenticate: Digest ");
    md5 = strstr(s.headers, "algorithm=MD5\r\n");
    CHECK(sha && md5 && md5 > sha && md5[strlen("algorithm=MD5\r\n")] == '\0');
    end();
}

/* M-AUTH-07, M-AUTH-10, M-AUTH-14, M-AUTH-15: variant (a) of X-01, and rspauth recomputed. */
TEST(right_credentials_without_uri_are_accepted_with_either_algorithm)
{
    begin("SHA-256 MD5");
    for (int i = 0; i < DIGEST_ALG_N; i++) {
        struct client c = challenged((enum digest_alg)i);
        char expected[512];
        struct seen s = ask(line(credentials(&c, 1, "")));

        CHECK(s.verdict == AUTHN_OK && s.status == 200 && s.had_credentials && !s.stale);
        CHECK_STR(s.username, "alice");
        snprintf(expected, sizeof expected,
                 "Authentication-Info: rspauth=\"%s\", cnonce=\"0a4f113b9c21\", nc=00000001, qop=auth\r\n",
                 hex(c.alg, "%s:%s:00000001:0a4f113b9c21:auth:%s", hex(c.alg, "alice:%s:Wonder-1and", realm), c.nonce,
                     hex(c.alg, ":%s", uri)));
        CHECK_STR(s.headers, expected);
        CHECK_INT(s.at_once, i > 0); /* the first time the database was asked, then memory knew */
    }
    end();
}

/* Kamailio's ha1b: a client whose username is user@domain is that user. With SHA-256 there is none of the kind, and MD5 is offered first then. */
TEST(a_username_with_its_domain_is_that_user)
{
    struct client c;
    struct seen s;

    begin("SHA-256 MD5");
    c = challenged(DIGEST_SHA256);
    c.user = "alice@edge.tandem.example";
    s = ask(line(credentials(&c, 1, "")));
    CHECK(s.verdict == AUTHN_CHALLENGE && !s.stale && strstr(s.headers, "MD5") < strstr(s.headers, "SHA-256"));
    c.alg = DIGEST_MD5;
    take_challenge(&c, &s);
    s = ask(line(credentials(&c, 1, "")));
    CHECK_INT(s.verdict, AUTHN_OK);
    CHECK_STR(s.username, "alice");
    for (int i = 0; i < 3; i++) {
        c.user = (const char *[]){ "alice@other.example", "@edge.tandem.example", "alice@alice@edge.tandem.example" }[i];
        s = ask(line(credentials(&c, 2, "")));
        CHECK_INT(s.verdict, AUTHN_CHALLENGE);
        take_challenge(&c, &s);
    }
    end();
}

/* M-AUTH-08: variants (b) and (c) of X-01; the hash stays over the To-Path bytes. */
TEST(a_uri_parameter_must_name_the_same_relay)
{
    struct client c;
    struct seen s;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    CHECK(ask(line(credentials(&c, 1, ", uri=\"msrps://edge.tandem.example:5061;tcp\""))).verdict == AUTHN_OK);
    CHECK(ask(line(credentials(&c, 2, ", uri=\"MSRPS://EDGE.tandem.example:5061;tcp\""))).verdict == AUTHN_OK);
    s = ask(line(credentials(&c, 3, ", uri=\"msrps://other.example:1;tcp\"")));
    CHECK(s.verdict == AUTHN_BAD && s.status == 400 && s.had_credentials);
    CHECK_STR(s.headers, "");
    end();
}

/* M-AUTH-09, M-AUTH-04: what is missing or not ours to offer brings a fresh challenge. */
TEST(incomplete_credentials_bring_a_fresh_challenge)
{
    static const struct {
        const char *from, *to;
        bool had;
    } changes[] = {
        { "username=\"alice\", ", "", true },
        { "realm=\"edge.tandem.example\", ", "", false },
        { "nonce=\"", "was=\"", true },
        { "qop=auth, ", "", true },
        { "nc=00000001, ", "", true },
        { "cnonce=\"0a4f113b9c21\", ", "", true },
        { "response=\"", "was=\"", true },
        { "nc=00000001", "nc=1", true },
        { "nc=00000001", "nc=0000000g", true },
        { "qop=auth", "qop=auth-int", true },
        { "qop=auth", "algorithm=MD5-sess, qop=auth", true },
        { "qop=auth", "algorithm=SHA-512-256, qop=auth", true },
        { "cnonce=\"0a4f113b9c21\"", "cnonce=\"\"", true },
    };
    struct client c;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    for (size_t i = 0; i < TD_ARRAY_LEN(changes); i++) {
        const char *whole = credentials(&c, 1, ""), *at = strstr(whole, changes[i].from);
        char value[1100];
        struct seen s;

        CHECK_FATAL(at != NULL);
        snprintf(value, sizeof value, "%.*s%s%s", (int)(at - whole), whole, changes[i].to,
                 at + strlen(changes[i].from));
        s = ask(line(value));
        CHECK(s.verdict == AUTHN_CHALLENGE && s.status == 401 && !s.stale && s.had_credentials == changes[i].had);
        CHECK(strstr(s.headers, "nonce=\"") && !strstr(s.headers, c.nonce));
    }
    CHECK(ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK); /* nothing was used up */
    end();
}

/* M-AUTH-09, M-AUTH-04: ... also when the response is right for what is said, so that nothing but the form can be what is wrong. */
TEST(a_form_that_is_not_ours_is_refused_even_with_its_own_right_response)
{
    static const struct {
        const char *params, *middle; /* middle: what of them is hashed */
        bool good;
    } forms[] = {
        { "qop=auth, nc=00000001, cnonce=\"0a4f\"", "00000001:0a4f:auth:", true },
        { "qop=auth, nc=\"00000001\", cnonce=0a4f", "00000001:0a4f:auth:", true },
        { "opaque=\"x\"", "", false }, /* that of RFC 2069 */
        { "nc=00000001, cnonce=\"0a4f\"", "", false },
        { "nc=00000001, cnonce=\"0a4f\"", "00000001:0a4f:auth:", false },
        { "qop=auth, cnonce=\"0a4f\"", ":0a4f:auth:", false },
        { "qop=auth, nc=00000001", "00000001::auth:", false },
        { "qop=auth, nc=00000001, cnonce=\"\"", "00000001::auth:", false },
        { "qop=auth, nc=1, cnonce=\"0a4f\"", "1:0a4f:auth:", false },
        { "qop=auth, nc=0000001, cnonce=\"0a4f\"", "0000001:0a4f:auth:", false },
        { "qop=auth, nc=000000001, cnonce=\"0a4f\"", "000000001:0a4f:auth:", false },
        { "qop=auth, nc=0000000g, cnonce=\"0a4f\"", "0000000g:0a4f:auth:", false },
        { "qop=auth-int, nc=00000001, cnonce=\"0a4f\"", "00000001:0a4f:auth-int:", false },
        { "algorithm=MD5-sess, qop=auth, nc=00000001, cnonce=\"0a4f\"", "00000001:0a4f:auth:", false },
    };
    char value[1024], response[33];
    struct client c;

    begin("MD5");
    for (size_t i = 0; i < TD_ARRAY_LEN(forms); i++) {
        c = challenged(DIGEST_MD5); /* with a nonce of its own, which nothing has used up */
        snprintf(value, sizeof value, "Digest username=\"alice\", realm=\"%s\", nonce=\"%s\", %s, response=\"%s\"", realm, c.nonce, forms[i].params,
                 hex(c.alg, "%s:%s:%s%s", hex(c.alg, "alice:%s:Wonder-1and", realm), c.nonce, forms[i].middle, hex(c.alg, "AUTH:%s", uri)));
        CHECK_INT(ask(line(value)).verdict, forms[i].good ? AUTHN_OK : AUTHN_CHALLENGE);
    }
    c = challenged(DIGEST_MD5);
    /* Nor is another realm ours, or a response in capitals. */
    snprintf(value, sizeof value, "Digest username=\"alice\", realm=\"elsewhere\", nonce=\"%s\", qop=auth, nc=00000001, cnonce=\"0a4f113b9c21\", response=\"%s\"",
             c.nonce, response_of(&c, 1));
    CHECK_INT(ask(line(value)).verdict, AUTHN_CHALLENGE);
    snprintf(response, sizeof response, "%s", response_of(&c, 1));
    for (char *at = response; *at; at++)
        *at = *at >= 'a' ? (char)(*at - 'a' + 'A') : *at;
    snprintf(value, sizeof value, "Digest username=\"alice\", realm=\"%s\", nonce=\"%s\", qop=auth, nc=00000001, cnonce=\"0a4f113b9c21\", response=\"%s\"",
             realm, c.nonce, response);
    CHECK_INT(ask(line(value)).verdict, AUTHN_CHALLENGE);
    CHECK_INT(ask(line(credentials(&c, 1, ""))).verdict, AUTHN_OK); /* nothing was used up */
    end();
}

/* M-AUTH-11, M-SEC-06, S-AUT-07, S-AUT-13: variant (d) of X-01. */
TEST(wrong_password_and_unknown_user_get_the_same_challenge_without_stale)
{
    struct client c, wrong, unknown;
    char value[1024], *response;
    struct seen a, b;

    begin("SHA-256 MD5");
    wrong = unknown = c = challenged(DIGEST_MD5);
    wrong.password = "wonder-1and";
    unknown.user = "nobody";
    a = ask(line(credentials(&wrong, 1, "")));
    b = ask(line(credentials(&unknown, 1, "")));
    CHECK(a.verdict == AUTHN_CHALLENGE && a.status == 401 && a.had_credentials && !a.stale &&
          !strstr(a.headers, "stale"));
    CHECK(b.verdict == a.verdict && b.status == a.status && b.had_credentials && !b.stale);
    CHECK_INT(strlen(a.headers), strlen(b.headers));
    CHECK_STR(b.username, "nobody"); /* as claimed */
    /* Upper-case hex is not the same response; neither is its beginning. */
    CHECK(sv_copy(sv_of(credentials(&c, 1, "")), value, sizeof value));
    response = strstr(value, "response=\"") + 10;
    for (int i = 0; i < 32; i++)
        response[i] = response[i] >= 'a' ? (char)(response[i] - 32) : response[i];
    CHECK(ask(line(value)).verdict == AUTHN_CHALLENGE);
    CHECK(sv_copy(sv_of(credentials(&c, 1, "")), value, sizeof value));
    response = strstr(value, "response=\"") + 10;
    CHECK(sv_copy(SV("\""), response + 31, 2));
    CHECK(ask(line(value)).verdict == AUTHN_CHALLENGE);
    CHECK(ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK);
    end();
}

/* M-AUTH-11, S-AUT-09: an old nonce is stale for who knows the password, and for nobody else. */
TEST(an_old_nonce_is_stale_only_with_the_right_password)
{
    struct client c, wrong;
    struct seen s;

    begin("MD5");
    wrong = c = challenged(DIGEST_MD5);
    wrong.password = "no";
    CHECK(ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK);
    clock_s += 900;
    CHECK(ask(line(credentials(&c, 2, ""))).verdict == AUTHN_OK);
    clock_s += 1;
    s = ask(line(credentials(&c, 3, "")));
    CHECK(s.verdict == AUTHN_CHALLENGE && s.status == 401 && s.stale && s.had_credentials);
    CHECK(strstr(s.headers, ", stale=true, ") != NULL);
    take_challenge(&c, &s);
    CHECK(ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK);
    s = ask(line(credentials(&wrong, 4, "")));
    CHECK(s.verdict == AUTHN_CHALLENGE && !s.stale && !strstr(s.headers, "stale"));
    /* A nonce of an earlier run of the server. */
    snprintf(c.nonce, sizeof c.nonce, "5f9a6c1b2d3e4f50718293a4b5c6d7e8");
    CHECK(ask(line(credentials(&c, 1, ""))).stale);
    end();
}

/* M-AUTH-13, S-AUT-08: variant (e) of X-01. */
TEST(the_same_nonce_and_count_again_are_stale)
{
    struct authn *other;
    struct client c;
    struct seen s;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    CHECK(ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK);
    s = ask(line(credentials(&c, 1, "")));
    CHECK(s.verdict == AUTHN_CHALLENGE && s.stale && strstr(s.headers, "stale=true") && !strstr(s.headers, c.nonce));
    /* On another thread's instance, too; while the next count is good there. */
    other = new_authn("MD5");
    CHECK(ask_of(other, line(credentials(&c, 1, ""))).stale);
    CHECK(ask_of(other, line(credentials(&c, 2, ""))).verdict == AUTHN_OK);
    CHECK(ask(line(credentials(&c, 2, ""))).stale);
    /* A wrong guess uses nothing up. */
    c.password = "no";
    CHECK(ask(line(credentials(&c, 3, ""))).verdict == AUTHN_CHALLENGE);
    c.password = alice.password;
    CHECK(ask(line(credentials(&c, 3, ""))).verdict == AUTHN_OK);
    authn_free(&other);
    end();
}

/* M-AUTH-12 */
TEST(a_blocked_user_is_forbidden_with_the_right_password_only)
{
    struct client c;
    struct seen s;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    c.user = "mallory";
    c.password = "guess";
    CHECK(ask(line(credentials(&c, 1, ""))).status == 401);
    c.password = "pw";
    s = ask(line(credentials(&c, 1, "")));
    CHECK(s.verdict == AUTHN_FORBIDDEN && s.status == 403 && s.had_credentials);
    CHECK_STR(s.username, "mallory");
    CHECK_STR(s.headers, "");
    end();
}

/* M-AUTH-15: rows made elsewhere have no SHA-256; the second challenge is one such a user can answer. It tells
 * nothing, and who has but mistyped answers it with SHA-256 as before. */
TEST(who_fails_with_sha_256_is_offered_both_again_known_or_not)
{
    static const char *const users[] = { "old", "alice", "nobody" };
    struct client c;
    sqlite3 *h;

    begin("SHA-256 MD5");
    CHECK_INT(db_user_add(rig.db, SV("old"), sv_of(realm), SV("pw")), 0);
    /* As Kamailio would have left it. */
    CHECK_INT(sqlite3_open(rig.file, &h), SQLITE_OK);
    CHECK_INT(sqlite3_exec(h, "UPDATE subscriber SET ha1_sha256 = '' WHERE username = 'old'", NULL, NULL, NULL),
              SQLITE_OK);
    sqlite3_close(h);
    for (size_t i = 0; i < TD_ARRAY_LEN(users); i++) {
        const char *sha, *md5;
        struct seen s;

        c = challenged(DIGEST_SHA256);
        c.user = users[i];
        c.password = "pw";
        s = ask(line(credentials(&c, 1, "")));
        CHECK(s.verdict == AUTHN_CHALLENGE && !s.stale);
        sha = strstr(s.headers, "algorithm=SHA-256\r\n");
        md5 = strstr(s.headers, "algorithm=MD5\r\n");
        CHECK(sha && md5 && md5 < sha);
        c.alg = DIGEST_MD5;
        take_challenge(&c, &s);
        CHECK((ask(line(credentials(&c, 1, ""))).verdict == AUTHN_OK) == (i == 0));
        c.alg = DIGEST_SHA256;
        take_challenge(&c, &s);
        c.password = "Wonder-1and"; /* alice's */
        CHECK((ask(line(credentials(&c, 2, ""))).verdict == AUTHN_OK) == (i == 1));
        c.alg = DIGEST_MD5;
        c.password = "wrong";
        s = ask(line(credentials(&c, 3, ""))); /* he knows MD5: as at first */
        sha = strstr(s.headers, "algorithm=SHA-256\r\n");
        md5 = strstr(s.headers, "algorithm=MD5\r\n");
        CHECK(s.verdict == AUTHN_CHALLENGE && sha && md5 && sha < md5);
    }
    end();
}

/* S-AUT-04, S-AUT-07, M-AUTH-15 */
TEST(credentials_for_others_and_algorithms_not_offered_do_not_count)
{
    char both[2048];
    struct client c;
    struct seen s;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    s = ask("Authorization: Basic YWxpY2U6eA==\r\nAuthorization: Digest username=\"alice\", realm=\"elsewhere\", "
            "response=\"x\"\r\n");
    CHECK(s.verdict == AUTHN_CHALLENGE && !s.had_credentials);
    snprintf(both, sizeof both,
             "Authorization: Digest username=\"alice\", realm=\"elsewhere\", nonce=n\r\nauthorization:%s\r\n",
             credentials(&c, 1, ""));
    CHECK(ask(both).verdict == AUTHN_OK);
    c.alg = DIGEST_SHA256; /* right, but it was not offered */
    s = ask(line(credentials(&c, 2, "")));
    CHECK(s.verdict == AUTHN_CHALLENGE && s.had_credentials);
    end();
}

TEST(malformed_credentials_are_bad_and_cannot_smuggle_anything_in)
{
    static const char *const bad[] = {
        "Authorization: Digest username=\"alice\r\n",
        "Authorization: Digest realm=\"a\", realm=\"b\"\r\n",
        "Authorization: Digest\r\n",
        "Authorization: Digest username=\"a\001\", realm=\"edge.tandem.example\"\r\n",
    };
    char many[2048];
    struct buf big = BUF_INIT;
    size_t n = 0;

    begin("MD5");
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(ask(bad[i]).verdict == AUTHN_BAD);
    /* Eight headers are looked at, a ninth is too many. */
    for (int i = 0; i < 8; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "Authorization: Digest username=\"a\", realm=\"r%d\"\r\n", i);
    CHECK(ask(many).verdict == AUTHN_CHALLENGE);
    snprintf(many + n, sizeof many - n, "Authorization: Digest username=\"a\", realm=\"r\"\r\n");
    CHECK(ask(many).verdict == AUTHN_BAD);
    buf_puts(&big, "Authorization: Digest username=\"");
    for (int i = 0; i < DIGEST_TEXT_MAX + 1; i++)
        buf_putc(&big, 'u');
    buf_puts(&big, "\"\r\n");
    CHECK(ask(big.p).verdict == AUTHN_BAD);
    /* Headers that would mean something to SIP are not shown to it. */
    CHECK(ask("Content-Length: 999999\r\nVia: x\r\nCall-ID: a\r\nCall-ID: b\r\nCSeq: z\r\nNo colon here\r\n").verdict ==
          AUTHN_CHALLENGE);
    buf_fini(&big);
    end();
}

TEST(a_cancelled_request_calls_nobody_and_the_free_cancels_the_rest)
{
    struct seen one = { 0 }, two = { 0 };
    struct authn_req *r;
    struct client c;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    r = authn_msrp(rig.a, sv_of(uri), sv_of(line(credentials(&c, 1, ""))), see, &one);
    CHECK(r != NULL);
    c.user = "nobody"; /* whom memory does not know either, however fast the first answer came */
    CHECK(authn_msrp(rig.a, sv_of(uri), sv_of(line(credentials(&c, 1, ""))), see, &two) != NULL);
    authn_cancel(r);
    authn_free(&rig.a);
    db_stop(rig.db);
    mailbox_run(rig.mb);
    CHECK_INT(one.calls + two.calls, 0);
    end();
}

TEST(without_a_database_nobody_gets_in_and_it_is_no_failed_attempt)
{
    struct client c;
    struct seen s;

    begin("MD5");
    c = challenged(DIGEST_MD5);
    db_stop(rig.db);
    s = ask(line(credentials(&c, 1, "")));
    CHECK(s.verdict == AUTHN_ERROR && s.status == 408);
    CHECK_STR(s.headers, "");
    end();
}

/* M-AUTH-05 */
TEST(without_a_realm_configured_it_is_the_name_of_the_host)
{
    struct buf faults = BUF_INIT;
    char host[256] = "";
    struct conf *conf;

    begin("MD5");
    CHECK_STR(authn_realm(rig.a).p, realm);
    CHECK_INT(conf_load(&conf, NULL, NULL, 0, &faults), 0);
    CHECK_STR(conf->auth.realm, ""); /* as no domain is served */
    CHECK_INT(authn_configure(rig.a, conf), 0);
    CHECK_INT(gethostname(host, sizeof host - 1), 0);
    CHECK_STR(authn_realm(rig.a).p, host);
    conf_free(&conf);
    buf_fini(&faults);
    end();
}

TEST(a_reload_changes_what_is_offered)
{
    struct conf *conf;

    begin("MD5");
    conf = conf_with("SHA-256");
    CHECK_INT(authn_configure(rig.a, conf), 0);
    CHECK(strstr(ask("").headers, "SHA-256") && !strstr(ask("").headers, "MD5"));
    conf_free(&conf);
    end();
}

/* ---- SIP */

static struct seen ask_sip(const char *method, const char *header, const char *value, bool is_proxy)
{
    struct buf text = BUF_INIT;
    struct seen s = { 0 };
    msg_t *msg;

    buf_printf(&text,
               "%s sip:edge.tandem.example SIP/2.0\r\nVia: SIP/2.0/TCP a.invalid;branch=z9hG4bK1\r\nFrom: "
               "<sip:alice@edge.tandem.example>;tag=1\r\n"
               "To: <sip:alice@edge.tandem.example>\r\nCall-ID: c\r\nCSeq: 1 %s\r\n",
               method, method);
    if (value)
        buf_printf(&text, "%s: %s\r\n", header, value);
    buf_puts(&text, "Content-Length: 0\r\n\r\n");
    msg = msg_make(sip_default_mclass(), 0, text.p, (ssize_t)text.n);
    CHECK_FATAL(msg != NULL);
    if (authn_sip(rig.a, sip_object(msg), sv_of(realm), is_proxy, see, &s)) {
        msg_destroy(msg); /* it need not outlive the call */
        wait_for(&s);
    } else {
        msg_destroy(msg);
    }
    buf_fini(&text);
    return s;
}

/* S-AUT-01, S-AUT-02, S-AUT-05, S-AUT-06, S-AUT-14 */
TEST(sip_has_401_for_a_registrar_and_407_for_a_proxy)
{
    struct client c = alice;
    struct seen s;

    begin("SHA-256 MD5");
    s = ask_sip("REGISTER", NULL, NULL, false);
    CHECK(s.verdict == AUTHN_CHALLENGE && s.status == 401 && !s.had_credentials);
    CHECK(strncmp(s.headers, "WWW-Authenticate: Digest realm=\"edge.tandem.example\", qop=\"auth\", ", 66) == 0);
    take_challenge(&c, &s);
    c.method = "REGISTER";
    c.uri = "sip:edge.tandem.example";
    s = ask_sip("REGISTER", "Authorization", credentials(&c, 1, ", uri=\"sip:edge.tandem.example\""), false);
    CHECK(s.verdict == AUTHN_OK && strncmp(s.headers, "Authentication-Info: rspauth=\"", 30) == 0);
    CHECK_STR(s.username, "alice");
    s = ask_sip("REGISTER", "Authorization", credentials(&c, 2, ""), false); /* the uri is part of SIP's digest */
    CHECK(s.verdict == AUTHN_BAD && s.status == 400);
    s = ask_sip("REGISTER", "Authorization", credentials(&c, 2, ", uri=\"sip:other.example\""), false);
    CHECK(s.verdict == AUTHN_BAD && s.status == 400);

    s = ask_sip("INVITE", "Authorization", credentials(&c, 3, ""), true); /* not the header a proxy looks at */
    CHECK(s.verdict == AUTHN_CHALLENGE && s.status == 407 && !s.had_credentials);
    CHECK(strncmp(s.headers, "Proxy-Authenticate: Digest ", 27) == 0);
    c.method = "INVITE";
    c.alg = DIGEST_SHA256;
    take_challenge(&c, &s);
    s = ask_sip("INVITE", "Proxy-Authorization", credentials(&c, 1, ", uri=\"sip:edge.tandem.example\""), true);
    CHECK(s.verdict == AUTHN_OK);
    CHECK_STR(s.headers, "");
    end();
}

/* S-AUT-05: without qop there is no count, so the nonce is good once. */
TEST(an_old_sip_client_without_qop_gets_in_once_for_each_nonce)
{
    struct client c = alice;
    char value[512];
    struct seen s;

    begin("MD5");
    s = ask_sip("REGISTER", NULL, NULL, false);
    take_challenge(&c, &s);
    snprintf(value, sizeof value,
             "Digest username=\"alice\", realm=\"%s\", nonce=\"%s\", uri=\"sip:edge.tandem.example\", response=\"%s\"",
             realm, c.nonce,
             hex(DIGEST_MD5, "%s:%s:%s", hex(DIGEST_MD5, "alice:%s:Wonder-1and", realm), c.nonce,
                 hex(DIGEST_MD5, "REGISTER:sip:edge.tandem.example")));
    CHECK(ask_sip("REGISTER", "Authorization", value, false).verdict == AUTHN_OK);
    s = ask_sip("REGISTER", "Authorization", value, false);
    CHECK(s.verdict == AUTHN_CHALLENGE && s.stale);
    end();
}

/* S-AUT-05: it is switchable. */
TEST(an_old_sip_client_without_qop_stays_outside_if_qop_is_required)
{
    struct conf *conf;
    struct client c = alice;
    char value[512];
    struct seen s;

    begin("MD5");
    conf = conf_with("MD5");
    conf->auth.require_qop = true;
    CHECK_INT(authn_configure(rig.a, conf), 0);
    conf_free(&conf);
    s = ask_sip("REGISTER", NULL, NULL, false);
    take_challenge(&c, &s);
    snprintf(value, sizeof value,
             "Digest username=\"alice\", realm=\"%s\", nonce=\"%s\", uri=\"sip:edge.tandem.example\", response=\"%s\"",
             realm, c.nonce,
             hex(DIGEST_MD5, "%s:%s:%s", hex(DIGEST_MD5, "alice:%s:Wonder-1and", realm), c.nonce,
                 hex(DIGEST_MD5, "REGISTER:sip:edge.tandem.example")));
    s = ask_sip("REGISTER", "Authorization", value, false);
    CHECK(s.verdict == AUTHN_CHALLENGE && !s.stale);
    CHECK(strstr(s.headers, "qop=\"auth\"") != NULL);
    end();
}

SUITE(authn_suite, TEST_ROW(a_stranger_is_challenged_exactly_as_in_x_01),
      TEST_ROW(each_algorithm_has_its_header_and_md5_is_the_last),
      TEST_ROW(right_credentials_without_uri_are_accepted_with_either_algorithm), TEST_ROW(a_username_with_its_domain_is_that_user),
      TEST_ROW(an_old_sip_client_without_qop_stays_outside_if_qop_is_required), TEST_ROW(a_uri_parameter_must_name_the_same_relay), TEST_ROW(incomplete_credentials_bring_a_fresh_challenge),
      TEST_ROW(a_form_that_is_not_ours_is_refused_even_with_its_own_right_response),
      TEST_ROW(wrong_password_and_unknown_user_get_the_same_challenge_without_stale),
      TEST_ROW(an_old_nonce_is_stale_only_with_the_right_password), TEST_ROW(the_same_nonce_and_count_again_are_stale),
      TEST_ROW(a_blocked_user_is_forbidden_with_the_right_password_only),
      TEST_ROW(who_fails_with_sha_256_is_offered_both_again_known_or_not),
      TEST_ROW(credentials_for_others_and_algorithms_not_offered_do_not_count),
      TEST_ROW(malformed_credentials_are_bad_and_cannot_smuggle_anything_in),
      TEST_ROW(a_cancelled_request_calls_nobody_and_the_free_cancels_the_rest),
      TEST_ROW(without_a_database_nobody_gets_in_and_it_is_no_failed_attempt),
      TEST_ROW(a_reload_changes_what_is_offered), TEST_ROW(without_a_realm_configured_it_is_the_name_of_the_host), TEST_ROW(sip_has_401_for_a_registrar_and_407_for_a_proxy),
      TEST_ROW(an_old_sip_client_without_qop_gets_in_once_for_each_nonce));
