/* What the database is told of every way in which a session or a connection ends (tandemd(8), ACCOUNTS). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c;

/* ---- sessions: what was told, a letter each, and the row as it is then ---- */

static struct {
    char told[32];
    uint64_t conn_id, resumed, bytes_in;
    int64_t lives_s; /* from now on */
    enum session_state how;
} row;

static void note(char what, const struct session *s)
{
    size_t n = strlen(row.told);

    CHECK_FATAL(n + 1 < sizeof row.told);
    row.told[n] = what;
    row.told[n + 1] = '\0';
    row.conn_id = session_conn_id(s);
    row.resumed = s->resumed;
    row.bytes_in = s->bytes_in;
    row.lives_s = (int64_t)s->expires_at - (int64_t)time(NULL);
}

static void on_opened(struct worker *w, const struct session *s)
{
    note('o', s);
}

static void on_used(struct worker *w, const struct session *s)
{
    note('u', s);
}

static void on_changed(struct worker *w, const struct session *s)
{
    note('c', s);
}

static void on_ended(struct worker *w, const struct session *s, enum session_state how)
{
    note('e', s);
    row.how = how;
}

static void on_message(struct worker *w, const struct relay_message *m)
{
}

static const struct relay_observer observer = { on_opened, on_used, on_changed, on_ended, on_message };

static struct sv id_of(char token)
{
    static struct msrp_uri u;

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[(int)token])));
    return u.session;
}

static void expires(void)
{
    rig_pass(&r, 101000);
}

static void peer_leaves(void)
{
    peer_close(c);
}

static void peer_leaves_for_good(void)
{
    peer_close(c);
    rig_pass(&r, 61000);
}

static void peer_leaves_shortly_before_its_end(void)
{
    rig_pass(&r, 70000);
    peer_close(c);
    CHECK(row.lives_s <= 30);
    rig_pass(&r, 32000);
}

static void framing_breaks(void)
{
    say(c, "no MSRP at all\n");
}

static void is_kicked(void)
{
    CHECK(relay_kick(r.shared, id_of('U')));
    rig_turn(&r);
}

static void is_kicked_while_away(void)
{
    peer_close(c);
    is_kicked();
}

static void is_kicked_with_its_connection(void)
{
    conn_close(list_item(r.workers[0].conns.next, struct conn, all_node), CLOSE_KICKED);
}

static void is_renewed(void)
{
    struct heard h;

    say(c, "MSRP a002auth AUTH\nTo-Path: %U\nFrom-Path: %C\nExpires: 300\n-------a002auth$\n");
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 200 OK")));
}

static void is_resumed(void)
{
    peer_close(c);
    rig_pass(&r, 30000);
    if (RIG_WORKERS == 2)
        r.n_connected = 1; /* on the other one */
    c = rig_peer(&r);
    is_renewed();
}

static void is_resumed_with_the_old_connection_there(void)
{
    struct peer *old = c;

    if (RIG_WORKERS == 2)
        r.n_connected = 1;
    c = rig_peer(&r);
    is_renewed();
    EXPECT_END(old);
}

static void server_stops(void)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        conn_close_all(&r.workers[i], CLOSE_STOP);
}

/* M-TOK-05, M-TOK-09, M-TOK-12, M-AUTH-23, M-CON-10, M-CON-17: opened, used (its counters), changed, ended. Each
 * session lives 100 s and has had a frame of 5 octets, of which the database knows only by what is told at the end. */
TEST(row_of_a_session_is_right_however_it_ends)
{
    static const struct {
        const char *name;
        void (*happens)(void);
        const char *told;
        bool has_conn; /* the row of one that has ended keeps what it had */
        unsigned resumed;
        int64_t lives_s; /* about; -1: it is over */
        enum session_state how;
    } ways[] = {
        { "expires", expires, "oue", false, 0, -1, SESSION_EXPIRED },
        { "its connection is closed by the peer", peer_leaves, "oc", false, 0, 60, SESSION_ACTIVE },
        { "... and nobody comes", peer_leaves_for_good, "oce", false, 0, -1, SESSION_CLOSED },
        { "... with less left than it would wait", peer_leaves_shortly_before_its_end, "ouce", false, 0, -1, SESSION_CLOSED },
        { "its connection is closed by us", framing_breaks, "oc", false, 0, 60, SESSION_ACTIVE },
        { "kicked", is_kicked, "oue", false, 0, 100, SESSION_CLOSED },
        { "kicked while away", is_kicked_while_away, "oce", false, 0, 60, SESSION_CLOSED },
        { "kicked with its connection", is_kicked_with_its_connection, "oue", false, 0, 100, SESSION_CLOSED },
        { "renewed", is_renewed, "oc", true, 0, 300, SESSION_ACTIVE },
        { "resumed", is_resumed, "oco", true, 1, 300, SESSION_ACTIVE },
        { "resumed while it is there", is_resumed_with_the_old_connection_there, "oo", true, 1, 300, SESSION_ACTIVE },
        { "the server stops", server_stops, "oc", false, 0, 100, SESSION_ACTIVE },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        rig_start(&r, NULL);
        r.shared->observer = &observer;
        memset(&row, 0, sizeof row);
        snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
        c = rig_peer(&r);
        say_auth_for(c, 'C', 'U', 100);
        say(c, "MSRP b001send SEND\nTo-Path: %U msrp://127.0.0.1:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: a/b\n\nhello\n"
               "-------b001send$\n");
        {
            struct heard h;

            CHECK_FATAL(hear(c, &h) && hear(c, &h)); /* 200, and a REPORT */
        }
        ways[i].happens();
        if (strcmp(row.told, ways[i].told) != 0 || (row.conn_id != 0) != ways[i].has_conn || row.resumed != ways[i].resumed || row.how != ways[i].how ||
            row.bytes_in != 5 || row.lives_s < ways[i].lives_s - 5 || row.lives_s > TD_MAX(ways[i].lives_s, (int64_t)0)) {
            fprintf(stderr, "%s: told %s connection %llu resumed %llu bytes %llu lives %lld how %d\n", ways[i].name, row.told,
                    (unsigned long long)row.conn_id, (unsigned long long)row.resumed, (unsigned long long)row.bytes_in, (long long)row.lives_s, (int)row.how);
            CHECK(false);
        }
        rig_stop(&r);
    }
}

/* ---- connections ---- */

static struct {
    unsigned opened, closed;
    enum close_reason reason;
    uint64_t in, out;
    char protocol[8];
} end;
static uint64_t queued; /* for it */

static void on_conn_open(struct worker *w, struct conn *conn)
{
    end.opened++;
    sv_copy(sv_of(conn->proto->name), end.protocol, sizeof end.protocol);
}

static void on_conn_closed(struct worker *w, struct conn *conn)
{
    if (end.closed++)
        return; /* the first one counts */
    end.reason = (enum close_reason)conn->close_reason;
    end.in = conn->bytes_in;
    end.out = conn->sent_pos;
}

static void resets(void)
{
    peer_reset(c);
}

static void is_idle(void)
{
    struct session *s = session_find(r.shared->sessions, id_of('U'));

    CHECK_FATAL(s != NULL);
    session_end(s, SESSION_EXPIRED);
    session_unref(&s);
    rig_pass(&r, 21000);
}

static void asks_for_another_relay(void)
{
    say(c, "MSRP k001send SEND\nTo-Path: msrp://other.example:2855/zz;tcp\nFrom-Path: %C\nMessage-ID: m-0001\n-------k001send$\n");
}

static void guesses(void)
{
    r.verdict = AUTHN_CHALLENGE;
    for (int i = 0; i < 5; i++)
        say(c, "MSRP a003auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\nAuthorization: Digest x\n-------a003auth$\n");
}

static void asks_nonsense(void)
{
    say(c, "MSRP k00"); /* an unfinished head */
    rig_pass(&r, 31000);
}

/* A peer that reads nothing. What did not go out is not counted. */
static void stops_reading(void)
{
    struct conn *to = list_item(r.workers[0].conns.next, struct conn, all_node);
    char *octets = calloc(1, 65536);

    CHECK_FATAL(octets != NULL);
    do {
        conn_write(to, octets, 65536);
        conn_flush(to);
        rig_wait(&r, 1); /* the system may have been busy, and take more now */
    } while (conn_queued(to) == 0);
    queued = to->bytes_out;
    free(octets);
    rig_pass(&r, 75000);
}

static void asks_too_much(void)
{
    struct conn *to = list_item(r.workers[0].conns.next, struct conn, all_node);
    char *octets = calloc(1, to->tx_max + 65536);

    CHECK_FATAL(octets != NULL);
    conn_write(to, octets, to->tx_max + 65536);
    queued = to->bytes_out;
    conn_write(to, octets, 1);
    rig_turn(&r);
    free(octets);
}

/* M-CON-03, M-CON-17, M-FWD-02, M-FRM-20, M-AUTH-17, M-TOK-12: one row each, with the reason of its end, the octets of
 * both directions, and of those to the peer no more than went out. */
TEST(row_of_a_connection_is_right_however_it_ends)
{
    static const struct {
        void (*happens)(void);
        enum close_reason reason;
        bool drained; /* the peer has all that was for it */
    } ways[] = {
        { peer_leaves, CLOSE_PEER, true },
        { resets, CLOSE_RESET, true },
        { server_stops, CLOSE_STOP, true },
        { is_kicked, CLOSE_KICKED, true },
        { is_resumed_with_the_old_connection_there, CLOSE_MOVED, true },
        { framing_breaks, CLOSE_FRAMING, true },
        { asks_for_another_relay, CLOSE_NOT_FOR_US, true },
        { is_idle, CLOSE_IDLE, true },
        { guesses, CLOSE_AUTH_FAILURES, true },
        { asks_nonsense, CLOSE_HEADER_TIMEOUT, true },
        { stops_reading, CLOSE_WRITE_STALL, false },
        { asks_too_much, CLOSE_QUEUE_FULL, false },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        struct heard h;
        uint64_t out, said;
        struct peer *first;

        rig_start(&r, "msrp.idle_timeout=10");
        memset(&end, 0, sizeof end);
        for (unsigned w = 0; w < RIG_WORKERS; w++) {
            r.workers[w].on_conn_open = on_conn_open;
            r.workers[w].on_conn_closed = on_conn_closed;
        }
        snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
        c = first = rig_peer(&r);
        say_auth(c, 'C', 'U');
        said = list_item(r.workers[0].conns.next, struct conn, all_node)->bytes_in;
        out = list_item(r.workers[0].conns.next, struct conn, all_node)->sent_pos;
        CHECK(said > 0 && out > 0);
        ways[i].happens();
        if (ways[i].drained && first->fd >= 0)
            while (hear_more(first, &h))
                out += h.all.n;
        rig_pass(&r, 3000); /* it lingers a little for what it was told */
        CHECK_INT(end.closed, 1);
        CHECK(end.opened >= 1 && end.in >= said && end.in < said + 2000);
        CHECK_STR(end.protocol, "msrp");
        if (end.reason != ways[i].reason) {
            fprintf(stderr, "%zu: closed: %s\n", i, close_reason_text(end.reason));
            CHECK(false);
        }
        CHECK(ways[i].drained ? end.out == out : end.out >= out && end.out < queued);
        rig_stop(&r);
    }
}

SUITE(ends_suite, TEST_ROW(row_of_a_session_is_right_however_it_ends), TEST_ROW(row_of_a_connection_is_right_however_it_ends));
