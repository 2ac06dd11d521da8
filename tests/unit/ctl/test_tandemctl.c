/* tandemctl as an operator runs it: the program itself, against a server made of constants and a real database. */
#include "tests/unit/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/unit/ctl/fake.h"

enum { ARGS_MAX = 16, PATIENCE_MS = 20000 };

/* One run: what it said and how it ended. */
struct run {
    int status;
    struct buf out, err;
};

static void run_fini(struct run *r)
{
    buf_fini(&r->out);
    buf_fini(&r->err);
}

static void spawn(pid_t *pid, const char *const *args, int in, int out, int err)
{
    const char *tree = getenv("TANDEM_BUILD");
    posix_spawn_file_actions_t files;
    char program[4096];
    char *argv[ARGS_MAX + 2] = { program };

    snprintf(program, sizeof program, "%s/bin/tandemctl", tree ? tree : ".");
    for (size_t i = 0; args[i]; i++) {
        CHECK_FATAL(i < ARGS_MAX);
        argv[i + 1] = (char *)args[i];
    }
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    CHECK_FATAL(posix_spawn(pid, program, &files, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&files);
}

static int wait_for(pid_t pid)
{
    int status = 0;

    CHECK_FATAL(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Read both to their ends; a program that never ends is killed. */
static void collect(struct run *r, pid_t pid, int out, int err)
{
    struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
    struct buf *bufs[2] = { &r->out, &r->err };
    char chunk[4096];

    buf_add(&r->out, "", 0);
    buf_add(&r->err, "", 0);
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, PATIENCE_MS) <= 0) {
            CHECK(!"tandemctl hangs");
            kill(pid, SIGKILL);
            break;
        }
        for (int i = 0; i < 2; i++) {
            ssize_t n = fds[i].revents ? read(fds[i].fd, chunk, sizeof chunk) : -2;

            if (n > 0)
                buf_add(bufs[i], chunk, (size_t)n);
            else if (n >= -1)
                fds[i].fd = -1;
        }
    }
}

/* Run it with these arguments, NULL at the end, and this standard input. */
static struct run run_args(const char *input, const char *const *args)
{
    struct run r = { 0 };
    int in[2], out[2], err[2];
    pid_t pid;

    CHECK_FATAL(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    CHECK_FATAL(write(in[1], input, strlen(input)) == (ssize_t)strlen(input));
    close(in[1]);
    fake_sync();
    spawn(&pid, args, in[0], out[1], err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    collect(&r, pid, out[0], err[0]);
    close(out[0]);
    close(err[0]);
    r.status = wait_for(pid);
    fake_sync();
    return r;
}
#define RUN(input, ...) run_args(input, (const char *const[]){ __VA_ARGS__, NULL })

static void expect(struct run r, int status, const char *out, const char *err)
{
    CHECK_INT(r.status, status);
    CHECK_STR(r.out.p, out);
    CHECK_STR(r.err.p, err);
    run_fini(&r);
}

/* A server, and a configuration that names its socket and a database in the same folder. */
struct place {
    struct server s;
    char conf[64], db[64];
};

static void place_start(struct place *p)
{
    FILE *f;

    server_start(&p->s);
    snprintf(p->conf, sizeof p->conf, "%s/tandem.ini", p->s.folder);
    snprintf(p->db, sizeof p->db, "%s/tandem.db", p->s.folder);
    f = fopen(p->conf, "w");
    CHECK_FATAL(f != NULL);
    fprintf(f, "[server]\ndatabase = %s\ncontrol = %s\n", p->db, p->s.path);
    fclose(f);
}

static void place_stop(struct place *p)
{
    char side[80];

    unlink(p->conf);
    unlink(p->db);
    snprintf(side, sizeof side, "%s-wal", p->db);
    unlink(side);
    snprintf(side, sizeof side, "%s-shm", p->db);
    unlink(side);
    server_stop(&p->s);
}

TEST(what_is_not_understood_ends_with_2)
{
    struct run r = RUN("", "no-such-command");

    expect(r, 2, "", "tandemctl: no command no-such-command; -h lists them\n");
    r = RUN("", "-x");
    CHECK_INT(r.status, 2);
    CHECK(strstr(r.err.p, "usage: tandemctl") != NULL);
    run_fini(&r);
    expect(RUN("", "-s", "/x", "ban", "add"), 2, "",
           "tandemctl: usage: ban list, ban add ADDRESS [SECONDS], ban del ADDRESS\n");
    expect(RUN("", "-s", "/x", "kick"), 2, "", "tandemctl: usage: kick SESSION-ID\n");
    r = RUN("", "-s", "/x", "rpc", "core.version", "{");
    CHECK_INT(r.status, 2);
    run_fini(&r);
    r = RUN("", "user", "add");
    CHECK_INT(r.status, 2);
    run_fini(&r);
    r = RUN("", "user", "list", "alice@example.org");
    CHECK_INT(r.status, 2);
    run_fini(&r);
    r = RUN("", "user", "block", "alice@example.org", "--password", "x");
    CHECK_INT(r.status, 2);
    run_fini(&r);
}

TEST(help_names_every_command)
{
    static const char *const names[] = { "user", "sessions", "connections", "registrations", "cmaplist", "stats",
                                         "kick", "ban", "reload", "top", "rpc" };
    struct run r = RUN("", "--help");

    CHECK_INT(r.status, 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++) {
        char line[32];

        snprintf(line, sizeof line, "\n  %s ", names[i]);
        CHECK(strstr(r.out.p, line) != NULL);
    }
    run_fini(&r);
}

TEST(a_server_that_is_not_there_ends_with_3)
{
    expect(RUN("", "-s", "/nonexistent/tandem.sock", "sessions"), 3, "",
           "tandemctl: no server answers on /nonexistent/tandem.sock: is tandemd running?\n");
}

TEST(a_faulty_configuration_ends_with_1_and_its_faults)
{
    struct place p;
    struct buf expected = BUF_INIT;
    FILE *f;

    place_start(&p);
    f = fopen(p.conf, "w");
    CHECK_FATAL(f != NULL);
    fputs("[server]\nworker = 1\n", f);
    fclose(f);
    buf_printf(&expected, "%s:2: unknown key worker in [server]: did you mean workers?\n", p.conf);
    expect(RUN("", "-c", p.conf, "sessions"), 1, "", expected.p);
    expect(RUN("", "-c", p.conf, "user", "list"), 1, "", expected.p);
    buf_fini(&expected);
    place_stop(&p);
}

TEST(the_running_server_is_shown_as_tables_or_json)
{
    struct place p;
    struct run r;
    json_t *j;

    place_start(&p);
    p.s.fake.n_sessions = 2;
    r = RUN("", "-c", p.conf, "sessions");
    CHECK_INT(r.status, 0);
    CHECK(strncmp(r.out.p, "SESSION  USER               CLIENT ", 34) == 0);
    CHECK(strstr(r.out.p, "\nabc1     alice@example.org  msrps://192.0.2.1:9  active ") != NULL);
    run_fini(&r);

    r = RUN("", "-c", p.conf, "sessions", "--json");
    j = json_loads(r.out.p, 0, NULL);
    CHECK_INT(json_array_size(j), 2);
    json_decref(j);
    run_fini(&r);

    r = RUN("", "-s", p.s.path, "cmaplist");
    CHECK(strstr(r.out.p, "MAP_SIZE 256  CONCOUNT 2\n") != NULL);
    run_fini(&r);
    r = RUN("", "-s", p.s.path, "connections");
    CHECK(strstr(r.out.p, "TLS1.3") != NULL);
    run_fini(&r);
    r = RUN("", "-s", p.s.path, "registrations");
    CHECK(strstr(r.out.p, "bob@example.org") != NULL);
    run_fini(&r);
    expect(RUN("", "-s", p.s.path, "stats", "conn_accepted"), 0,
           "COUNTER        VALUE  MEANING\nconn_accepted     42  connections accepted\n", "");
    expect(RUN("", "-s", p.s.path, "top", "1", "1"), 0,
           "COUNTER        VALUE  A-SECOND  MEANING\nconn_accepted     42         -  connections accepted\n", "");
    expect(RUN("", "-s", p.s.path, "rpc", "stats.get", "[\"conn_accepted\"]"), 0, "{\n  \"conn_accepted\": 42\n}\n", "");
    expect(RUN("", "-s", p.s.path, "rpc", "core.version"), 0, "\"tandem 0.1.0\"\n", "");
    place_stop(&p);
}

TEST(the_running_server_is_steered)
{
    struct place p;

    place_start(&p);
    expect(RUN("", "-s", p.s.path, "kick", "abc0"), 0, "session ended\n", "");
    CHECK_STR(p.s.fake.kicked, "abc0");
    expect(RUN("", "-s", p.s.path, "kick", "none"), 1, "", "tandemctl: session: no such thing\n");
    expect(RUN("", "-s", p.s.path, "ban", "add", "192.0.2.5", "30"), 0, "192.0.2.5\n", "");
    CHECK_STR(p.s.fake.banned, "192.0.2.5");
    CHECK_INT(p.s.fake.ban_seconds, 30);
    expect(RUN("", "-s", p.s.path, "ban", "list"), 0,
           "ADDRESS     UNTIL                REASON\n192.0.2.66  2001-09-09 01:46:40  manual\n", "");
    expect(RUN("", "-s", p.s.path, "reload"), 0,
           "now in force: server.log_level limits.ban_time\nafter a restart: server.workers\n", "");
    p.s.fake.reload_halves = true;
    expect(RUN("", "-s", p.s.path, "reload"), 1, "now in force: server.log_level limits.ban_time\nafter a restart: server.workers\n",
           "f:1: first\nf:2: second\ntandemctl: what these are about stays as it was; the rest of the configuration is in force\n");
    p.s.fake.reload_err = TD_EINVAL;
    expect(RUN("", "-s", p.s.path, "reload"), 1, "",
           "f:1: first\nf:2: second\ntandemctl: the configuration has faults; nothing was changed\n");
    place_stop(&p);
}

TEST(users_are_kept_with_or_without_a_server)
{
    struct place p;

    place_start(&p);
    expect(RUN("", "-c", p.conf, "user", "list"), 0, "(none)\n", "");
    expect(RUN("", "-c", p.conf, "user", "add", "bob@example.org", "--password", "secret"), 0, "bob@example.org added\n", "");
    CHECK_STR(p.s.fake.user, "bob"); /* the server was told */
    CHECK_STR(p.s.fake.domain, "example.org");
    rpc_stop(&p.s.rpc);
    expect(RUN("from standard input\n", "-c", p.conf, "user", "add", "alice@example.org"), 0, "alice@example.org added\n", "");
    expect(RUN("", "-c", p.conf, "user", "add", "alice@example.org", "--password=x"), 1, "",
           "tandemctl: alice@example.org: there is such a user already\n");
    expect(RUN("", "-c", p.conf, "user", "block", "bob@example.org"), 0, "bob@example.org is blocked\n", "");
    expect(RUN("", "-c", p.conf, "user", "list"), 0,
           "USER               STATE    PASSWORD-AS\n"
           "alice@example.org  active   MD5 SHA-256\n"
           "bob@example.org    blocked  MD5 SHA-256\n", "");
    expect(RUN("", "-c", p.conf, "user", "unblock", "bob@example.org"), 0, "bob@example.org is not blocked\n", "");
    expect(RUN("new\n", "-c", p.conf, "user", "passwd", "bob@example.org"), 0, "bob@example.org has a new password\n", "");
    expect(RUN("", "-c", p.conf, "user", "del", "alice@example.org"), 0, "alice@example.org removed\n", "");
    expect(RUN("", "-c", p.conf, "--json", "user", "list"), 0,
           "[\n  {\n    \"username\": \"bob\",\n    \"domain\": \"example.org\",\n    \"blocked\": false,\n"
           "    \"md5\": true,\n    \"sha256\": true,\n    \"plain\": false\n  }\n]\n", "");
    expect(RUN("", "-c", p.conf, "user", "del", "alice@example.org"), 1, "",
           "tandemctl: alice@example.org: there is no such user\n");
    expect(RUN("x\n", "-c", p.conf, "user", "passwd", "carol@example.org"), 1, "",
           "tandemctl: carol@example.org: there is no such user\n");
    place_stop(&p);
}

TEST(root_leaves_the_database_to_the_owner_of_its_folder)
{
    struct place p;
    struct stat st;

    if (geteuid() != 0)
        return; /* only root can act as somebody else */
    place_start(&p);
    CHECK(chown(p.s.folder, 65534, 65534) == 0);
    expect(RUN("", "-c", p.conf, "user", "add", "a@b", "--password", "x"), 0, "a@b added\n", "");
    CHECK(stat(p.db, &st) == 0);
    CHECK_INT(st.st_uid, 65534);
    CHECK_INT(st.st_gid, 65534);
    place_stop(&p);
}

TEST(bad_names_and_passwords_are_refused)
{
    static const char refused[] = "a user is NAME@DOMAIN, without blanks, quotes, colons and the like\n";
    static const char *const names[] = { "alice", "@example.org", "alice@", "al ice@example.org", "al\"ice@example.org" };
    char long_password[258];
    struct place p;

    place_start(&p);
    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++) {
        struct buf expected = BUF_INIT;

        buf_printf(&expected, "tandemctl: %s: %s", names[i], refused);
        expect(RUN("x\n", "-c", p.conf, "user", "add", names[i]), 1, "", expected.p);
        buf_fini(&expected);
    }
    expect(RUN("", "-c", p.conf, "user", "add", "a@b"), 1, "", "tandemctl: no password was given (at most 256 bytes)\n");
    expect(RUN("\n", "-c", p.conf, "user", "add", "a@b"), 1, "", "tandemctl: no password was given (at most 256 bytes)\n");
    expect(RUN("", "-c", p.conf, "user", "add", "a@b", "--password", ""), 1, "",
           "tandemctl: a password has 1 to 256 bytes\n");
    memset(long_password, 'x', 257);
    long_password[257] = '\0';
    expect(RUN(long_password, "-c", p.conf, "user", "add", "a@b"), 1, "", "tandemctl: a password has at most 256 bytes\n");
    expect(RUN(long_password + 1, "-c", p.conf, "user", "add", "a@b"), 0, "a@b added\n", "");
    place_stop(&p);
}

/* Wait until the terminal shows that text, then answer. */
static void answer_prompt(int terminal, struct buf *seen, const char *prompt, const char *answer)
{
    struct pollfd fd = { .fd = terminal, .events = POLLIN };
    char chunk[256];

    while (!seen->p || !strstr(seen->p, prompt)) {
        ssize_t n;

        CHECK_FATAL(poll(&fd, 1, PATIENCE_MS) > 0);
        n = read(terminal, chunk, sizeof chunk);
        CHECK_FATAL(n > 0);
        buf_add(seen, chunk, (size_t)n);
    }
    CHECK(write(terminal, answer, strlen(answer)) == (ssize_t)strlen(answer));
}

TEST(on_a_terminal_the_password_is_asked_for_twice_and_not_shown)
{
    static const struct { const char *second; int status; } rows[] = { { "hidden\n", 0 }, { "other\n", 1 } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct buf seen = BUF_INIT;
        struct place p;
        int terminal, its_end;
        char chunk[256];
        ssize_t n;
        pid_t pid;

        place_start(&p);
        CHECK_FATAL(openpty(&terminal, &its_end, NULL, NULL, NULL) == 0);
        fcntl(terminal, F_SETFD, FD_CLOEXEC);
        spawn(&pid, (const char *const[]){ "-c", p.conf, "user", "add", "a@b", NULL }, its_end, its_end, its_end);
        close(its_end);
        answer_prompt(terminal, &seen, "Password: ", "hidden\n");
        answer_prompt(terminal, &seen, "The same again: ", rows[i].second);
        while ((n = read(terminal, chunk, sizeof chunk)) > 0)
            buf_add(&seen, chunk, (size_t)n);
        CHECK_INT(wait_for(pid), rows[i].status);
        CHECK(strstr(seen.p, "hidden") == NULL && strstr(seen.p, "other") == NULL);
        CHECK(strstr(seen.p, rows[i].status ? "the two were not the same" : "a@b added") != NULL);
        close(terminal);
        buf_fini(&seen);
        place_stop(&p);
    }
}

SUITE(tandemctl_suite, TEST_ROW(what_is_not_understood_ends_with_2), TEST_ROW(help_names_every_command),
      TEST_ROW(a_server_that_is_not_there_ends_with_3), TEST_ROW(a_faulty_configuration_ends_with_1_and_its_faults),
      TEST_ROW(the_running_server_is_shown_as_tables_or_json), TEST_ROW(the_running_server_is_steered),
      TEST_ROW(users_are_kept_with_or_without_a_server), TEST_ROW(root_leaves_the_database_to_the_owner_of_its_folder),
      TEST_ROW(bad_names_and_passwords_are_refused),
      TEST_ROW(on_a_terminal_the_password_is_asked_for_twice_and_not_shown));
