/* What workers tell each other gets through, with a full ring between them and no memory left. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

/* The linker gives us every malloc() of the relay (tests/unit/msrp/local.mk). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
static bool no_memory, no_text, no_struct; /* for what is new; for texts that grow; for what is new and cleared */

void *__wrap_calloc(size_t n, size_t size)
{
    return no_struct ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t n)
{
    return no_memory ? NULL : __real_malloc(n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return no_text ? NULL : __real_realloc(p, n);
}

static struct rig r;

static struct conn *conn_of(const struct peer *p, char token)
{
    struct sv id = sv_of(r.var[(int)token]);
    struct session *s;
    struct conn *c;

    id = sv_from(id, sv_find(id, '5') + 5); /* behind the port */
    s = session_find(r.shared->sessions, sv_upto(id, SESSION_ID_LEN));
    CHECK_FATAL(s != NULL);
    c = conn_deref(p->worker, s->owner);
    session_unref(&s);
    CHECK_FATAL(c != NULL);
    return c;
}

/* One worker goes on without the other: what it has for that one fills the ring, and then waits. */
static void turn_alone(unsigned worker)
{
    for (int i = 0; i < 50; i++)
        loop_turn(r.workers[worker].loop, 0);
}

static void send_alone(struct peer *p, const char *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(p->fd, bytes + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        loop_turn(p->worker->loop, 0);
        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    turn_alone(p->worker->index);
}

/* What nobody wants, until the ring is full and more of it waits. */
static void fill_ring(unsigned from, unsigned to)
{
    char frame[1000];

    memset(frame, 'x', sizeof frame);
    for (int i = 0; i < 400; i++)
        cross_deliver(r.relays[from], (struct conn_ref){ .worker = to, .id = UINT64_MAX }, sv_make(frame, sizeof frame));
}

/* M-CHK-14, M-FAIR-04: the chunk of a sender that has gone ends with `#`. Else what else is for that next hop would
 * come as its body. */
TEST(end_of_a_chunk_reaches_the_other_worker_with_a_full_ring_and_no_memory)
{
    char *body = calloc(1, 2 << 20);
    struct peer *c, *d;
    struct heard h;
    int64_t paused;

    CHECK_FATAL(body != NULL);
    rig_start(&r, NULL);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000000\nContent-Type: a/b\n\n");
    say_bytes(c, body, 20000);
    paused = rig_stat(&r, STAT_msrp_paused);
    send_alone(c, body, 2 << 20);
    CHECK_FATAL(rig_stat(&r, STAT_msrp_paused) > paused);
    fill_ring(0, 1);
    no_memory = true;
    conn_close(conn_of(c, 'U'), CLOSE_RESET);
    turn_alone(c->worker->index);
    no_memory = false;
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 0);
    peer_close(c);
    CHECK_FATAL(hear(d, &h));
    CHECK(h.flag == '#' && h.body.n > 20000);
    rig_turn(&r);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    CHECK_INT(r.relays[1]->streams.n, 0);
    rig_stop(&r);
    free(body);
}

/* M-FLOW-01: a source that was told to wait is told that it may go on. */
TEST(word_that_a_source_may_go_on_reaches_it_with_a_full_ring_and_no_memory)
{
    char *octets = calloc(1, 65536);
    struct peer *c, *d;
    struct conn *from, *to;
    struct heard h;

    CHECK_FATAL(octets != NULL);
    rig_start(&r, "msrp.buffer=64k");
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    from = conn_of(c, 'U');
    to = conn_of(d, 'V');
    do { /* until the system takes no more, and then as much as may wait */
        conn_write(to, octets, 65536);
        conn_flush(to);
    } while (conn_queued(to) == 0);
    conn_write(to, octets, 65536);
    say(c, "MSRP c000001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------c000001$\n");
    rig_turn(&r);
    CHECK_FATAL(from->pauses & CONN_PAUSE_REMOTE);
    fill_ring(1, 0);
    no_memory = true;
    for (int i = 0; i < 1000 && conn_queued(to); i++) {
        peer_read(d, SIZE_MAX);
        d->got.n = 0;
        turn_alone(1);
    }
    CHECK_INT(conn_queued(to), 0);
    no_memory = false;
    CHECK(from->pauses & CONN_PAUSE_REMOTE); /* it has not heard of it yet */
    rig_turn(&r);
    CHECK_INT(from->pauses, 0);
    hear(c, &h);
    say(c, "MSRP c000002 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\n-------c000002$\n");
    EXPECT(c, "MSRP c000002 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c000002$\n");
    rig_stop(&r);
    free(octets);
}

/* M-FR-01: a chunk whose end could not be told to its next hop is not begun: its sender gets 200, and a REPORT. */
TEST(chunk_to_another_worker_without_memory_for_its_end_is_a_408_report)
{
    char body[20000];
    struct peer *c, *d;

    memset(body, 'x', sizeof body);
    rig_start(&r, NULL);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    say(c, "MSRP c000001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------c000001$\n"); /* makes the route */
    EXPECT(c, "MSRP c000001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c000001$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\nByte-Range: 1-*/20000\nContent-Type: a/b\n\n");
    no_memory = true;
    send_alone(c, body, sizeof body);
    no_memory = false;
    say(c, "\n-------b001send$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0002\nByte-Range: 1-0/20000\nStatus: 000 408 Downstream "
              "transaction timed out\n-------%2$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FR-01: a failure of which the sender cannot be told for want of memory ends his connection, so that he knows, and is counted. */
TEST(sender_for_whom_there_is_no_memory_for_a_report_is_closed)
{
    char text[2 * RIG_VAR_MAX];
    struct peer *c, *x;

    rig_start(&r, NULL);
    c = rig_client(&r, 'C', 'U');
    peer_close(c); /* its token may be resumed: what comes for it is 200 and a REPORT */
    rig_turn(&r);
    x = rig_peer(&r);
    say(x, "MSRP k001send SEND\nTo-Path: %U\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(x, "MSRP %1 REPORT\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-0/0\n"
              "Status: 000 408 Downstream transaction timed out\n-------%1$\n");
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 0);
    snprintf(text, sizeof text,
             "MSRP k002send SEND\r\nTo-Path: %s\r\nFrom-Path: msrp://x.invalid:9/x;tcp\r\nMessage-ID: m-0002\r\n"
             "Failure-Report: partial\r\n-------k002send$\r\n", r.var['U']);
    no_text = true;
    send_alone(x, text, strlen(text));
    no_text = false;
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 1);
    EXPECT_END(x);
    rig_stop(&r);
}

/* A template's text, for send_alone(). */
static void say_without(bool *memory, struct peer *p, const char *text)
{
    struct buf b = BUF_INIT;

    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(&b, "\r\n");
        else if (*text == '%')
            buf_puts(&b, r.var[(int)*++text]);
        else
            buf_putc(&b, *text);
    }
    *memory = true;
    send_alone(p, b.p, b.n);
    *memory = false;
    buf_fini(&b);
}

/* M-FWD-20, M-FWD-22, M-AUTH-16, M-FR-02: who cannot be answered for want of memory is not left waiting: his connection ends, and that is counted. */
TEST(sender_for_whom_there_is_no_memory_for_an_answer_is_closed)
{
    static const char nobody[] = "MSRP k001send SEND\nTo-Path: %N %C\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------k001send$\n";
    static const char alive[] = "MSRP k001send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------k001send$\n";
    static const char auth[] = "MSRP k001auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------k001auth$\n";
    static const struct {
        const char *request;
        bool *memory;
    } cases[] = { { nobody, &no_text }, { alive, &no_text }, { auth, &no_text }, { auth, &no_struct } };

    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++) {
        struct peer *c;

        rig_start(&r, NULL);
        c = rig_client(&r, 'C', 'U');
        say_without(cases[i].memory, c, cases[i].request);
        CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 1);
        EXPECT_END(c);
        rig_stop(&r);
    }
}

/* M-RSP-05: the same for the answer of the far end, which is on another worker; who has said it is heard on. */
TEST(answer_of_the_far_end_for_which_there_is_no_memory_ends_the_connection_that_waits_for_it)
{
    struct peer *c, *d;

    rig_start(&r, NULL);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    say(c, "MSRP k001nick NICKNAME\nTo-Path: %U %V %D\nFrom-Path: %C\nUse-Nickname: \"al\"\n-------k001nick$\n");
    EXPECT(d, "MSRP %1 NICKNAME\nTo-Path: %D\nFrom-Path: %V %U %C\nUse-Nickname: \"al\"\n-------%1$\n");
    say_without(&no_text, d, "MSRP %1 200 OK\nTo-Path: %V %U %C\nFrom-Path: %D\n-------%1$\n");
    EXPECT_END(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 1);
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FR-01: nor for a REPORT that finds neither room in the ring nor memory to wait in: the sender's connection ends when there is room again. */
TEST(report_without_room_and_memory_ends_the_connection_of_the_sender)
{
    struct peer *c, *d;

    rig_start(&r, NULL);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    say(c, "MSRP k001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------k001send$\n");
    EXPECT(c, "MSRP k001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    fill_ring(1, 0);
    say_without(&no_memory, d, "MSRP %1 415 No\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT_END(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 401); /* those that nobody wanted, too */
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

static unsigned n_rows, row_status;

static void on_session(struct worker *w, const struct session *s)
{
}

static void on_session_end(struct worker *w, const struct session *s, enum session_state how)
{
}

static void on_message(struct worker *w, const struct relay_message *m)
{
    n_rows++;
    row_status = m->status;
}

static const struct relay_observer observer = { on_session, on_session, on_session, on_session_end, on_message };

/* M-FWD-16: other connections end all the time, and then a next hop on another worker is looked for again: what it says of a chunk that it had before
 * is true of the message. One message that has failed is one row in the accounts, too. */
TEST(message_refused_before_its_way_was_found_again_is_not_passed_on)
{
    char text[400];
    struct peer *c, *f, *x;

    for (unsigned status = 413; status <= 500; status += 87) {
        rig_start(&r, NULL);
        r.shared->observer = &observer;
        n_rows = 0;
        c = rig_client(&r, 'C', 'U');
        f = rig_peer(&r);
        x = rig_peer(&r);
        snprintf(r.var['F'], RIG_VAR_MAX, "msrp://f.invalid:9/f;tcp");
        say(f, "MSRP f001send SEND\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\n-------f001send$\n");
        EXPECT(f, "MSRP f001send 200 OK\nTo-Path: %F\nFrom-Path: %U\n-------f001send$\n");
        EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %F\nMessage-ID: m-0001\n-------%1$\n");
        say(x, "MSRP x001send SEND\nTo-Path: %U %C\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0002\n-------x001send$\n");
        EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U msrp://x.invalid:9/x;tcp\nMessage-ID: m-0002\n-------%2$\n");
        CHECK_FATAL(f->worker != c->worker);
        for (int i = 0; i < 2; i++) {
            snprintf(text, sizeof text, "MSRP c00%dsend SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: m-0003\nByte-Range: %d-*/30\nContent-Type: a/b\n\n"
                     "0123456789\n-------c00%dsend+\n", i, 1 + 10 * i, i);
            say(c, text);
            snprintf(text, sizeof text, "MSRP c00%dsend 200 OK\nTo-Path: %%C\nFrom-Path: %%U\n-------c00%dsend$\n", i, i);
            EXPECT(c, text);
            snprintf(text, sizeof text, "MSRP %%%d SEND\nTo-Path: %%F\nFrom-Path: %%U %%C\nMessage-ID: m-0003\nByte-Range: %d-*/30\nContent-Type: a/b\n\n"
                     "0123456789\n-------%%%d+\n", 3 + i, 1 + 10 * i, 3 + i);
            EXPECT(f, text);
            if (i == 0) {
                peer_close(x);
                rig_turn(&r);
            }
        }
        for (int i = 0; i < (status == 413 ? 1 : 2); i++) {
            struct heard h;

            snprintf(text, sizeof text, "MSRP %%%d %u\nTo-Path: %%U\nFrom-Path: %%F\n-------%%%d$\n", 3 + i, status, 3 + i);
            say(f, text);
            CHECK(hear(c, &h) && sv_starts(heard_header(&h, "Status"), status == 413 ? SV("000 413") : SV("000 500")));
        }
        CHECK_INT(n_rows, 1);
        CHECK_INT(row_status, status);
        say(c, "MSRP c003send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0003\nByte-Range: 21-30/30\nContent-Type: a/b\n\n0123456789\n-------c003send$\n");
        if (status == 413) {
            EXPECT(c, "MSRP c003send 413 Stop\nTo-Path: %C\nFrom-Path: %U\n-------c003send$\n");
            EXPECT_NOTHING(f);
        }
        CHECK_INT(n_rows, 1);
        rig_stop(&r);
    }
}

SUITE(cross_suite, TEST_ROW(report_without_room_and_memory_ends_the_connection_of_the_sender),
      TEST_ROW(message_refused_before_its_way_was_found_again_is_not_passed_on),
      TEST_ROW(sender_for_whom_there_is_no_memory_for_an_answer_is_closed),
      TEST_ROW(answer_of_the_far_end_for_which_there_is_no_memory_ends_the_connection_that_waits_for_it),
      TEST_ROW(sender_for_whom_there_is_no_memory_for_a_report_is_closed), TEST_ROW(end_of_a_chunk_reaches_the_other_worker_with_a_full_ring_and_no_memory),
      TEST_ROW(word_that_a_source_may_go_on_reaches_it_with_a_full_ring_and_no_memory),
      TEST_ROW(chunk_to_another_worker_without_memory_for_its_end_is_a_408_report));
