/* The other end of the control socket. */
#include "ctl/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/err.h"
#include "ctl/rpc.h"

enum { ANSWER_WAIT_S = 30 };

int ask_dial(int *fd, const char *path, struct buf *why)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    const struct timeval wait = { .tv_sec = ANSWER_WAIT_S };
    int err;

    *fd = -1;
    if (!sv_copy(sv_of(path), a.sun_path, sizeof a.sun_path)) {
        buf_printf(why, "%s: too long for a socket", path);
        return TD_EINVAL;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (struct sockaddr *)&a, sizeof a) == 0) {
        setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        return 0;
    }
    err = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    switch (err) {
    case ENOENT:
    case ECONNREFUSED: buf_printf(why, "no server answers on %s: is tandemd running?", path); return TD_ENOENT;
    case EACCES:
    case EPERM: buf_printf(why, "%s: permission denied: ask as root, or as a member of the socket's group", path); return TD_EPERM;
    default: buf_printf(why, "%s: %s", path, td_err_text(-err)); return td_err_from_errno(err);
    }
}

static int send_line(int fd, json_t *request)
{
    struct buf line = BUF_INIT;
    char *text = json_dumps(request, JSON_COMPACT);
    size_t sent = 0;
    int err = text ? 0 : TD_ENOMEM;

    if (text)
        buf_printf(&line, "%s\n", text);
    free(text);
    while (!err && sent < line.n) {
        ssize_t n = send(fd, line.p + sent, line.n - sent, MSG_NOSIGNAL);

        if (n >= 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            err = errno == EAGAIN ? TD_ETIMEOUT : TD_ECLOSED;
    }
    buf_fini(&line);
    return err;
}

/* One answer is one line: nothing is left over, as one question is asked at a time. */
static int read_line(int fd, struct buf *line)
{
    char chunk[65536];

    while (!line->n || line->p[line->n - 1] != '\n') {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? TD_ETIMEOUT : TD_ECLOSED;
        if (n == 0)
            return TD_ECLOSED;
        if (line->n + (size_t)n > (size_t)RPC_ANSWER_MAX * 2)
            return TD_ELIMIT;
        buf_add(line, chunk, (size_t)n);
        if (buf_failed(line))
            return TD_ENOMEM;
    }
    return 0;
}

int ask_call(int fd, const char *method, json_t *params, json_t **result, json_t **data, struct buf *why)
{
    json_t *request = json_pack("{s:s, s:i, s:s}", "jsonrpc", "2.0", "id", 1, "method", method);
    json_t *answer = NULL, *error;
    struct buf line = BUF_INIT;
    int err;

    *result = NULL;
    if (data)
        *data = NULL;
    if (params && request)
        json_object_set(request, "params", params);
    err = request ? send_line(fd, request) : TD_ENOMEM;
    if (!err)
        err = read_line(fd, &line);
    if (err) {
        buf_printf(why, "no answer from the server: %s", td_err_text(err));
        goto out;
    }
    answer = json_loadb(line.p, line.n, 0, NULL);
    *result = json_incref(json_object_get(answer, "result"));
    if (*result)
        goto out;
    error = json_object_get(answer, "error");
    buf_add_escaped(why, sv_of(json_string_value(json_object_get(error, "message"))), 1000);
    if (!why->n)
        buf_puts(why, "the server's answer cannot be understood");
    if (data)
        *data = json_incref(json_object_get(error, "data"));
    err = json_integer_value(json_object_get(error, "code")) == RPC_ERR_NOT_FOUND ? TD_ENOENT : TD_EINVAL;
out:
    json_decref(params);
    json_decref(request);
    json_decref(answer);
    buf_fini(&line);
    return err;
}
