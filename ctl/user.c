/* tandemctl user: subscribers, on the database itself, whether or not the server runs. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "common/err.h"
#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "ctl/table.h"
#include "db/db.h"
#include "db/subscriber.h"

enum { PASSWORD_MAX = 256 };

/* As root, act as the user the server runs as, or else the owner of the database's folder: files that SQLite makes
 * here must be the server's to write. */
static bool become_owner(const struct conf *c)
{
    const struct passwd *who = NULL;
    const char *slash = strrchr(c->server.database, '/');
    char *folder = slash && slash != c->server.database ?
                       sv_dup(sv_make(c->server.database, (size_t)(slash - c->server.database))) : NULL;
    struct stat st = { 0 };
    uid_t uid;
    gid_t gid;
    bool done = true;

    if (geteuid() != 0)
        goto out;
    if (*c->server.user) {
        who = getpwnam(c->server.user);
        if (!who) {
            ctl_complain("server.user: there is no user %s", c->server.user);
            done = false;
            goto out;
        }
    }
    if (!who && stat(c->server.database, &st) != 0 && (!folder || stat(folder, &st) != 0))
        goto out; /* root makes the folder */
    uid = who ? who->pw_uid : st.st_uid;
    gid = who ? who->pw_gid : st.st_gid;
    done = uid == 0 || (setgroups(1, &gid) == 0 && setgid(gid) == 0 && setuid(uid) == 0);
    if (!done)
        ctl_complain("cannot act as user %u: %s", (unsigned)uid, td_err_text(-errno));
out:
    free(folder);
    return done;
}

/* One line, with echo off on a terminal. False: there was none, or it is too long. */
static bool read_secret(const char *prompt, char out[PASSWORD_MAX + 2])
{
    struct termios before, silent;
    bool is_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    size_t n;
    bool got;

    if (is_terminal) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        fprintf(stderr, "%s: ", prompt);
    }
    got = fgets(out, PASSWORD_MAX + 2, stdin) != NULL;
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    n = got ? strlen(out) : 0;
    if (n && out[n - 1] == '\n')
        out[--n] = '\0';
    if (n > PASSWORD_MAX || !n) {
        ctl_complain(n ? "a password has at most %d bytes" : "no password was given (at most %d bytes)", PASSWORD_MAX);
        return false;
    }
    return true;
}

/* From the option, or from standard input; asked for twice on a terminal. */
static bool read_password(const char *given, char out[PASSWORD_MAX + 2])
{
    char again[PASSWORD_MAX + 2];
    bool same;

    if (given) {
        if (*given && sv_copy(sv_of(given), out, PASSWORD_MAX + 1))
            return true;
        ctl_complain("a password has 1 to %d bytes", PASSWORD_MAX);
        return false;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* no copy of it in a buffer of stdio's */
    if (!read_secret("Password", out))
        return false;
    if (!isatty(STDIN_FILENO))
        return true;
    same = read_secret("The same again", again) && strcmp(out, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!same)
        ctl_complain("the two were not the same");
    return same;
}

/* A running server remembers credentials for some seconds: tell it. Without one there is nothing to do. */
static void tell_server(struct ctl *x, struct sv user, struct sv domain)
{
    struct buf why = BUF_INIT;
    json_t *result = NULL;
    int fd;

    if (ask_dial(&fd, ctl_socket(x), &why) == 0) {
        ask_call(fd, "auth.flush", json_pack("[s%, s%]", user.p, user.n, domain.p, domain.n), &result, NULL, &why);
        json_decref(result);
        close(fd);
    }
    buf_fini(&why);
}

struct user_list {
    json_t *json; /* NULL: a table is wanted */
    struct table table;
};

static bool list_one(const struct db_user *u, void *arg)
{
    struct user_list *list = arg;
    struct buf name = BUF_INIT;

    if (list->json) {
        json_array_append_new(list->json, json_pack("{s:s%, s:s%, s:b, s:b, s:b, s:b}", "username", u->username.p,
                                                    u->username.n, "domain", u->domain.p, u->domain.n, "blocked",
                                                    u->blocked, "md5", u->has_md5, "sha256", u->has_sha256, "plain",
                                                    u->has_plain));
        return true;
    }
    buf_add_sv(&name, u->username);
    buf_putc(&name, '@');
    buf_add_sv(&name, u->domain);
    table_text(&list->table, name.p);
    table_text(&list->table, u->blocked ? "blocked" : "active");
    buf_clear(&name);
    buf_printf(&name, "%s%s%s", u->has_md5 ? " MD5" : "", u->has_sha256 ? " SHA-256" : "", u->has_plain ? " plain" : "");
    table_text(&list->table, name.n ? name.p + 1 : "");
    buf_fini(&name);
    return true;
}

static int list_users(struct ctl *x, struct db *db)
{
    struct user_list list = { .json = x->json ? json_array() : NULL };
    struct buf out = BUF_INIT;
    int err;

    table_init(&list.table, "USER STATE PASSWORD-AS");
    err = db_user_each(db, list_one, &list);
    table_print(&list.table, &out);
    table_fini(&list.table);
    if (err) {
        ctl_complain("%s", db_error_text(db));
        json_decref(list.json);
        buf_fini(&out);
        return CTL_FAILED;
    }
    if (list.json) {
        buf_fini(&out);
        return ctl_print_json(list.json);
    }
    return ctl_print(&out);
}

enum verb { VERB_ADD, VERB_PASSWD, VERB_BLOCK, VERB_UNBLOCK, VERB_DEL, VERB_LIST, VERB_N };
static const char *const verbs[VERB_N] = { "add", "passwd", "block", "unblock", "del", "list" };
static const char *const done[VERB_N] = { "added", "has a new password", "is blocked", "is not blocked", "removed", "" };

static int change_user(struct ctl *x, struct db *db, enum verb verb, const char *name, const char *password)
{
    size_t at = strlen(name);
    struct sv user, domain;
    int err = TD_EINVAL;

    while (at > 0 && name[at] != '@')
        at--;
    user = sv_upto(sv_of(name), at);
    domain = sv_from(sv_of(name), at + 1);
    switch (verb) {
    case VERB_ADD: err = db_user_add(db, user, domain, sv_of(password)); break;
    case VERB_PASSWD: err = db_user_passwd(db, user, domain, sv_of(password)); break;
    case VERB_BLOCK:
    case VERB_UNBLOCK: err = db_user_block(db, user, domain, verb == VERB_BLOCK); break;
    case VERB_DEL: err = db_user_del(db, user, domain); break;
    case VERB_LIST:
    case VERB_N: break;
    }
    if (err == TD_EEXIST)
        ctl_complain("%s: there is such a user already", name);
    else if (err == TD_ENOENT)
        ctl_complain("%s: there is no such user", name);
    else if (err == TD_EINVAL)
        ctl_complain("%s: a user is NAME@DOMAIN, without blanks, quotes, colons and the like", name);
    else if (err)
        ctl_complain("%s: %s", name, db_error_text(db));
    if (err)
        return CTL_FAILED;
    tell_server(x, user, domain);
    if (x->json)
        return ctl_print_json(json_pack("{s:s%, s:s%}", "username", user.p, user.n, "domain", domain.p, domain.n));
    printf("%s %s\n", name, done[verb]);
    return CTL_OK;
}

/* What was asked for, from the words after "user". */
struct wish {
    enum verb verb;
    const char *name, *password;
};

static bool parse(struct wish *w, int argc, char **argv)
{
    *w = (struct wish){ .verb = VERB_N };
    for (int i = 0; argc > 0 && i < VERB_N; i++)
        if (strcmp(argv[0], verbs[i]) == 0)
            w->verb = (enum verb)i;
    for (int i = 1; i < argc; i++) {
        bool may_have_password = w->verb == VERB_ADD || w->verb == VERB_PASSWD;

        if (may_have_password && !w->password && strcmp(argv[i], "--password") == 0 && i + 1 < argc)
            w->password = argv[++i];
        else if (may_have_password && !w->password && strncmp(argv[i], "--password=", 11) == 0)
            w->password = argv[i] + 11;
        else if (argv[i][0] != '-' && !w->name)
            w->name = argv[i];
        else
            return false;
    }
    return w->verb != VERB_N && (w->verb == VERB_LIST) == !w->name;
}

int ctl_user(struct ctl *x, int argc, char **argv)
{
    char password[PASSWORD_MAX + 2] = "";
    struct buf why = BUF_INIT;
    struct db *db = NULL;
    struct wish w;
    int status = CTL_FAILED;

    if (!parse(&w, argc, argv)) {
        ctl_complain("usage: user add|passwd NAME@DOMAIN [--password P], user block|unblock|del NAME@DOMAIN, user list");
        return CTL_USAGE;
    }
    if (!ctl_need_conf(x))
        return CTL_FAILED;
    if ((w.verb == VERB_ADD || w.verb == VERB_PASSWD) && !read_password(w.password, password))
        goto out;
    if (!become_owner(x->conf))
        goto out;
    if (db_open(&db, x->conf->server.database, &why) != 0) {
        ctl_complain("%s", why.p ? why.p : "the database cannot be opened");
        goto out;
    }
    status = w.verb == VERB_LIST ? list_users(x, db) : change_user(x, db, w.verb, w.name, password);
out:
    explicit_bzero(password, sizeof password);
    db_close(&db);
    buf_fini(&why);
    return status;
}
