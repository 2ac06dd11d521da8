/* The WebSocket opening handshake. */
#include "net/wshand.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "tests/unit/harness.h"

#define LINE "GET /chat?room=1 HTTP/1.1\r\n"
#define HOST "Host: edge.tandem.example\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define SIP "Sec-WebSocket-Protocol: sip\r\n"
#define GOOD LINE HOST UPGRADE KEY VERSION

enum { SIP_BIT = WSHAND_SIP, MSRP_BIT = WSHAND_MSRP, BOTH = WSHAND_SIP | WSHAND_MSRP };

static struct wshand_result ask(const char *text, const struct wshand_policy *p, struct buf *out)
{
    size_t n = strlen(text), head;
    char *copy = malloc(n); /* of exactly that size: a sanitizer sees what is read beyond */
    struct wshand_result r;

    CHECK_FATAL(copy != NULL);
    memcpy(copy, text, n);
    head = wshand_head(copy, n);
    buf_clear(out);
    r = wshand_answer(sv_make(copy, head ? head : n), p, out);
    free(copy);
    return r;
}

/* The status alone; what is served: both protocols, msrp forbidden where secure is not. */
static struct wshand_result ask_plainly(const char *text, bool secure)
{
    const struct wshand_policy p = { .is_served = true, .protocols = secure ? BOTH : SIP_BIT, .forbidden = secure ? 0 : MSRP_BIT };
    struct buf out = BUF_INIT;
    struct wshand_result r = ask(text, &p, &out);

    buf_fini(&out);
    return r;
}

/* RFC 6455 s.1.3, and X-12 of the transcripts. */
TEST(good_handshake_is_answered_as_the_rfc_prints_it)
{
    const struct wshand_policy p = { .is_served = true, .protocols = BOTH };
    struct buf out = BUF_INIT;

    CHECK_INT(ask(GOOD SIP "\r\n", &p, &out).status, 101);
    CHECK_STR(out.p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n");
    CHECK_INT(ask("GET / HTTP/1.1\r\nhost: edge.tandem.example\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
                  "sec-websocket-key: dGFuZGVtLW1zcnAtdGVzdA==\r\nsec-websocket-protocol: msrp\r\nsec-websocket-version: 13\r\n\r\n",
                  &p, &out).status, 101);
    CHECK_STR(out.p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: S3hKrTDt1WQGCxeTBnjAZyIz8bk=\r\nSec-WebSocket-Protocol: msrp\r\n\r\n");
    buf_fini(&out);
}

/* M-WS-01, S-WS-01: the first of the client's that is served, and only that one. M-WS-02: msrp is not served in the clear. */
TEST(sub_protocol_is_the_first_of_the_clients_that_is_served)
{
    static const struct {
        const char *offer;
        int secure, clear; /* status, or for 101 the protocol */
    } rows[] = {
        { "Sec-WebSocket-Protocol: sip\r\n", WSHAND_SIP, WSHAND_SIP },
        { "Sec-WebSocket-Protocol: msrp\r\n", WSHAND_MSRP, 403 },
        { "Sec-WebSocket-Protocol: sip, msrp\r\n", WSHAND_SIP, WSHAND_SIP },
        { "Sec-WebSocket-Protocol: msrp, sip\r\n", WSHAND_MSRP, WSHAND_SIP },
        { "Sec-WebSocket-Protocol: chat ,,\tmsrp,sip\r\n", WSHAND_MSRP, WSHAND_SIP },
        { "Sec-WebSocket-Protocol: chat\r\nX: y\r\nSec-WebSocket-Protocol: msrp\r\n", WSHAND_MSRP, 403 },
        { "", 400, 400 },
        { "Sec-WebSocket-Protocol:\r\n", 400, 400 },
        { "Sec-WebSocket-Protocol: chat, sips, MSRP, SIP\r\n", 400, 400 },
        { "X-Protocol: sip\r\n", 400, 400 },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        for (int secure = 0; secure < 2; secure++) {
            char text[600];
            struct wshand_result r;
            int want = secure ? rows[i].secure : rows[i].clear;

            snprintf(text, sizeof text, GOOD "%s\r\n", rows[i].offer);
            r = ask_plainly(text, secure);
            if ((r.status == 101 ? (int)r.protocol : r.status) != want)
                printf("row %zu: %d %d\n", i, r.status, r.protocol);
            CHECK_INT(r.status == 101 ? (int)r.protocol : r.status, want);
        }
}

TEST(port_that_speaks_one_protocol_offers_no_other)
{
    const struct wshand_policy sip = { .is_served = true, .protocols = SIP_BIT }, msrp = { .is_served = true, .protocols = MSRP_BIT };
    struct buf out = BUF_INIT;

    CHECK_INT(ask(GOOD "Sec-WebSocket-Protocol: msrp, sip\r\n\r\n", &sip, &out).protocol, WSHAND_SIP);
    CHECK_INT(ask(GOOD "Sec-WebSocket-Protocol: sip, msrp\r\n\r\n", &msrp, &out).protocol, WSHAND_MSRP);
    CHECK_INT(ask(GOOD "Sec-WebSocket-Protocol: sip\r\n\r\n", &msrp, &out).status, 400);
    buf_fini(&out);
}

TEST(what_is_no_good_handshake_is_refused)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        { "GET / HTTP/1.1\r\n\r\n", 404 },
        { "GET / HTTP/1.1\r\n" HOST "\r\n", 404 },
        { LINE HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 404 },
        { "POST / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION SIP "\r\n", 405 },
        { "get / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION SIP "\r\n", 405 },
        { "GET / HTTP/1.0\r\n" HOST UPGRADE KEY VERSION SIP "\r\n", 505 },
        { "GET / HTTP/2\r\n" HOST "\r\n", 505 },
        { "GET / SIP/2.0\r\n" HOST "\r\n", 400 },
        { "GET  / HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /\r\n" HOST "\r\n", 400 },
        { "GET / a HTTP/1.1\r\n" HOST "\r\n", 400 },
        { "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400 },
        { LINE UPGRADE KEY VERSION SIP "\r\n", 400 },
        { LINE "Host:\r\n" UPGRADE KEY VERSION SIP "\r\n", 400 },
        { LINE HOST HOST UPGRADE KEY VERSION SIP "\r\n", 400 },
        { LINE HOST "Upgrade: websocket\r\n" KEY VERSION SIP "\r\n", 400 },
        { LINE HOST "Upgrade: websocket\r\nConnection: close\r\n" KEY VERSION SIP "\r\n", 400 },
        { LINE HOST UPGRADE KEY SIP "\r\n", 426 },
        { LINE HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n" SIP "\r\n", 426 },
        { LINE HOST UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n" SIP "\r\n", 426 },
        { LINE HOST UPGRADE KEY VERSION VERSION SIP "\r\n", 426 },
        { LINE HOST UPGRADE VERSION SIP "\r\n", 400 },
        { LINE HOST UPGRADE KEY KEY VERSION SIP "\r\n", 400 },
        { LINE HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" VERSION SIP "\r\n", 400 },
        { LINE HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n" VERSION SIP "\r\n", 400 },
        { LINE HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhb BsZSBub25jZQ==\r\n" VERSION SIP "\r\n", 400 },
        { GOOD SIP "Content-Length: 5\r\n\r\n", 400 },
        { GOOD SIP "Transfer-Encoding: chunked\r\n\r\n", 400 },
        { GOOD SIP "Content-Length: 0\r\n\r\n", 101 },
        { GOOD SIP "no colon\r\n\r\n", 400 },
        { GOOD SIP "blank : before the colon\r\n\r\n", 400 },
        { GOOD SIP " folded: line\r\n\r\n", 400 },
        { GOOD SIP "X: bare\rcr\r\n\r\n", 400 },
        { GOOD SIP "X: bare\nlf\r\n\r\n", 400 },
        { GOOD SIP ": no name\r\n\r\n", 400 },
        { GOOD SIP "X: \xc3\xa4\r\n\r\n", 101 },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct wshand_result r = ask_plainly(rows[i].text, true);

        if (r.status != rows[i].status)
            printf("row %zu: %d %s\n", i, r.status, r.why ? r.why : "");
        CHECK_INT(r.status, rows[i].status);
        CHECK(r.status == 101 || (r.why && *r.why));
    }
}

TEST(port_without_websocket_has_nothing_at_all)
{
    const struct wshand_policy p = { .protocols = BOTH };
    struct buf out = BUF_INIT;

    CHECK_INT(ask(GOOD SIP "\r\n", &p, &out).status, 404);
    CHECK_STR(out.p, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    buf_fini(&out);
}

TEST(refusals_say_what_would_do)
{
    const struct wshand_policy p = { .is_served = true, .protocols = BOTH };
    struct buf out = BUF_INIT;

    ask("PUT / HTTP/1.1\r\n" HOST "\r\n", &p, &out);
    CHECK(strstr(out.p, "HTTP/1.1 405 Method Not Allowed\r\n") == out.p && strstr(out.p, "\r\nAllow: GET\r\n"));
    ask(LINE HOST UPGRADE KEY SIP "\r\n", &p, &out);
    CHECK(strstr(out.p, "HTTP/1.1 426 Upgrade Required\r\n") == out.p && strstr(out.p, "\r\nSec-WebSocket-Version: 13\r\n") &&
          strstr(out.p, "\r\nUpgrade: websocket\r\n"));
    buf_fini(&out);
}

/* M-WS-09, S-WS-09: foreign pages are refused, ours are told that they may; who is no browser names no origin. */
TEST(origin_is_let_in_when_it_is_on_the_list)
{
    char *words[] = { (char[]){ "https://app.tandem.example" }, (char[]){ "http://localhost:8080" } };
    const struct conf_list list = { .v = words, .n = 2 }, none = { 0 };
    const struct wshand_policy some = { .is_served = true, .protocols = BOTH, .origins = &list },
                               any = { .is_served = true, .protocols = BOTH, .origins = &none };
    struct buf out = BUF_INIT;

    CHECK_INT(ask(GOOD SIP "Origin: https://app.tandem.example\r\n\r\n", &some, &out).status, 101);
    CHECK(strstr(out.p, "\r\nAccess-Control-Allow-Origin: https://app.tandem.example\r\n") != NULL);
    CHECK_INT(ask(GOOD SIP "Origin: HTTPS://App.tandem.example\r\n\r\n", &some, &out).status, 101);
    CHECK_INT(ask(GOOD SIP "Origin: http://localhost:8080\r\n\r\n", &some, &out).status, 101);
    CHECK_INT(ask(GOOD SIP "\r\n", &some, &out).status, 101);
    CHECK(strstr(out.p, "Access-Control") == NULL);
    CHECK_INT(ask(GOOD SIP "Origin: https://evil.example\r\n\r\n", &some, &out).status, 403);
    CHECK(strstr(out.p, "Access-Control") == NULL);
    CHECK_INT(ask(GOOD SIP "Origin: null\r\n\r\n", &some, &out).status, 403);
    CHECK_INT(ask(GOOD SIP "Origin:\r\n\r\n", &some, &out).status, 403);
    CHECK_INT(ask(GOOD SIP "Origin: https://app.tandem.example.evil.example\r\n\r\n", &some, &out).status, 403);
    CHECK_INT(ask(GOOD SIP "Origin: https://app.tandem.example\r\nOrigin: https://app.tandem.example\r\n\r\n", &some, &out).status, 403);
    CHECK_INT(ask(GOOD SIP "Origin: https://evil.example\r\n\r\n", &any, &out).status, 101);
    buf_fini(&out);
}

/* Section 23 of the relay's requirements wants limits tested at the limit and one past it. */
TEST(head_at_its_limits_is_taken_and_one_past_them_refused)
{
    static char text[WSHAND_HEAD_MAX + 64];
    size_t n;

    for (int over = 0; over < 2; over++) {
        n = (size_t)snprintf(text, sizeof text, GOOD SIP "X: ");
        memset(text + n, 'x', WSHAND_HEAD_MAX + (size_t)over - n - 4);
        memcpy(text + WSHAND_HEAD_MAX + over - 4, "\r\n\r\n", 5);
        CHECK_INT(ask_plainly(text, true).status, over ? 431 : 101);

        n = (size_t)snprintf(text, sizeof text, GOOD SIP); /* six headers */
        for (int i = 6; i < WSHAND_HEADERS_MAX + over; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X: y\r\n");
        snprintf(text + n, sizeof text - n, "\r\n");
        CHECK_INT(ask_plainly(text, true).status, over ? 431 : 101);
    }
}

TEST(head_is_found_when_it_is_all_there)
{
    const char *text = GOOD SIP "\r\n";
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        CHECK_INT(wshand_head(text, i), 0);
    CHECK_INT(wshand_head(text, n), n);
    CHECK_INT(wshand_head(GOOD SIP "\r\nmore\r\n\r\n", n + 8), n);
}

SUITE(wshand_suite, TEST_ROW(good_handshake_is_answered_as_the_rfc_prints_it),
      TEST_ROW(sub_protocol_is_the_first_of_the_clients_that_is_served), TEST_ROW(port_that_speaks_one_protocol_offers_no_other),
      TEST_ROW(what_is_no_good_handshake_is_refused), TEST_ROW(port_without_websocket_has_nothing_at_all),
      TEST_ROW(refusals_say_what_would_do), TEST_ROW(origin_is_let_in_when_it_is_on_the_list),
      TEST_ROW(head_at_its_limits_is_taken_and_one_past_them_refused), TEST_ROW(head_is_found_when_it_is_all_there));
