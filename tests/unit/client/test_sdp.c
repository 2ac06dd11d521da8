/* The few lines of SDP that an MSRP session needs. */
#include "client/sdp.h"

#include "tests/unit/harness.h"

#define HEAD "v=0\r\no=alice 2890844526 2890844527 IN IP4 alice-pc.invalid\r\ns= -\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define PATH "msrps://edge.tandem.example:5061/tok;tcp msrps://alice-pc.invalid:49152/a1;tcp"

TEST(message_section_is_found_among_others)
{
    const char *text =
        HEAD "m=audio 49170 RTP/AVP 0\r\na=path:msrp://wrong.invalid:1/x;tcp\r\n"
             "m=message 49152 TCP/TLS/MSRP *\r\na=accept-types:text/plain *\r\na=path:" PATH "\r\na=setup:actpass\r\n"
             "m=message 1 TCP/MSRP *\r\na=path:msrp://late.invalid:1/y;tcp\r\n";
    const char *fault = NULL;
    struct mc_sdp sdp;

    CHECK(mc_sdp_read(sv_of(text), &sdp, &fault));
    CHECK_INT(sdp.port, 49152);
    CHECK(sdp.is_tls);
    CHECK(sv_eq(sdp.path, SV(PATH)));
    CHECK(sv_eq(sdp.accept_types, SV("text/plain *")));
    CHECK_INT(sdp.setup, MC_SETUP_ACTPASS);
}

TEST(what_was_written_is_read_back)
{
    struct buf b = BUF_INIT;
    const char *fault = NULL;
    struct mc_sdp sdp;

    mc_sdp_write(&b, SV("2001:db8::1"), 2855, false, SV("msrp://[2001:db8::1]:2855/s;tcp"), MC_SETUP_PASSIVE);
    CHECK(strstr(b.p, "c=IN IP6 2001:db8::1\r\n") != NULL);
    CHECK(mc_sdp_read(buf_sv(&b), &sdp, &fault));
    CHECK_INT(sdp.port, 2855);
    CHECK(!sdp.is_tls);
    CHECK(sv_eq(sdp.path, SV("msrp://[2001:db8::1]:2855/s;tcp")));
    CHECK_INT(sdp.setup, MC_SETUP_PASSIVE);
    buf_fini(&b);
}

TEST(descriptions_without_a_usable_session_are_refused_with_a_reason)
{
    const char *bad[] = {
        "", HEAD, HEAD "m=audio 9 TCP/MSRP *\r\n",
        HEAD "m=message 0 TCP/MSRP *\r\na=path:msrp://h:1/s;tcp\r\n",
        HEAD "m=message 1 TCP/MSRP *\r\n",
        HEAD "m=message 1 TCP/MSRP *\r\na=path:sip:bob@h\r\n",
        HEAD "m=message 1 TCP/MSRP *\r\na=path:msrp://h:1/s;tcp  msrp://h:2/s;tcp\r\n",
        HEAD "m=message 99999 TCP/MSRP *\r\na=path:msrp://h:1/s;tcp\r\n",
        HEAD "m=message 1 RTP/AVP *\r\na=path:msrp://h:1/s;tcp\r\n",
        "not sdp at all",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        const char *fault = NULL;
        struct mc_sdp sdp;

        CHECK(!mc_sdp_read(sv_of(bad[i]), &sdp, &fault));
        CHECK(fault != NULL);
    }
}

SUITE(sdp_suite, TEST_ROW(message_section_is_found_among_others), TEST_ROW(what_was_written_is_read_back),
      TEST_ROW(descriptions_without_a_usable_session_are_refused_with_a_reason));
