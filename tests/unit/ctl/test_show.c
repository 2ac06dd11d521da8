/* Tables for people, and what they make of the server's answers. */
#include "tests/unit/harness.h"

#include "ctl/show.h"
#include "ctl/table.h"

static void expect_table(struct table *t, const char *expected)
{
    struct buf out = BUF_INIT;

    table_print(t, &out);
    CHECK_STR(out.p, expected);
    buf_fini(&out);
    table_fini(t);
}

TEST(columns_are_as_wide_as_what_is_in_them)
{
    struct table t;

    table_init(&t, "NAME >COUNT LAST");
    table_text(&t, "a-long-name");
    table_number(&t, 7);
    table_text(&t, "x");
    table_text(&t, "b");
    table_number(&t, -1234567);
    table_text(&t, "");
    expect_table(&t, "NAME            COUNT  LAST\n"
                     "a-long-name         7  x\n"
                     "b            -1234567  -\n");
}

TEST(a_table_without_rows_says_so)
{
    struct table t;

    table_init(&t, "NAME COUNT");
    expect_table(&t, "(none)\n");
}

TEST(bytes_get_a_unit_when_they_are_many)
{
    static const struct { int64_t bytes; const char *text; } rows[] = {
        { 0, "0" },           { 9999, "9999" },     { 10000, "9.8k" },          { 1536 * 1024, "1.5M" },
        { 1023999, "1.0M" },  { 102400, "100k" },   { 10LL << 30, "10.0G" },    { INT64_MAX, "8192P" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct buf expected = BUF_INIT;
        struct table t;

        table_init(&t, "B");
        table_bytes(&t, rows[i].bytes);
        buf_printf(&expected, "B\n%s\n", rows[i].text);
        expect_table(&t, expected.p);
        buf_fini(&expected);
    }
}

TEST(what_a_peer_sent_cannot_steer_the_terminal)
{
    struct table t;

    table_init(&t, "TEXT");
    table_text(&t, "\x1b[2Jx\ny\xff");
    expect_table(&t, "TEXT\n\\x1b[2Jx\\x0ay\\xff\n");
}

TEST(a_long_text_is_cut)
{
    char text[1000];
    struct table t;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    table_init(&t, "TEXT");
    table_text(&t, text);
    CHECK_INT(t.width[0], TABLE_CELL_MAX + 3);
    table_fini(&t);
}

static void expect_shown(void (*show)(const json_t *result, struct buf *out), const char *json, const char *expected)
{
    json_t *result = json_loads(json, 0, NULL);
    struct buf out = BUF_INIT;

    CHECK_FATAL(result != NULL);
    show(result, &out);
    CHECK_STR(out.p, expected);
    buf_fini(&out);
    json_decref(result);
}

TEST(sessions_and_connections_are_shown_one_a_line)
{
    expect_shown(show_sessions,
                 "[{\"session_id\":\"abc\",\"username\":\"alice\",\"domain\":\"example.org\",\"srcaddr\":\"msrps://192.0.2.1:9\","
                 "\"state\":\"active\",\"expires\":\"2026-01-01 00:00:00\",\"conn_id\":7,\"frames_in\":1,\"frames_out\":2,"
                 "\"bytes_in\":3,\"bytes_out\":20480}]",
                 "SESSION  USER               CLIENT               STATE   EXPIRES              CONN  FRAMES-IN  FRAMES-OUT  IN    OUT\n"
                 "abc      alice@example.org  msrps://192.0.2.1:9  active  2026-01-01 00:00:00     7          1           2   3  20.0k\n");
    expect_shown(show_connections, "[{\"conn_id\":1,\"protocol\":\"sip\",\"transport\":\"tcp\",\"peer\":\"192.0.2.1:9\","
                                   "\"local\":\"192.0.2.2:5060\",\"tls_version\":\"\"}]",
                 "ID  PROTOCOL  TRANSPORT  PEER         LOCAL           TLS  NAME  OPENED  IN  OUT\n"
                 " 1  sip       tcp        192.0.2.1:9  192.0.2.2:5060  -    -     -        0    0\n");
    expect_shown(show_sessions, "[]", "(none)\n");
}

TEST(registrations_are_flattened)
{
    expect_shown(show_registrations,
                 "{\"Domains\":[{\"Domain\":{\"Domain\":\"location\",\"AoRs\":["
                 "{\"Info\":{\"AoR\":\"a@x\",\"Contacts\":[{\"Contact\":{\"Address\":\"sip:1\",\"Expires\":60,"
                 "\"Received\":\"[not set]\",\"Tcpconn-Id\":4,\"User-Agent\":\"u\"}}]}},"
                 "{\"Info\":{\"AoR\":\"b@x\",\"Contacts\":[{\"Contact\":{\"Address\":\"sip:2\",\"Expires\":\"permanent\"}}]}}]}}]}",
                 "AOR  CONTACT    EXPIRES  RECEIVED  CONN  USER-AGENT\n"
                 "a@x  sip:1           60  -            4  u\n"
                 "b@x  sip:2    permanent  -            0  -\n");
}

TEST(the_session_table_ends_with_its_totals)
{
    expect_shown(show_cmaplist, "{\"MAP_SIZE\":256,\"CONLIST\":[],\"CONCOUNT\":0}", "(none)\nMAP_SIZE 256  CONCOUNT 0\n");
}

TEST(counters_come_with_their_meaning)
{
    expect_shown(show_stats, "{\"conn_open\":3,\"from_the_future\":1}",
                 "COUNTER          VALUE  MEANING\n"
                 "conn_open            3  connections open now\n"
                 "from_the_future      1  -\n");
}

TEST(rates_are_of_counters_and_not_of_gauges)
{
    json_t *before = json_pack("{s:i, s:i}", "conn_accepted", 100, "conn_open", 5);
    json_t *now = json_pack("{s:i, s:i, s:i}", "conn_accepted", 300, "conn_open", 9, "bytes_in", 0);
    struct buf out = BUF_INIT;

    show_rates(before, now, 2.0, &out);
    CHECK_STR(out.p, "COUNTER        VALUE  A-SECOND  MEANING\n"
                     "conn_accepted    300       100  connections accepted\n"
                     "conn_open          9         -  connections open now\n");
    buf_fini(&out);
    json_decref(before);
    json_decref(now);
}

TEST(a_reload_tells_now_from_later)
{
    expect_shown(show_reload, "{\"live\":[\"a.b\",\"c.d\"],\"restart\":[\"e.f\"]}",
                 "now in force: a.b c.d\nafter a restart: e.f\n");
    expect_shown(show_reload, "{\"live\":[],\"restart\":[]}", "reloaded; no key has changed\n");
}

SUITE(show_suite, TEST_ROW(columns_are_as_wide_as_what_is_in_them), TEST_ROW(a_table_without_rows_says_so),
      TEST_ROW(bytes_get_a_unit_when_they_are_many), TEST_ROW(what_a_peer_sent_cannot_steer_the_terminal),
      TEST_ROW(a_long_text_is_cut), TEST_ROW(sessions_and_connections_are_shown_one_a_line),
      TEST_ROW(registrations_are_flattened), TEST_ROW(the_session_table_ends_with_its_totals),
      TEST_ROW(counters_come_with_their_meaning), TEST_ROW(rates_are_of_counters_and_not_of_gauges),
      TEST_ROW(a_reload_tells_now_from_later));
