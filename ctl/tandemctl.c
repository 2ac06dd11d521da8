/* tandemctl: the operator's tool. Users are kept in the database (ctl/user.c); all else is asked of the running server
 * over its control socket. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "ctl/show.h"

void ctl_complain(const char *fmt, ...)
{
    va_list ap;

    fputs("tandemctl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool ctl_need_conf(struct ctl *x)
{
    const char *file = x->config ? x->config : SYSCONFDIR "/tandem/tandem.ini";
    struct buf faults = BUF_INIT;
    int err;

    if (x->conf)
        return true;
    if (!x->config && access(file, F_OK) != 0)
        file = NULL; /* the server cannot have read one either */
    err = conf_load(&x->conf, file, NULL, 0, &faults);
    if (err)
        fputs(err == TD_EINVAL && faults.p ? faults.p : "tandemctl: out of memory\n", stderr);
    buf_fini(&faults);
    return err == 0;
}

const char *ctl_socket(struct ctl *x)
{
    if (x->socket)
        return x->socket;
    return ctl_need_conf(x) ? x->conf->server.control : NULL;
}

int ctl_print(struct buf *out)
{
    bool good = !buf_failed(out) && fwrite(out->p, 1, out->n, stdout) == out->n && fflush(stdout) == 0;

    buf_fini(out);
    return good ? CTL_OK : CTL_FAILED;
}

int ctl_print_json(json_t *value)
{
    bool good = value && json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0 && fputc('\n', stdout) != EOF &&
                fflush(stdout) == 0;

    json_decref(value);
    return good ? CTL_OK : CTL_FAILED;
}

static int dial(struct ctl *x, int *fd)
{
    struct buf why = BUF_INIT;
    const char *path = ctl_socket(x);
    int status = CTL_FAILED;

    *fd = -1;
    if (path && ask_dial(fd, path, &why) == 0)
        return CTL_OK;
    if (path) {
        ctl_complain("%s", why.p ? why.p : path);
        status = CTL_NO_SERVER;
    }
    buf_fini(&why);
    return status;
}

/* Faults that came with an error, one a line. */
static void complain_faults(const json_t *data)
{
    json_t *fault;
    size_t i;

    json_array_foreach(json_object_get(data, "faults"), i, fault) {
        struct buf line = BUF_INIT;

        buf_add_escaped(&line, sv_of(json_string_value(fault)), 1000);
        fprintf(stderr, "%s\n", line.p ? line.p : "");
        buf_fini(&line);
    }
}

/* Ask and, when it was refused, say why. Takes params. */
static int ask(struct ctl *x, int fd, const char *method, json_t *params, json_t **result)
{
    struct buf why = BUF_INIT;
    json_t *data = NULL;
    int err = ask_call(fd, method, params, result, &data, &why);

    if (err) {
        complain_faults(data);
        ctl_complain("%s", why.p ? why.p : td_err_text(err));
    }
    json_decref(data);
    buf_fini(&why);
    if (err == TD_ECLOSED || err == TD_ETIMEOUT)
        return CTL_NO_SERVER;
    return err ? CTL_FAILED : CTL_OK;
}

typedef void show_fn(const json_t *result, struct buf *out);

/* One question. Takes params. */
static int ask_once(struct ctl *x, const char *method, json_t *params, json_t **result)
{
    int fd, status = dial(x, &fd);

    *result = NULL;
    if (status != CTL_OK) {
        json_decref(params);
        return status;
    }
    status = ask(x, fd, method, params, result);
    close(fd);
    return status;
}

/* As it is (show NULL, or --json) or as a table. Takes result. */
static int show_result(struct ctl *x, json_t *result, show_fn *show)
{
    struct buf out = BUF_INIT;

    if (x->json || !show)
        return ctl_print_json(result);
    show(result, &out);
    json_decref(result);
    return ctl_print(&out);
}

static int ask_and_show(struct ctl *x, const char *method, json_t *params, show_fn *show)
{
    json_t *result;
    int status = ask_once(x, method, params, &result);

    return status == CTL_OK ? show_result(x, result, show) : status;
}

static int usage_of(const char *text)
{
    ctl_complain("usage: %s", text);
    return CTL_USAGE;
}

/* A whole decimal number; false for anything else. */
static bool to_number(const char *text, int64_t *out)
{
    uint64_t number;

    if (!sv_to_u64(sv_of(text), &number, NULL) || number > INT64_MAX)
        return false;
    *out = (int64_t)number;
    return true;
}

static void show_kick(const json_t *result, struct buf *out)
{
    buf_puts(out, "session ended\n");
}

static void show_banned(const json_t *result, struct buf *out)
{
    buf_printf(out, "%s\n", json_string_value(json_object_get(result, "address")));
}

static int cmd_ban(struct ctl *x, int argc, char **argv)
{
    static const char usage[] = "ban list, ban add ADDRESS [SECONDS], ban del ADDRESS";
    int64_t seconds = 0;

    if (argc == 1 && strcmp(argv[0], "list") == 0)
        return ask_and_show(x, "core.ban", json_pack("[s]", "list"), show_bans);
    if (argc == 2 && strcmp(argv[0], "del") == 0)
        return ask_and_show(x, "core.ban", json_pack("[s, s]", "del", argv[1]), show_banned);
    if ((argc == 2 || argc == 3) && strcmp(argv[0], "add") == 0 && (argc == 2 || to_number(argv[2], &seconds)))
        return ask_and_show(x, "core.ban", json_pack("[s, s, I]", "add", argv[1], (json_int_t)seconds), show_banned);
    return usage_of(usage);
}

static int cmd_cmaplist(struct ctl *x, int argc, char **argv)
{
    return argc ? usage_of("cmaplist") : ask_and_show(x, "msrp.cmaplist", NULL, show_cmaplist);
}

static int cmd_connections(struct ctl *x, int argc, char **argv)
{
    return argc ? usage_of("connections") : ask_and_show(x, "core.connections", NULL, show_connections);
}

static int cmd_kick(struct ctl *x, int argc, char **argv)
{
    return argc != 1 ? usage_of("kick SESSION-ID")
                     : ask_and_show(x, "msrp.kick", json_pack("[s]", argv[0]), show_kick);
}

static int cmd_registrations(struct ctl *x, int argc, char **argv)
{
    return argc ? usage_of("registrations") : ask_and_show(x, "ul.dump", NULL, show_registrations);
}

static int cmd_reload(struct ctl *x, int argc, char **argv)
{
    json_t *result;
    bool whole;
    int status;

    if (argc)
        return usage_of("reload");
    status = ask_once(x, "core.reload", NULL, &result);
    if (status != CTL_OK)
        return status;
    whole = json_array_size(json_object_get(result, "faults")) == 0;
    complain_faults(result);
    if (!whole)
        ctl_complain("what these are about stays as it was; the rest of the configuration is in force");
    status = show_result(x, result, show_reload);
    return whole ? status : CTL_FAILED;
}

static int cmd_rpc(struct ctl *x, int argc, char **argv)
{
    json_error_t why;
    json_t *params = NULL;

    if (argc != 1 && argc != 2)
        return usage_of("rpc METHOD [JSON-PARAMS]");
    if (argc == 2) {
        params = json_loads(argv[1], 0, &why);
        if (!params) {
            ctl_complain("the parameters are not a JSON object or list: %s", why.text);
            return CTL_USAGE;
        }
    }
    return ask_and_show(x, argv[0], params, NULL);
}

static int cmd_sessions(struct ctl *x, int argc, char **argv)
{
    return argc ? usage_of("sessions") : ask_and_show(x, "msrp.sessions", NULL, show_sessions);
}

static int cmd_stats(struct ctl *x, int argc, char **argv)
{
    if (argc > 1)
        return usage_of("stats [NAME]");
    return ask_and_show(x, "stats.get", argc ? json_pack("[s]", argv[0]) : NULL, show_stats);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int cmd_top(struct ctl *x, int argc, char **argv)
{
    json_t *before = NULL, *now = NULL;
    int64_t every = 1, times = INT64_MAX;
    double asked = 0;
    int fd, status;

    if (argc > 2 || (argc > 0 && (!to_number(argv[0], &every) || every < 1 || every > 3600)) ||
        (argc > 1 && !to_number(argv[1], &times)))
        return usage_of("top [SECONDS [TIMES]]");
    status = dial(x, &fd);
    for (int64_t i = 0; status == CTL_OK && i < times; i++) {
        struct buf out = BUF_INIT;
        double last = asked;

        if (i)
            sleep((unsigned)every);
        status = ask(x, fd, "stats.get", NULL, &now);
        if (status != CTL_OK)
            break;
        asked = now_s();
        if (isatty(STDOUT_FILENO))
            buf_puts(&out, "\x1b[H\x1b[2J"); /* home, clear */
        show_rates(before, now, before ? asked - last : 0, &out);
        status = ctl_print(&out);
        json_decref(before);
        before = now;
        now = NULL;
    }
    json_decref(before);
    if (fd >= 0)
        close(fd);
    return status;
}

static const struct {
    const char *name, *args, *text;
    int (*run)(struct ctl *x, int argc, char **argv);
} commands[] = {
    { "user", "add|passwd|block|unblock|del|list ...", "subscribers, with or without a running server", ctl_user },
    { "sessions", "", "MSRP sessions", cmd_sessions },
    { "connections", "", "open connections", cmd_connections },
    { "registrations", "", "registered contacts", cmd_registrations },
    { "cmaplist", "", "the session table, as Kamailio shows it", cmd_cmaplist },
    { "stats", "[NAME]", "counters", cmd_stats },
    { "kick", "SESSION-ID", "end an MSRP session", cmd_kick },
    { "ban", "list|add|del ...", "sources that are shut out", cmd_ban },
    { "reload", "", "read the configuration again", cmd_reload },
    { "top", "[SECONDS [TIMES]]", "counters and their rates, again and again", cmd_top },
    { "rpc", "METHOD [JSON-PARAMS]", "call any method of the server", cmd_rpc },
};

static void print_usage(FILE *to)
{
    fputs("usage: tandemctl [-c FILE | -s SOCKET] [--json] COMMAND [ARG...]\n", to);
    for (size_t i = 0; i < TD_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-13s %-38s %s\n", commands[i].name, commands[i].args, commands[i].text);
}

/* Take the options away; argv keeps the command and its arguments. False: not understood. */
static bool parse_options(struct ctl *x, int *argc, char **argv)
{
    int n = 0;

    for (int i = 1; i < *argc; i++) {
        const char **value = strcmp(argv[i], "-c") == 0 ? &x->config : strcmp(argv[i], "-s") == 0 ? &x->socket : NULL;

        if (strcmp(argv[i], "--json") == 0) {
            x->json = true; /* also behind the command */
        } else if (n > 0) {
            argv[n++] = argv[i];
        } else if (value && i + 1 < *argc) {
            *value = argv[++i];
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            print_usage(stdout);
            exit(CTL_OK);
        } else if (strcmp(argv[i], "-V") == 0 || strcmp(argv[i], "--version") == 0) {
            puts("tandemctl " PACKAGE_VERSION);
            exit(CTL_OK);
        } else if (argv[i][0] == '-') {
            return false;
        } else {
            argv[n++] = argv[i];
        }
    }
    *argc = n;
    return n > 0;
}

int main(int argc, char **argv)
{
    struct ctl x = { 0 };
    int status = CTL_USAGE;

    if (!parse_options(&x, &argc, argv)) {
        print_usage(stderr);
        return CTL_USAGE;
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(commands); i++)
        if (strcmp(argv[0], commands[i].name) == 0) {
            status = commands[i].run(&x, argc - 1, argv + 1);
            conf_free(&x.conf);
            return status;
        }
    ctl_complain("no command %s; -h lists them", argv[0]);
    return status;
}
