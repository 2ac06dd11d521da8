/* The table of Failure-Report (RFC 4975 s.5.3, RFC 4976 s.6.4.1): each event with each value, cell by cell. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d, *f; /* clients with the tokens U and V; the foreign endpoint once it was dialled */

/* C's SEND to a path; complete: with its end-line. */
static void send_chunk(const char *to, const char *fr, size_t n, bool complete)
{
    char text[400], *body = calloc(1, n);

    CHECK_FATAL(body != NULL);
    snprintf(text, sizeof text,
             "MSRP b001send SEND\nTo-Path: %s\nFrom-Path: %%C\nMessage-ID: m-0001\n%sByte-Range: 1-*/9000\nContent-Type: a/b\n\n", to, fr);
    say(c, text);
    say_bytes(c, body, n);
    if (complete)
        say(c, "\n-------b001send$\n");
    free(body);
}

static void to_f(const char *fr)
{
    struct heard h;

    send_chunk("%U %F", fr, 5, true);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL && hear(f, &h));
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
}

static void is_accepted(const char *fr)
{
    to_f(fr);
}

static void is_rejected(const char *fr)
{
    send_chunk("%N %F", fr, 5, true);
}

static void cannot_be_connected(const char *fr)
{
    close(r.listen_fd); /* its port is free now: the connection is refused */
    r.listen_fd = -1;
    send_chunk("%U %F", fr, 5, true);
    rig_wait(&r, 10);
}

static void is_lost_while_written(const char *fr)
{
    send_chunk("%U %F", fr, 5000, false);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    CHECK(hear_rest(f).n > 5000);
    peer_reset(f);
    say(c, "\n-------b001send$\n");
}

static void is_lost_before_the_response(const char *fr)
{
    to_f(fr);
    peer_close(f);
}

static void f_answers(const char *fr, const char *status)
{
    char text[100];

    to_f(fr);
    snprintf(text, sizeof text, "MSRP %%1 %s\nTo-Path: %%U\nFrom-Path: %%F\n-------%%1$\n", status);
    say(f, text);
}

static void answers_200(const char *fr)
{
    f_answers(fr, "200 OK");
}

static void answers_another_code(const char *fr)
{
    f_answers(fr, "415 Not that");
}

static void is_silent(const char *fr)
{
    to_f(fr);
    rig_pass(&r, 30500);
}

/* V's lifetime of 10 seconds ends while a chunk for its owner is on its way. */
static void token_expires(const char *fr)
{
    struct heard h;

    send_chunk("%U %V %D", fr, 5000, false);
    rig_pass(&r, 11000);
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK_INT(h.flag, '#'); /* its owner is not left in the middle of it */
}

/* Everything C is told, as "200 R408": responses and REPORTs in their order. */
static void hear_all(char *out, size_t size)
{
    struct heard h;
    size_t n = 0;

    out[0] = '\0';
    rig_pass(&r, 100);
    peer_read(c, 65536);
    while (peer_frame(c, &h)) {
        bool report = sv_eq(sv_from(h.start, h.start.n - 6), SV("REPORT"));
        struct sv code = report ? sv_from(heard_header(&h, "Status"), 4) : sv_from(h.start, 5 + h.tid.n + 1);

        n += (size_t)snprintf(out + n, size - n, "%s%s" SV_FMT, n ? " " : "", report ? "R" : "", SV_ARG(sv_upto(code, 3)));
    }
}

/* M-FR-01 and M-FR-02: the 9 rows by 3 columns of section 9; "absent" is "yes". */
TEST(every_cell_of_the_failure_report_table)
{
    static const char *const columns[] = { "yes", "absent", "partial", "no" };
    static const char *const headers[] = { "Failure-Report: yes\n", "", "Failure-Report: partial\n", "Failure-Report: no\n" };
    static const struct {
        const char *name;
        void (*event)(const char *fr);
        const char *yes, *partial, *no;
    } rows[] = {
        { "chunk accepted and complete", is_accepted, "200", "", "" },
        { "rejected by E from headers/policy", is_rejected, "481", "481", "" },
        { "accepted, then next hop cannot be connected", cannot_be_connected, "200 R408", "R408", "" },
        { "next hop connection lost, chunk not fully written", is_lost_while_written, "R408 200", "R408", "" },
        { "next hop connection lost, chunk written, no response yet", is_lost_before_the_response, "200 R408", "", "" },
        { "next hop answers 200", answers_200, "200", "", "" },
        { "next hop answers non-200 code", answers_another_code, "200 R415", "R415", "" },
        { "next hop silent 30 s after last octet", is_silent, "200 R408", "", "" },
        { "U expired while queued", token_expires, "R481 200", "R481", "" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows) * TD_ARRAY_LEN(columns); i++) {
        size_t row = i / TD_ARRAY_LEN(columns), column = i % TD_ARRAY_LEN(columns);
        const char *expected = column < 2 ? rows[row].yes : column == 2 ? rows[row].partial : rows[row].no;
        char told[100];

        rig_start(&r, "msrp.auth_min_expires=5");
        snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
        snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
        c = rig_peer(&r);
        say_auth(c, 'C', 'U');
        d = rig_peer(&r);
        say_auth_for(d, 'D', 'V', 10);
        rig_listen(&r, 'F', 0);
        rows[row].event(headers[column]);
        hear_all(told, sizeof told);
        if (strcmp(told, expected) != 0)
            fprintf(stderr, "cell \"%s\" / %s: expected \"%s\", told \"%s\"\n", rows[row].name, columns[column], expected, told);
        CHECK_STR(told, expected);
        rig_pass(&r, 61000); /* and that was all */
        hear_all(told, sizeof told);
        if (rows[row].event != is_accepted && rows[row].event != token_expires)
            CHECK_STR(told, "");
        rig_stop(&r);
    }
}

SUITE(table_suite, TEST_ROW(every_cell_of_the_failure_report_table));
