/* MSRP URIs and paths. */
#include "msrp/uri.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/harness.h"

static bool parses(const char *text)
{
    struct msrp_uri u;

    return msrp_uri_parse(&u, sv_of(text));
}

static bool equal(const char *a, const char *b)
{
    struct msrp_uri x, y;

    CHECK_FATAL(msrp_uri_parse(&x, sv_of(a)));
    CHECK_FATAL(msrp_uri_parse(&y, sv_of(b)));
    CHECK(msrp_uri_eq(&x, &y) == msrp_uri_eq(&y, &x));
    return msrp_uri_eq(&x, &y);
}

/* M-URI-01 */
TEST(every_part_of_a_full_uri_is_found)
{
    struct msrp_uri u;
    static const char text[] = "MSRPS://al%20ice:x@[2001:db8::1]:5061/a.B-9_~+=/c;TCP;one;two=3";

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(text)));
    CHECK(sv_eq(u.text, sv_of(text)));
    CHECK(sv_eq(u.scheme, SV("MSRPS")) && u.secure);
    CHECK(sv_eq(u.userinfo, SV("al%20ice:x")));
    CHECK(sv_eq(u.host, SV("[2001:db8::1]")));
    CHECK(sv_eq(u.port, SV("5061")));
    CHECK_INT(u.port_number, 5061);
    CHECK(sv_eq(u.session, SV("a.B-9_~+=/c")));
    CHECK(sv_eq(u.transport, SV("TCP")));
    CHECK(sv_eq(u.params, SV("one;two=3")));
}

/* M-URI-01: session-id, port, userinfo and further parameters may be absent. */
TEST(shortest_uri_has_host_and_transport_only)
{
    struct msrp_uri u;

    CHECK_FATAL(msrp_uri_parse(&u, SV("msrp://h;t")));
    CHECK(!u.secure && u.port_number == 0);
    CHECK(u.userinfo.n == 0 && u.port.n == 0 && u.session.n == 0 && u.params.n == 0);
    CHECK(sv_eq(u.host, SV("h")) && sv_eq(u.transport, SV("t")));
}

/* M-URI-01 */
TEST(text_that_is_no_msrp_uri_is_refused)
{
    static const char *const bad[] = {
        "",
        "msrp",
        "msrp:",
        "msrp:/",
        "msrp://",
        "msrp://h",
        "msrp://h;",
        "msrp://h/;tcp",
        "msrp://h/s",
        "msrp://;tcp",
        "msrp:///s;tcp",
        "sip:bob@h",
        "http://h/s;tcp",
        "msrpx://h;tcp",
        "msr://h;tcp",
        "msrp//h;tcp",
        "msrp:h;tcp",
        " msrp://h;tcp",
        "msrp://h;tcp ",
        "msrp://h:/s;tcp",
        "msrp://h:0/s;tcp",
        "msrp://h:65536/s;tcp",
        "msrp://h:99999999999/s;tcp",
        "msrp://h:50x/s;tcp",
        "msrp://h:-1/s;tcp",
        "msrp://h:5061:1/s;tcp",
        "msrp://[::1/s;tcp",
        "msrp://[]/s;tcp",
        "msrp://[g::1]/s;tcp",
        "msrp://[1.2.3.4]:1/s;tcp",
        "msrp://[::1]x/s;tcp",
        "msrp://h/s;t-p",
        "msrp://h/s;t.p",
        "msrp:/xh:1/s;tcp",
        "msrp:::h:1/s;tcp",
        "msrp://h/s;;x",
        "msrp://h/s#;tcp",
        "msrp://h/s?x;tcp",
        "msrp://h/s@;tcp",
        "msrp://h/s:1;tcp",
        "msrp://h_%4/s;tcp",
        "msrp://h%/s;tcp",
        "msrp://h%zz/s;tcp",
        "msrp://a@b@c/s;tcp",
        "msrp://h h/s;tcp",
        "msrp://h/s s;tcp",
        "msrp://h/s;tcp;a b",
        "msrp://h\"/s;tcp",
        "msrp://h/s;t\xc3\xa9",
        "msrp://h\xc3\xa9/s;tcp",
        "msrp://h/\xc3\xa9;tcp",
        "msrp://h/s;tcp;\x7f",
        "msrp://h/s;tcp;\t",
    };
    struct msrp_uri u;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        if (parses(bad[i])) {
            printf("accepted: %s\n", bad[i]);
            CHECK(!"refused");
        }
    CHECK(!msrp_uri_parse(&u, SV("msrp://h\0h/s;tcp")));
    CHECK(!msrp_uri_parse(&u, SV("msrp://h/s\0;tcp")));
    CHECK(!msrp_uri_parse(&u, SV("msrp://h/s;tcp;a\0")));
    CHECK(!msrp_uri_parse(&u, sv_make(NULL, 0)));
}

/* Cutting a good URI anywhere before its transport leaves none, and no byte beyond the view is looked at. */
TEST(every_prefix_of_a_uri_is_judged_by_itself)
{
    static const char text[] = "msrps://alice@edge.tandem.example:5061/t0ken;tcp;x=1";
    size_t transport = (size_t)(strstr(text, ";tcp") - text) + 1;

    for (size_t n = 0; n < sizeof text; n++) {
        struct msrp_uri u;
        char *copy = malloc(n + 1);

        CHECK_FATAL(copy != NULL);
        memcpy(copy, text, n);
        CHECK(msrp_uri_parse(&u, sv_make(copy, n)) == (n > transport));
        free(copy);
    }
}

/* M-URI-01 */
TEST(uri_at_the_length_limit_is_read_and_one_past_it_is_refused)
{
    char text[MSRP_URI_MAX + 2] = "msrps://edge.tandem.example:5061/";
    size_t head = strlen(text);
    struct msrp_uri u;

    memset(text + head, 'a', sizeof text - head);
    memcpy(text + MSRP_URI_MAX - 4, ";tcp", 4);
    CHECK(msrp_uri_parse(&u, sv_make(text, MSRP_URI_MAX)));
    text[MSRP_URI_MAX - 4] = 'a';
    memcpy(text + MSRP_URI_MAX - 3, ";tcp", 4);
    CHECK(!msrp_uri_parse(&u, sv_make(text, MSRP_URI_MAX + 1)));
}

TEST(port_runs_from_1_to_65535)
{
    struct msrp_uri u;

    CHECK(msrp_uri_parse(&u, SV("msrp://h:1;tcp")) && u.port_number == 1);
    CHECK(msrp_uri_parse(&u, SV("msrp://h:65535;tcp")) && u.port_number == 65535);
}

/* M-URI-02 */
TEST(unknown_transport_is_accepted_and_kept)
{
    struct msrp_uri u;

    CHECK(msrp_uri_parse(&u, SV("msrps://bob.example:9/b;sctp9")) && sv_eq(u.transport, SV("sctp9")));
    CHECK(msrp_uri_parse(&u, SV("msrps://bob.invalid:9/b;ws")) && sv_eq(u.transport, SV("ws")));
}

/* M-URI-03 */
TEST(scheme_compares_without_case_and_msrp_is_not_msrps)
{
    CHECK(equal("msrps://h:1/s;tcp", "MsRpS://h:1/s;tcp"));
    CHECK(equal("msrp://h:1/s;tcp", "MSRP://h:1/s;tcp"));
    CHECK(!equal("msrp://h:1/s;tcp", "msrps://h:1/s;tcp"));
}

/* M-URI-04 */
TEST(userinfo_does_not_count)
{
    CHECK(equal("msrps://alice@edge.tandem.example:5061;tcp", "msrps://edge.tandem.example:5061;tcp"));
    CHECK(equal("msrps://alice@edge.tandem.example:5061;tcp", "msrps://bob@edge.tandem.example:5061;tcp"));
}

/* M-URI-05 */
TEST(host_compares_without_case_after_decoding_escapes)
{
    CHECK(equal("msrps://EDGE.tandem.EXAMPLE:1/s;tcp", "msrps://edge.tandem.example:1/s;tcp"));
    CHECK(equal("msrps://edge%2Etandem.example:1/s;tcp", "msrps://edge.tandem.example:1/s;tcp"));
    CHECK(equal("msrps://edge%2etandem.example:1/s;tcp", "msrps://edge%2Etandem.example:1/s;tcp"));
    CHECK(equal("msrps://%45dge:1/s;tcp", "msrps://%65dge:1/s;tcp"));
    CHECK(equal("msrps://edg%65:1/s;tcp", "msrps://EDGE:1/s;tcp"));
    CHECK(!equal("msrps://edge.tandem.example:1/s;tcp", "msrps://edge.tandem.exampl:1/s;tcp"));
    CHECK(!equal("msrps://edge:1/s;tcp", "msrps://edgf:1/s;tcp"));
    CHECK(!equal("msrps://edge%2E:1/s;tcp", "msrps://edge:1/s;tcp"));
    CHECK(!equal("msrps://e%2525:1/s;tcp", "msrps://e%25:1/s;tcp")); /* decoded once only */
}

/* M-URI-05 */
TEST(ip_literals_compare_by_value)
{
    CHECK(equal("msrps://[2001:db8:0::1]:1/s;tcp", "msrps://[2001:db8::1]:1/s;tcp"));
    CHECK(equal("msrps://[2001:DB8::1]:1/s;tcp", "msrps://[2001:0db8:0:0:0:0:0:1]:1/s;tcp"));
    CHECK(equal("msrps://[::ffff:127.0.0.1]:1/s;tcp", "msrps://[::ffff:7f00:1]:1/s;tcp"));
    CHECK(!equal("msrps://[2001:db8::1]:1/s;tcp", "msrps://[2001:db8::2]:1/s;tcp"));
    CHECK(equal("msrps://127.0.0.1:1/s;tcp", "msrps://127.0.0.1:1/s;tcp"));
    CHECK(!equal("msrps://127.0.0.1:1/s;tcp", "msrps://127.0.0.2:1/s;tcp"));
    CHECK(!equal("msrps://[::1]:1/s;tcp", "msrps://localhost:1/s;tcp"));
}

/* msrp_host_eq() is called with configured names too, which no parser has seen. */
TEST(host_comparison_survives_odd_text)
{
    CHECK(!msrp_host_eq(SV("["), SV("[]")));
    CHECK(!msrp_host_eq(SV("["), SV("[::1]")));
    CHECK(!msrp_host_eq(SV("[::1"), SV("[::1]")));
    CHECK(!msrp_host_eq(SV("a%"), SV("a%2")));
    CHECK(!msrp_host_eq(SV(""), SV("a")));
    CHECK(msrp_host_eq(SV(""), SV("")));
}

/* M-URI-06 */
TEST(explicit_port_matches_only_the_same_explicit_port)
{
    CHECK(!equal("msrps://h:5061/x;tcp", "msrps://h/x;tcp"));
    CHECK(!equal("msrps://h:2855/x;tcp", "msrps://h/x;tcp")); /* not even the default one */
    CHECK(!equal("msrps://h:5061/x;tcp", "msrps://h:5062/x;tcp"));
    CHECK(equal("msrps://h/x;tcp", "msrps://h/x;tcp"));
}

/* M-URI-07 */
TEST(session_id_compares_byte_for_byte)
{
    CHECK(equal("msrps://h:1/AbC;tcp", "msrps://h:1/AbC;tcp"));
    CHECK(!equal("msrps://h:1/AbC;tcp", "msrps://h:1/Abc;tcp"));
    CHECK(!equal("msrps://h:1/AbC;tcp", "msrps://h:1;tcp"));
    CHECK(!equal("msrps://h:1/AbC;tcp", "msrps://h:1/AbCD;tcp"));
}

/* M-URI-08 */
TEST(transport_compares_without_case_and_other_parameters_do_not_count)
{
    CHECK(equal("msrps://h:1/s;tcp", "msrps://h:1/s;TCP"));
    CHECK(!equal("msrps://h:1/s;tcp", "msrps://h:1/s;ws"));
    CHECK(equal("msrps://h:1/s;tcp", "msrps://h:1/s;tcp;a=b"));
    CHECK(equal("msrps://h:1/s;tcp;c", "msrps://h:1/s;tcp;a=b"));
}

/* M-URI-08 */
TEST(paths_in_a_session_id_are_never_normalised)
{
    CHECK(!equal("msrps://h:1/a/../b;tcp", "msrps://h:1/b;tcp"));
    CHECK(!equal("msrps://h:1/a//b;tcp", "msrps://h:1/a/b;tcp"));
}

/* M-URI-11: what was parsed is handed on as it came. */
TEST(path_is_split_into_its_uris_in_order_and_byte_for_byte)
{
    static const char path[] = "msrps://EDGE%2eexample:5061/T;tcp;x MSRP://bob:9/b;WS";
    struct msrp_uri u[4];

    CHECK_INT(msrp_path_parse(sv_of(path), u, 4), 2);
    CHECK(sv_eq(u[0].text, SV("msrps://EDGE%2eexample:5061/T;tcp;x")));
    CHECK(sv_eq(u[1].text, SV("MSRP://bob:9/b;WS")));
    CHECK(u[0].text.p == path);
}

/* M-FWD-13: the limit on the number of URIs. */
TEST(path_at_the_limit_is_read_and_one_past_it_is_refused)
{
    char path[MSRP_PATH_MAX * 16 + 32] = "";
    struct msrp_uri u[MSRP_PATH_MAX];
    size_t n = 0;

    for (int i = 0; i < MSRP_PATH_MAX; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "%smsrp://h%d:1;tcp", i ? " " : "", i);
    CHECK_INT(msrp_path_parse(sv_make(path, n), u, MSRP_PATH_MAX), MSRP_PATH_MAX);
    n += (size_t)snprintf(path + n, sizeof path - n, " msrp://x:1;tcp");
    CHECK_INT(msrp_path_parse(sv_make(path, n), u, MSRP_PATH_MAX), 0);
}

TEST(empty_path_and_path_with_one_bad_uri_count_nothing)
{
    struct msrp_uri u[4];

    CHECK_INT(msrp_path_parse(SV(""), u, 4), 0);
    CHECK_INT(msrp_path_parse(SV("   "), u, 4), 0);
    CHECK_INT(msrp_path_parse(SV("msrp://a:1;tcp bad"), u, 4), 0);
    CHECK_INT(msrp_path_parse(SV("msrp://a:1;tcp  msrp://b:1;tcp"), u, 4), 0);
    CHECK_INT(msrp_path_parse(SV("msrp://a:1;tcp\tmsrp://b:1;tcp"), u, 4), 0);
}

SUITE(uri_suite, TEST_ROW(every_part_of_a_full_uri_is_found), TEST_ROW(shortest_uri_has_host_and_transport_only),
      TEST_ROW(text_that_is_no_msrp_uri_is_refused), TEST_ROW(every_prefix_of_a_uri_is_judged_by_itself),
      TEST_ROW(uri_at_the_length_limit_is_read_and_one_past_it_is_refused), TEST_ROW(port_runs_from_1_to_65535),
      TEST_ROW(unknown_transport_is_accepted_and_kept), TEST_ROW(scheme_compares_without_case_and_msrp_is_not_msrps),
      TEST_ROW(userinfo_does_not_count), TEST_ROW(host_compares_without_case_after_decoding_escapes),
      TEST_ROW(ip_literals_compare_by_value), TEST_ROW(host_comparison_survives_odd_text),
      TEST_ROW(explicit_port_matches_only_the_same_explicit_port), TEST_ROW(session_id_compares_byte_for_byte),
      TEST_ROW(transport_compares_without_case_and_other_parameters_do_not_count),
      TEST_ROW(paths_in_a_session_id_are_never_normalised),
      TEST_ROW(path_is_split_into_its_uris_in_order_and_byte_for_byte),
      TEST_ROW(path_at_the_limit_is_read_and_one_past_it_is_refused),
      TEST_ROW(empty_path_and_path_with_one_bad_uri_count_nothing));
