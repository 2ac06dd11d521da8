/* The control socket: a thread that accepts operators and answers them line by line.
 *
 * One client has at most one request line and one answer in memory: while an
 * answer waits to be read, nothing more is read from that client. */
#include "ctl/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"

struct client {
    int fd; /* -1: free */
    unsigned uid;
    struct buf in, out;
    size_t sent; /* of out */
    bool last;   /* close when out is sent */
    int64_t active_s;
};

struct rpc {
    struct rpc_options o; /* path is owned */
    int listen_fd, wake_fd;
    struct stat socket; /* what we bound, so that we remove no other */
    pthread_t thread;
    bool running;
    struct client clients[RPC_CLIENTS_MAX];
};

static int64_t now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    buf_fini(&c->in);
    buf_fini(&c->out);
    *c = (struct client){ .fd = -1 };
}

/* Send what waits. False: the client is gone or done. */
static bool client_send(struct client *c)
{
    while (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        c->sent += (size_t)n;
        c->active_s = now_s();
    }
    c->sent = 0;
    buf_fini(&c->out); /* answers may be large: keep none of the memory */
    return !c->last;
}

/* Answer whole lines until an answer has to wait. False: close the client. */
static bool client_serve(struct rpc *r, struct client *c)
{
    while (!c->out.n && !c->last) {
        struct sv all = buf_sv(&c->in), line;
        size_t end = sv_find(all, '\n');

        if (end > RPC_REQUEST_MAX) {
            buf_printf(&c->out,
                       "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"a line over %d bytes\"},\"id\":null}\n",
                       RPC_REQUEST_MAX);
            c->last = true;
            return client_send(c);
        }
        if (end == all.n)
            return true;
        line = sv_trim(sv_upto(all, end));
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n)
            rpc_answer(&r->o, c->uid, line, &c->out);
        if (buf_failed(&c->out))
            return false;
        buf_drop_front(&c->in, end + 1);
        if (!client_send(c))
            return false;
    }
    return true;
}

static bool client_read(struct rpc *r, struct client *c)
{
    char chunk[16384];
    ssize_t n = recv(c->fd, chunk, TD_MIN(sizeof chunk, RPC_REQUEST_MAX + 1 - c->in.n), MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (n == 0)
        return false;
    c->active_s = now_s();
    buf_add(&c->in, chunk, (size_t)n);
    return !buf_failed(&c->in) && client_serve(r, c);
}

static void accept_client(struct rpc *r)
{
    static const char busy[] = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32005,\"message\":\"too many clients\"},\"id\":null}\n";
    struct ucred who = { .uid = (uid_t)-1 };
    socklen_t len = sizeof who;
    int fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    size_t i = 0;

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR) /* out of descriptors: do not spin until some are free */
            nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000 * 1000 }, NULL);
        return;
    }
    while (i < RPC_CLIENTS_MAX && r->clients[i].fd >= 0)
        i++;
    if (i == RPC_CLIENTS_MAX) {
        (void)!send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL);
        close(fd);
        return;
    }
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    r->clients[i] = (struct client){ .fd = fd, .uid = who.uid, .active_s = now_s() };
}

static void *rpc_main(void *arg)
{
    struct rpc *r = arg;
    struct pollfd fds[2 + RPC_CLIENTS_MAX];

    for (;;) {
        int64_t now;

        fds[0] = (struct pollfd){ .fd = r->wake_fd, .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = r->listen_fd, .events = POLLIN };
        for (size_t i = 0; i < RPC_CLIENTS_MAX; i++)
            fds[2 + i] = (struct pollfd){ .fd = r->clients[i].fd, .events = r->clients[i].out.n ? POLLOUT : POLLIN };
        if (poll(fds, TD_ARRAY_LEN(fds), 10 * 1000) < 0 && errno != EINTR) {
            log_error("ctl", 0, "poll: %s", td_err_text(-errno));
            return NULL;
        }
        if (fds[0].revents)
            return NULL;
        now = now_s();
        for (size_t i = 0; i < RPC_CLIENTS_MAX; i++) {
            struct client *c = &r->clients[i];
            bool keep = true;

            if (c->fd < 0)
                continue;
            if (fds[2 + i].revents & POLLOUT)
                keep = client_send(c) && client_serve(r, c);
            else if (fds[2 + i].revents)
                keep = client_read(r, c);
            else
                keep = now - c->active_s < RPC_IDLE_S;
            if (!keep)
                client_close(c);
        }
        if (fds[1].revents)
            accept_client(r);
    }
}

/* A socket nobody answers on is left over from a server that was killed. */
static int remove_dead_socket(const struct sockaddr_un *a, struct buf *why)
{
    struct stat st;
    int fd, answers;

    if (lstat(a->sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode)) {
        buf_printf(why, "%s is in the way: not a socket", a->sun_path);
        return TD_EEXIST;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return td_err_from_errno(errno);
    answers = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno != ECONNREFUSED;
    close(fd);
    if (answers) {
        buf_printf(why, "%s: another server answers there", a->sun_path);
        return TD_EINUSE;
    }
    unlink(a->sun_path);
    return 0;
}

/* Make the folder of the socket; only its last step, and without complaint: bind() will tell. */
static void make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder;

    if (!slash || slash == path)
        return;
    folder = sv_dup(sv_make(path, (size_t)(slash - path)));
    if (folder)
        mkdir(folder, 0755);
    free(folder);
}

static int bind_socket(struct rpc *r, struct buf *why)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int err;

    if (!sv_copy(sv_of(r->o.path), a.sun_path, sizeof a.sun_path)) {
        buf_printf(why, "%s: too long for a socket", r->o.path);
        return TD_EINVAL;
    }
    make_folder(r->o.path);
    err = remove_dead_socket(&a, why);
    if (err)
        return err;
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode given before bind() is the most the file ever has; chmod() undoes the umask. */
    if (r->listen_fd < 0 || fchmod(r->listen_fd, 0660) != 0 || bind(r->listen_fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        chmod(a.sun_path, 0660) != 0 || lstat(a.sun_path, &r->socket) != 0 || listen(r->listen_fd, 16) != 0) {
        buf_printf(why, "%s: %s", r->o.path, td_err_text(-errno));
        return td_err_from_errno(errno);
    }
    return 0;
}

static void remove_socket(struct rpc *r)
{
    struct stat st;

    if (r->socket.st_ino && lstat(r->o.path, &st) == 0 && st.st_ino == r->socket.st_ino && st.st_dev == r->socket.st_dev)
        unlink(r->o.path);
}

int rpc_start(struct rpc **out, const struct rpc_options *o, struct buf *why)
{
    sigset_t all, before;
    struct rpc *r;
    int err = TD_ENOMEM;

    *out = NULL;
    r = calloc(1, sizeof *r);
    if (!r)
        goto out;
    r->listen_fd = r->wake_fd = -1;
    for (size_t i = 0; i < RPC_CLIENTS_MAX; i++)
        r->clients[i].fd = -1;
    r->o = *o;
    r->o.path = sv_dup(sv_of(o->path));
    if (!r->o.path)
        goto out;
    err = bind_socket(r, why);
    if (err)
        goto out;
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->wake_fd < 0) {
        err = td_err_from_errno(errno);
        goto out;
    }
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = td_err_from_errno(pthread_create(&r->thread, NULL, rpc_main, r));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        goto out;
    pthread_setname_np(r->thread, "tandem-ctl");
    r->running = true;
    *out = r;
    r = NULL;
out:
    if (err && !why->n)
        buf_printf(why, "control socket: %s", td_err_text(err));
    rpc_stop(&r);
    return err;
}

void rpc_stop(struct rpc **rp)
{
    struct rpc *r = *rp;

    if (!r)
        return;
    *rp = NULL;
    if (r->running) {
        eventfd_write(r->wake_fd, 1);
        pthread_join(r->thread, NULL);
    }
    for (size_t i = 0; i < RPC_CLIENTS_MAX; i++)
        client_close(&r->clients[i]);
    if (r->o.path)
        remove_socket(r);
    if (r->listen_fd >= 0)
        close(r->listen_fd);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    free((char *)r->o.path);
    free(r);
}
