/* The control socket: the methods line by line, then the real socket. */
#include "tests/unit/harness.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/err.h"
#include "ctl/ask.h"
#include "ctl/rpc.h"
#include "tests/unit/ctl/fake.h"

/* The answer to one line, parsed; NULL: none. It must be one line. */
static json_t *ask_backend(const struct rpc_backend *back, struct sv line)
{
    const struct rpc_options o = { .version = "tandem 0.1.0", .backend = back };
    struct buf out = BUF_INIT;
    json_t *answer = NULL;

    rpc_answer(&o, 0, line, &out);
    CHECK(!buf_failed(&out));
    if (out.n) {
        CHECK_INT(sv_find(buf_sv(&out), '\n'), out.n - 1);
        answer = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
        CHECK_FATAL(answer != NULL);
        CHECK_STR(json_string_value(json_object_get(answer, "jsonrpc")), "2.0");
        CHECK(!json_object_get(answer, "result") != !json_object_get(answer, "error"));
    }
    buf_fini(&out);
    return answer;
}

static json_t *ask(struct fake *f, const char *line)
{
    const struct rpc_backend back = backend_of(f);

    return ask_backend(&back, sv_of(line));
}

/* The line's answer has this result (compact, in the order it was written). */
static void expect_result(struct fake *f, const char *line, const char *result)
{
    json_t *answer = ask(f, line);
    char *text = json_dumps(json_object_get(answer, "result"), JSON_COMPACT | JSON_ENCODE_ANY);

    CHECK_FATAL(text != NULL);
    CHECK_STR(text, result);
    free(text);
    json_decref(answer);
}

static void expect_error(struct fake *f, const char *line, int code)
{
    json_t *answer = ask(f, line), *error = json_object_get(answer, "error");

    CHECK_INT(json_integer_value(json_object_get(error, "code")), code);
    CHECK(json_string_length(json_object_get(error, "message")) > 0);
    json_decref(answer);
}

#define REQUEST(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

TEST(an_answer_carries_the_id_of_its_request)
{
    struct fake f = { 0 };
    json_t *answer = ask(&f, "{\"jsonrpc\":\"2.0\",\"method\":\"core.version\",\"id\":\"x\\n1\"}");

    CHECK_STR(json_string_value(json_object_get(answer, "id")), "x\n1");
    CHECK_STR(json_string_value(json_object_get(answer, "result")), "tandem 0.1.0");
    json_decref(answer);
    answer = ask(&f, "{\"jsonrpc\":\"2.0\",\"method\":\"core.version\",\"id\":17}");
    CHECK_INT(json_integer_value(json_object_get(answer, "id")), 17);
    json_decref(answer);
}

TEST(a_notification_is_obeyed_and_not_answered)
{
    struct fake f = { 0 };
    json_t *answer = ask(&f, "{\"jsonrpc\":\"2.0\",\"method\":\"msrp.kick\",\"params\":[\"abc0\"]}");

    CHECK(answer == NULL);
    CHECK_STR(f.kicked, "abc0");
}

TEST(broken_requests_get_the_errors_of_json_rpc)
{
    struct fake f = { 0 };

    expect_error(&f, "{", -32700);
    expect_error(&f, "nonsense", -32700);
    expect_error(&f, "{\"a\":\"\xff\"}", -32700);
    expect_error(&f, "[]", -32600);
    expect_error(&f, "{}", -32600);
    expect_error(&f, "{\"jsonrpc\":\"1.0\",\"method\":\"core.version\",\"id\":1}", -32600);
    expect_error(&f, "{\"jsonrpc\":\"2.0\",\"method\":5,\"id\":1}", -32600);
    expect_error(&f, "{\"jsonrpc\":\"2.0\",\"method\":\"core.version\",\"id\":[]}", -32600);
    expect_error(&f, REQUEST("core.version", "5"), -32602);
    expect_error(&f, REQUEST("no.such\\u0007", "[]"), -32601);
    expect_error(&f, REQUEST("msrp.kick", "{}"), -32602);
    expect_error(&f, REQUEST("msrp.kick", "[5]"), -32602);
    expect_error(&f, REQUEST("msrp.sessions", "{\"limit\":-1}"), -32602);
    expect_error(&f, REQUEST("core.ban", "[\"steal\"]"), -32602);
    expect_error(&f, REQUEST("core.ban", "[\"add\",\"example.org\"]"), -32602);
}

TEST(cmaplist_has_kamailios_names) /* spec/msrp-module.md s.6 */
{
    struct fake f = { .n_sessions = 2, .map_size = 256 };
    json_t *answer = ask(&f, REQUEST("msrp.cmaplist", "{}")), *result = json_object_get(answer, "result");
    json_t *item = json_object_get(json_array_get(json_object_get(result, "CONLIST"), 1), "CONDATA");

    CHECK_INT(json_integer_value(json_object_get(result, "MAP_SIZE")), 256);
    CHECK_INT(json_integer_value(json_object_get(result, "CONCOUNT")), 2);
    CHECK_INT(json_array_size(json_object_get(result, "CONLIST")), 2);
    CHECK_INT(json_object_size(item), 8);
    CHECK(json_integer_value(json_object_get(item, "CITEMID")) >= 0);
    CHECK_STR(json_string_value(json_object_get(item, "SESSIONID")), "abc1");
    CHECK_STR(json_string_value(json_object_get(item, "PEER")), "msrps://pc.example.org:9/s1;tcp");
    CHECK_STR(json_string_value(json_object_get(item, "ADDR")), "msrps://192.0.2.1:9");
    CHECK_STR(json_string_value(json_object_get(item, "SOCK")), "tls:192.0.2.9:5060");
    CHECK_STR(json_string_value(json_object_get(item, "EXPIRES")), "2001-09-09 02:46:40");
    CHECK_INT(json_integer_value(json_object_get(item, "CONID")), 7);
    CHECK_INT(json_integer_value(json_object_get(item, "FLAGS")), 0);
    json_decref(answer);
    f.n_sessions = 0;
    expect_result(&f, REQUEST("msrp.cmaplist", "[]"), "{\"MAP_SIZE\":256,\"CONLIST\":[],\"CONCOUNT\":0}");
    f.map_size = 0;
    expect_error(&f, REQUEST("msrp.cmaplist", "[]"), 500);
}

TEST(sessions_have_the_names_of_their_table)
{
    struct fake f = { .n_sessions = 3 };

    expect_result(&f, REQUEST("msrp.sessions", "{\"limit\":1}"),
                  "[{\"session_id\":\"abc0\",\"username\":\"alice\",\"domain\":\"example.org\",\"conn_id\":7,"
                  "\"peer_uri\":\"msrps://pc.example.org:9/s1;tcp\",\"srcaddr\":\"msrps://192.0.2.1:9\","
                  "\"srcsock\":\"tls:192.0.2.9:5060\",\"use_path\":\"msrps://relay.example.org:5060/abc;tcp\","
                  "\"created\":\"2001-09-09 01:46:40\",\"expires\":\"2001-09-09 02:46:40\",\"last_activity\":\"\","
                  "\"state\":\"active\",\"frames_in\":3,\"frames_out\":0,\"bytes_in\":5000000000,\"bytes_out\":0}]");
}

TEST(connections_with_bytes_that_are_not_text_are_still_json)
{
    struct fake f = { 0 };

    expect_result(&f, REQUEST("core.connections", "[]"),
                  "[{\"conn_id\":12,\"protocol\":\"msrp\",\"transport\":\"tls\",\"peer\":\"192.0.2.1:9\","
                  "\"local\":\"192.0.2.9:5060\",\"tls_version\":\"TLS1.3\",\"tls_cipher\":\"AES-256-GCM\","
                  "\"peer_name\":\"bad \\\\xff name\",\"opened\":\"2001-09-09 01:46:40\",\"bytes_in\":0,\"bytes_out\":0}]");
}

TEST(registrations_are_grouped_by_address_of_record)
{
    struct fake f = { 0 };
    json_t *answer = ask(&f, REQUEST("ul.dump", "[]"));
    json_t *domain = json_object_get(json_array_get(json_object_get(json_object_get(answer, "result"), "Domains"), 0), "Domain");
    json_t *aors = json_object_get(domain, "AoRs"), *alice = json_object_get(json_array_get(aors, 0), "Info");
    json_t *contact = json_object_get(json_array_get(json_object_get(alice, "Contacts"), 1), "Contact");

    CHECK_INT(json_array_size(aors), 2);
    CHECK_STR(json_string_value(json_object_get(alice, "AoR")), "alice@example.org");
    CHECK_INT(json_array_size(json_object_get(alice, "Contacts")), 2);
    CHECK_STR(json_string_value(json_object_get(contact, "Address")), "sip:a@192.0.2.1");
    CHECK_STR(json_string_value(json_object_get(contact, "Received")), "[not set]");
    CHECK_STR(json_string_value(json_object_get(contact, "Expires")), "permanent");
    contact = json_object_get(json_array_get(json_object_get(alice, "Contacts"), 0), "Contact");
    CHECK(json_is_integer(json_object_get(contact, "Expires")));
    CHECK_INT(json_integer_value(json_object_get(contact, "Expires")), 0);
    CHECK_INT(json_integer_value(json_object_get(json_object_get(domain, "Stats"), "Records")), 3);
    json_decref(answer);
    answer = ask(&f, REQUEST("ul.dump", "{\"limit\":2}"));
    CHECK(json_object_get(answer, "result") != NULL);
    json_decref(answer);
}

TEST(counters_come_by_name)
{
    struct fake f = { 0 };
    json_t *answer = ask(&f, REQUEST("stats.get", "{}")), *result = json_object_get(answer, "result");

    CHECK_INT(json_object_size(result), STAT_N);
    CHECK_INT(json_integer_value(json_object_get(result, "conn_accepted")), 42);
    CHECK_INT(json_integer_value(json_object_get(result, "conn_open")), 0); /* a gauge is never below none */
    json_decref(answer);
    expect_result(&f, REQUEST("stats.get", "[\"conn_accepted\"]"), "{\"conn_accepted\":42}");
    expect_error(&f, REQUEST("stats.get", "[\"no_such\"]"), RPC_ERR_NOT_FOUND);
}

TEST(reload_tells_what_changed_and_what_is_wrong)
{
    struct fake f = { 0 };
    json_t *answer;

    expect_result(&f, REQUEST("core.reload", "[]"),
                  "{\"live\":[\"server.log_level\",\"limits.ban_time\"],\"restart\":[\"server.workers\"]}");
    f.reload_halves = true;
    expect_result(&f, REQUEST("core.reload", "[]"),
                  "{\"live\":[\"server.log_level\",\"limits.ban_time\"],\"restart\":[\"server.workers\"],"
                  "\"faults\":[\"f:1: first\",\"f:2: second\"]}");
    f.reload_err = TD_EINVAL;
    answer = ask(&f, REQUEST("core.reload", "[]"));
    CHECK_STR(json_string_value(json_array_get(
                  json_object_get(json_object_get(json_object_get(answer, "error"), "data"), "faults"), 1)),
              "f:2: second");
    json_decref(answer);
    expect_error(&f, REQUEST("core.reload", "[]"), RPC_ERR_CONFIG);
    f.reload_err = TD_EIO;
    expect_error(&f, REQUEST("core.reload", "[]"), RPC_ERR_FAILED);
}

TEST(kick_ban_and_flush_reach_the_server)
{
    struct fake f = { 0 };

    expect_result(&f, REQUEST("msrp.kick", "{\"session_id\":\"abc0\"}"), "{\"session_id\":\"abc0\"}");
    expect_error(&f, REQUEST("msrp.kick", "[\"none\"]"), RPC_ERR_NOT_FOUND);
    expect_result(&f, REQUEST("core.ban", "[\"list\"]"),
                  "[{\"address\":\"192.0.2.66\",\"until\":\"2001-09-09 01:46:40\",\"reason\":\"manual\"}]");
    expect_result(&f, REQUEST("core.ban", "[\"add\",\"2001:DB8:0::1\",60]"), "{\"address\":\"2001:db8::1\"}");
    CHECK_STR(f.banned, "2001:db8::1");
    CHECK_INT(f.ban_seconds, 60);
    /* what maps IPv4 never comes from a socket, and would ban nobody */
    expect_result(&f, REQUEST("core.ban", "[\"add\",\"::ffff:192.0.2.7\"]"), "{\"address\":\"192.0.2.7\"}");
    CHECK_STR(f.banned, "192.0.2.7");
    expect_error(&f, REQUEST("core.ban", "[\"del\",\"192.0.2.1\"]"), RPC_ERR_NOT_FOUND);
    CHECK_STR(f.unbanned, "192.0.2.1");
    expect_result(&f, REQUEST("auth.flush", "[\"alice\",\"example.org\"]"), "true");
    CHECK_STR(f.user, "alice");
    CHECK_STR(f.domain, "example.org");
}

TEST(a_server_without_a_part_says_so)
{
    static const struct rpc_backend none;
    static const char *const lines[] = {
        REQUEST("msrp.sessions", "[]"), REQUEST("msrp.cmaplist", "[]"), REQUEST("core.connections", "[]"),
        REQUEST("core.reload", "[]"),   REQUEST("core.ban", "[\"list\"]"), REQUEST("core.ban", "[\"add\",\"192.0.2.1\"]"),
        REQUEST("auth.flush", "[]"),    REQUEST("msrp.kick", "[\"x\"]"), REQUEST("stats.get", "[]"),
        REQUEST("ul.dump", "[]"),
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(lines); i++) {
        json_t *answer = ask_backend(&none, sv_of(lines[i]));

        CHECK_INT(json_integer_value(json_object_get(json_object_get(answer, "error"), "code")), RPC_ERR_NOT_AVAILABLE);
        json_decref(answer);
    }
}

TEST(an_answer_over_the_limit_is_an_error_instead)
{
    struct fake f = { .n_sessions = 200000 };

    expect_error(&f, REQUEST("msrp.sessions", "[]"), RPC_ERR_TOO_LARGE);
}

TEST(every_method_describes_itself)
{
    struct fake f = { 0 };
    json_t *answer = ask(&f, REQUEST("core.methods", "[]")), *row;
    size_t i, n = 0;

    json_array_foreach(json_object_get(answer, "result"), i, row) {
        CHECK(json_string_length(json_object_get(row, "name")) > 0);
        CHECK(json_string_length(json_object_get(row, "text")) > 0);
        n++;
    }
    CHECK(n >= 10);
    json_decref(answer);
}

SUITE(method_suite, TEST_ROW(an_answer_carries_the_id_of_its_request), TEST_ROW(a_notification_is_obeyed_and_not_answered),
      TEST_ROW(broken_requests_get_the_errors_of_json_rpc), TEST_ROW(cmaplist_has_kamailios_names),
      TEST_ROW(sessions_have_the_names_of_their_table),
      TEST_ROW(connections_with_bytes_that_are_not_text_are_still_json),
      TEST_ROW(registrations_are_grouped_by_address_of_record), TEST_ROW(counters_come_by_name),
      TEST_ROW(reload_tells_what_changed_and_what_is_wrong), TEST_ROW(kick_ban_and_flush_reach_the_server),
      TEST_ROW(a_server_without_a_part_says_so), TEST_ROW(an_answer_over_the_limit_is_an_error_instead),
      TEST_ROW(every_method_describes_itself));

/* The socket itself. */

static int dial(const struct server *s)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_FATAL(sv_copy(sv_of(s->path), a.sun_path, sizeof a.sun_path));
    CHECK_FATAL(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

/* Read until count lines or the end; false at the end or after five seconds. */
static bool read_lines(int fd, size_t count, struct buf *in)
{
    char chunk[65536];

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t lines = 0;
        ssize_t n;

        for (size_t i = 0; i < in->n; i++)
            lines += in->p[i] == '\n';
        if (lines >= count)
            return true;
        if (poll(&p, 1, 30000) <= 0)
            return false;
        n = read(fd, chunk, sizeof chunk);
        if (n <= 0)
            return false;
        buf_add(in, chunk, (size_t)n);
    }
}

static void send_text(int fd, const char *text)
{
    CHECK_FATAL(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

#define VERSION_ANSWER "{\"jsonrpc\":\"2.0\",\"result\":\"tandem 0.1.0\",\"id\":1}\n"

TEST(the_socket_is_for_owner_and_group_and_its_folder_is_made)
{
    struct server s;
    struct stat st;

    server_start(&s);
    CHECK(stat(s.path, &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0660);
    CHECK(S_ISSOCK(st.st_mode));
    server_stop(&s);
}

TEST(requests_in_pieces_and_in_a_row_are_answered_in_order)
{
    struct server s;
    struct buf in = BUF_INIT;
    int fd;

    server_start(&s);
    fd = dial(&s);
    for (const char *p = REQUEST("core.version", "[]") "\r\n\n"; *p; p++)
        send_text(fd, (char[]){ *p, 0 });
    CHECK(read_lines(fd, 1, &in));
    CHECK_STR(in.p, VERSION_ANSWER);
    buf_clear(&in);
    send_text(fd, REQUEST("core.version", "[]") "\n" REQUEST("core.version", "[]") "\n{\n");
    CHECK(read_lines(fd, 3, &in));
    CHECK(strncmp(in.p, VERSION_ANSWER VERSION_ANSWER, 2 * strlen(VERSION_ANSWER)) == 0);
    CHECK(strstr(in.p, "-32700") != NULL);
    close(fd);
    buf_fini(&in);
    server_stop(&s);
}

TEST(a_line_over_the_limit_ends_the_client_and_one_at_it_does_not)
{
    struct server s;
    struct buf in = BUF_INIT, line = BUF_INIT;
    int fd;

    server_start(&s);
    buf_puts(&line, REQUEST("core.version", "[]"));
    while (line.n < RPC_REQUEST_MAX)
        buf_putc(&line, ' ');
    buf_putc(&line, '\n');
    fd = dial(&s);
    send_text(fd, line.p);
    CHECK(read_lines(fd, 1, &in));
    CHECK_STR(in.p, VERSION_ANSWER);
    buf_clear(&in);
    line.p[RPC_REQUEST_MAX] = ' ';
    send_text(fd, line.p);
    CHECK(read_lines(fd, 1, &in));
    CHECK(strstr(in.p, "a line over 65536 bytes") != NULL);
    CHECK(!read_lines(fd, 2, &in)); /* closed */
    close(fd);
    buf_fini(&in);
    buf_fini(&line);
    server_stop(&s);
}

TEST(a_large_answer_waits_for_a_slow_reader_while_others_are_served)
{
    struct server s;
    struct buf in = BUF_INIT, other = BUF_INIT;
    int slow, quick;

    server_start(&s);
    s.fake.n_sessions = 3000; /* more than a megabyte, and than a socket holds */
    slow = dial(&s);
    send_text(slow, REQUEST("msrp.sessions", "[]") "\n" REQUEST("core.version", "[]") "\n");
    quick = dial(&s);
    send_text(quick, REQUEST("core.version", "[]") "\n");
    CHECK(read_lines(quick, 1, &other));
    CHECK_STR(other.p, VERSION_ANSWER);
    CHECK(read_lines(slow, 2, &in));
    CHECK_FATAL(in.n > 1000000);
    CHECK(strcmp(in.p + in.n - strlen(VERSION_ANSWER), VERSION_ANSWER) == 0);
    close(slow);
    close(quick);
    buf_fini(&in);
    buf_fini(&other);
    server_stop(&s);
}

TEST(one_client_too_many_is_told_so)
{
    struct server s;
    struct buf in = BUF_INIT;
    int fds[RPC_CLIENTS_MAX], more;

    server_start(&s);
    for (size_t i = 0; i < RPC_CLIENTS_MAX; i++) {
        fds[i] = dial(&s);
        send_text(fds[i], REQUEST("core.version", "[]") "\n");
        buf_clear(&in);
        CHECK(read_lines(fds[i], 1, &in));
    }
    more = dial(&s);
    buf_clear(&in);
    CHECK(read_lines(more, 1, &in));
    CHECK(strstr(in.p, "too many clients") != NULL);
    close(more);
    for (size_t i = 0; i < RPC_CLIENTS_MAX; i++)
        close(fds[i]);
    buf_fini(&in);
    server_stop(&s);
}

TEST(a_dead_socket_is_replaced_and_a_live_one_is_not)
{
    struct server s, second;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd;

    server_start(&s);
    second = s;
    CHECK_INT(server_listen(&second), TD_EINUSE);
    CHECK(access(s.path, F_OK) == 0);
    rpc_stop(&s.rpc);

    /* as a killed server leaves it */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(sv_copy(sv_of(s.path), a.sun_path, sizeof a.sun_path));
    CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    close(fd);
    CHECK_INT(server_listen(&s), 0);
    server_stop(&s);
}

TEST(a_file_in_the_place_of_the_socket_is_left_alone)
{
    struct server s;
    FILE *f;

    server_start(&s);
    rpc_stop(&s.rpc);
    f = fopen(s.path, "w");
    CHECK_FATAL(f != NULL);
    fclose(f);
    CHECK_INT(server_listen(&s), TD_EEXIST);
    CHECK(unlink(s.path) == 0);
    server_stop(&s);
}

TEST(asking_gets_a_result_or_the_servers_words)
{
    struct server s;
    struct buf why = BUF_INIT;
    json_t *result, *data;
    int fd;

    server_start(&s);
    s.fake.n_sessions = 3;
    CHECK_INT(ask_dial(&fd, s.path, &why), 0);
    CHECK_INT(ask_call(fd, "core.version", NULL, &result, NULL, &why), 0);
    CHECK_STR(json_string_value(result), "tandem 0.1.0");
    json_decref(result);
    CHECK_INT(ask_call(fd, "msrp.sessions", json_pack("{s:i}", "limit", 2), &result, NULL, &why), 0);
    CHECK_INT(json_array_size(result), 2);
    json_decref(result);
    CHECK_INT(ask_call(fd, "msrp.kick", json_pack("[s]", "none"), &result, NULL, &why), TD_ENOENT);
    CHECK(result == NULL);
    CHECK_STR(why.p, "session: no such thing");
    buf_clear(&why);
    s.fake.reload_err = TD_EINVAL;
    CHECK_INT(ask_call(fd, "core.reload", NULL, &result, &data, &why), TD_EINVAL);
    CHECK_INT(json_array_size(json_object_get(data, "faults")), 2);
    json_decref(data);
    buf_clear(&why);
    rpc_stop(&s.rpc);
    CHECK_INT(ask_call(fd, "core.version", NULL, &result, NULL, &why), TD_ECLOSED);
    close(fd);
    server_stop(&s);
    buf_fini(&why);
}

TEST(no_server_and_no_permission_are_told_apart)
{
    struct server s;
    struct buf why = BUF_INIT;
    int fd;

    server_start(&s);
    rpc_stop(&s.rpc);
    CHECK_INT(ask_dial(&fd, s.path, &why), TD_ENOENT);
    CHECK(fd == -1);
    CHECK(strstr(why.p, "is tandemd running?") != NULL);
    CHECK_INT(server_listen(&s), 0);
    if (geteuid() == 0) { /* only somebody else can be refused */
        CHECK_FATAL(seteuid(65534) == 0);
        buf_clear(&why);
        CHECK_INT(ask_dial(&fd, s.path, &why), TD_EPERM);
        CHECK(strstr(why.p, "permission denied") != NULL);
        CHECK_FATAL(seteuid(0) == 0);
    }
    buf_fini(&why);
    server_stop(&s);
}

SUITE(rpc_suite, TEST_ROW(asking_gets_a_result_or_the_servers_words), TEST_ROW(no_server_and_no_permission_are_told_apart), TEST_ROW(the_socket_is_for_owner_and_group_and_its_folder_is_made),
      TEST_ROW(requests_in_pieces_and_in_a_row_are_answered_in_order),
      TEST_ROW(a_line_over_the_limit_ends_the_client_and_one_at_it_does_not),
      TEST_ROW(a_large_answer_waits_for_a_slow_reader_while_others_are_served),
      TEST_ROW(one_client_too_many_is_told_so), TEST_ROW(a_dead_socket_is_replaced_and_a_live_one_is_not),
      TEST_ROW(a_file_in_the_place_of_the_socket_is_left_alone));
