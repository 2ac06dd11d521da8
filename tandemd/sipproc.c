/* Supervision of the SIP process. */
#include "tandemd/sipproc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/crypto.h"
#include "common/err.h"
#include "common/log.h"

enum {
    CHILD_CONTROL_FD = 3,
    CHILD_CONF_FD = 4,
    SAFE_FD = 10,           /* descriptors from here on are not overwritten by those two */
    PING_MS = 2000,
    SILENCE_MS = 10000,     /* no answer for so long: it hangs */
    STEADY_MS = 10000,      /* ran for so long: the next death is a first one again */
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 5000,
    STOP_MS = 1000,
    BOX_LOG_MAX = 200,
};

struct sipproc {
    struct loop *loop;            /* borrowed */
    struct pump *const *pumps;    /* borrowed */
    size_t n_pumps;
    struct stats *stats;          /* borrowed */
    struct sipproc_events events;
    char *dump;                   /* owned: the configuration as text */
    size_t dump_n;
    pid_t pid;                    /* 0: none */
    struct loop_io control;
    struct wheel_timer timer;     /* the next ping, or the next start */
    bool was_ready;               /* some process has been ready */
    bool is_ready;
    bool fault_told;
    bool conf_due;                /* it has not been told yet, as the socket was full */
    struct buf unsent;            /* other records that did not fit, each behind its size; in their order */
    size_t unsent_at;             /* octets of it that are sent */
    uint64_t started_ms, heard_ms, backoff_ms;
    char secrets[PUMP_TEXT_MAX];  /* for the marks, and what names this run of the server */
    struct pump_shared *shared;   /* owned mapping */
    int box_fd;                   /* owned: its file */
};

static int spawn(struct sipproc *p);

static void forget_unsent(struct sipproc *p)
{
    buf_fini(&p->unsent);
    p->unsent_at = 0;
}

/* ---- the end of a process ---- */

static void describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

static void log_box(struct sipproc *p)
{
    struct buf text = BUF_INIT;

    p->shared->box[PUMP_BOX_SIZE - 1] = '\0';
    if (p->shared->box[0]) {
        buf_add_escaped(&text, sv_of(p->shared->box), BOX_LOG_MAX);
        log_warn("sip", 0, "it was working on: %s", text.p ? text.p : "");
    }
    p->shared->box[0] = '\0';
    buf_fini(&text);
}

static void schedule(struct sipproc *p)
{
    uint64_t now = loop_now_ms(p->loop);

    if (now - p->started_ms >= STEADY_MS)
        p->backoff_ms = 0;
    loop_timer_start(p->loop, &p->timer, p->backoff_ms);
    p->backoff_ms = p->backoff_ms ? TD_MIN(p->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS) : BACKOFF_FIRST_MS;
}

static void fail(struct sipproc *p, const char *reason)
{
    if (p->fault_told)
        return;
    p->fault_told = true;
    log_error("sip", 0, "the SIP process cannot work: %s", reason);
    loop_timer_stop(p->loop, &p->timer);
    p->events.failed(p->events.arg, reason);
}

static void on_death(struct sipproc *p)
{
    char how[80];
    int fd = p->control.fd, status = 0;

    loop_remove(p->loop, &p->control);
    close(fd);
    forget_unsent(p);
    kill(p->pid, SIGKILL); /* whatever it is doing, it is of no use without its control socket */
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    describe_end(status, how, sizeof how);
    log_error("sip", 0, "the SIP process %d has ended: %s", (int)p->pid, how);
    log_box(p);
    p->pid = 0;
    p->is_ready = false;
    for (size_t i = 0; i < p->n_pumps; i++)
        pump_link_down(p->pumps[i]);
    if (p->fault_told)
        return;
    stats_inc(p->stats, STAT_sip_restarts);
    schedule(p);
}

/* ---- telling it ---- */

static int memfd_with(const char *name, const char *text, size_t n)
{
    int fd = memfd_create(name, MFD_CLOEXEC), high;

    if (fd < 0)
        return -1;
    for (size_t at = 0; at < n;) {
        ssize_t done = write(fd, text + at, n - at);

        if (done < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        at += done > 0 ? (size_t)done : 0;
    }
    high = fcntl(fd, F_DUPFD_CLOEXEC, SAFE_FD);
    close(fd);
    return high;
}

static void tell_conf(struct sipproc *p)
{
    struct pump_rec r = { .type = PUMP_CONF };
    int file;

    p->conf_due = false;
    if (!p->is_ready)
        return; /* it will be started with it, or told when it is up */
    file = memfd_with("tandem-conf", p->dump, p->dump_n);
    p->conf_due = file < 0 || pump_rec_send(p->control.fd, &r, file, MSG_DONTWAIT) < 0;
    if (file >= 0)
        close(file);
}

void sipproc_configure(struct sipproc *p, const struct conf *conf)
{
    struct buf dump = BUF_INIT;

    conf_dump(conf, &dump);
    if (buf_failed(&dump)) {
        log_error("sip", 0, "out of memory: the SIP process keeps its configuration");
        buf_fini(&dump);
        return;
    }
    free(p->dump);
    p->dump = dump.p;
    p->dump_n = dump.n;
    p->conf_due = true;
    tell_conf(p);
    p->conf_due = p->conf_due || !p->is_ready;
}

/* False: it does not fit now. A dead process takes everything: its successor is told anew. */
static bool offer(struct sipproc *p, const void *rec, size_t n)
{
    return send(p->control.fd, rec, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

static void send_unsent(struct sipproc *p)
{
    while (p->unsent_at < p->unsent.n) {
        const char *at = p->unsent.p + p->unsent_at;
        uint16_t n;

        memcpy(&n, at, sizeof n);
        if (!offer(p, at + sizeof n, n))
            return;
        p->unsent_at += sizeof n + n;
    }
    forget_unsent(p);
    loop_want(p->loop, &p->control, LOOP_READ);
}

static void tell(struct sipproc *p, const struct pump_rec *r)
{
    struct {
        uint16_t n;
        char rec[sizeof *r];
    } whole = { .n = (uint16_t)pump_rec_size(r) };

    if (!p->is_ready)
        return; /* it begins with what is known then */
    if (!p->unsent.n && offer(p, r, whole.n))
        return;
    memcpy(whole.rec, r, whole.n);
    buf_add(&p->unsent, &whole, sizeof whole.n + whole.n);
    if (buf_failed(&p->unsent))
        log_error("sip", 0, "out of memory: the SIP process is not told of a ban or a changed user");
    loop_want(p->loop, &p->control, LOOP_READ | LOOP_WRITE);
}

void sipproc_ban(struct sipproc *p, const struct addr *a, uint64_t seconds)
{
    tell(p, &(struct pump_rec){ .type = PUMP_BAN, .peer = *a, .seconds = (uint32_t)TD_MIN(seconds, (uint64_t)UINT32_MAX) });
}

void sipproc_forget(struct sipproc *p)
{
    tell(p, &(struct pump_rec){ .type = PUMP_FORGET });
}

const struct stats *sipproc_stats(const struct sipproc *p)
{
    return &p->shared->stats;
}

/* ---- records ---- */

static void on_ready(struct sipproc *p, const struct pump_rec *r)
{
    struct pump_link *link;
    int fd = fcntl(p->control.fd, F_DUPFD_CLOEXEC, SAFE_FD);

    if (fd < 0 || pump_link_new(&link, fd, r->ports) != TD_OK) {
        log_error("sip", 0, "cannot hand streams to the SIP process: %s", strerror(errno));
        kill(p->pid, SIGKILL);
        return;
    }
    for (size_t i = 0; i < p->n_pumps; i++)
        pump_link_up(p->pumps[i], link);
    pump_link_unref(&link);
    p->is_ready = true;
    p->events.up(p->events.arg);
    if (p->conf_due)
        tell_conf(p);
    log_info("sip", 0, "the SIP process %d is up after %llu ms", (int)p->pid,
             (unsigned long long)(loop_now_ms(p->loop) - p->started_ms));
    if (!p->was_ready) {
        p->was_ready = true;
        p->events.ready(p->events.arg);
    }
}

static void on_record(struct sipproc *p, const struct pump_rec *r)
{
    switch (r->type) {
    case PUMP_READY:
        on_ready(p, r);
        break;
    case PUMP_GONE:
    case PUMP_KEEP:
        if (r->worker < p->n_pumps)
            pump_tell(p->pumps[r->worker], r);
        break;
    case PUMP_DIAL:
        pump_tell(p->pumps[r->dial_id % p->n_pumps], r);
        break;
    case PUMP_BAN:
        if (r->kind < LIMITS_WHY_N)
            p->events.ban(p->events.arg, &r->peer, (enum limits_why)r->kind);
        break;
    case PUMP_FAULT:
        if (!p->was_ready)
            fail(p, r->text);
        else
            log_error("sip", 0, "the SIP process could not start: %s", r->text);
        break;
    default:
        break; /* PONG: being heard is all it says */
    }
}

static void on_control(struct loop_io *io, uint32_t events)
{
    struct sipproc *p = TD_CONTAINER_OF(io, struct sipproc, control);

    if (events & LOOP_WRITE)
        send_unsent(p);
    for (int i = 0; i < 256 && io->fd >= 0; i++) {
        struct pump_rec r;
        ssize_t n = recv(io->fd, &r, sizeof r, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            on_death(p);
            return;
        }
        p->heard_ms = loop_now_ms(p->loop);
        if (pump_rec_check(&r, (size_t)n))
            on_record(p, &r);
    }
}

static void on_timer(struct wheel_timer *t)
{
    struct sipproc *p = TD_CONTAINER_OF(t, struct sipproc, timer);
    struct pump_rec ping = { .type = PUMP_PING };
    int err;

    if (!p->pid) {
        err = spawn(p);
        if (err) {
            log_error("sip", 0, "cannot start the SIP process: %s", td_err_text(err));
            schedule(p);
        }
        return;
    }
    if (p->conf_due)
        tell_conf(p);
    if (loop_now_ms(p->loop) - p->heard_ms >= SILENCE_MS) {
        log_error("sip", 0, "the SIP process %d does not answer: killed", (int)p->pid);
        kill(p->pid, SIGKILL); /* the closed control socket tells */
    } else if (send(p->control.fd, &ping, pump_rec_size(&ping), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        log_debug("sip", 0, "ping: %s", strerror(errno));
    }
    loop_timer_start(p->loop, t, PING_MS);
}

/* ---- starting ---- */

static int send_hello(struct sipproc *p, int fd)
{
    struct pump_rec r = { .type = PUMP_HELLO };

    memcpy(r.text, p->secrets, sizeof p->secrets);
    return pump_rec_send(fd, &r, p->box_fd, 0) < 0 ? td_err_from_errno(errno) : TD_OK;
}

static int run(struct sipproc *p, int control_fd, int conf_fd)
{
    char control_arg[16], conf_arg[32];
    char *argv[] = { (char[]){ "tandemd" }, (char[]){ "--sip" }, control_arg, (char[]){ "-c" }, conf_arg, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, dfl;
    int num;

    snprintf(control_arg, sizeof control_arg, "%d", CHILD_CONTROL_FD);
    snprintf(conf_arg, sizeof conf_arg, "/dev/fd/%d", CHILD_CONF_FD);
    sigemptyset(&none);
    sigemptyset(&dfl);
    sigaddset(&dfl, SIGTERM);
    sigaddset(&dfl, SIGINT);
    sigaddset(&dfl, SIGHUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, control_fd, CHILD_CONTROL_FD);
    posix_spawn_file_actions_adddup2(&actions, conf_fd, CHILD_CONF_FD);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &dfl);
    posix_spawnattr_setpgroup(&attr, 0); /* a terminal's Ctrl-C is the edge's business */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    num = posix_spawn(&p->pid, "/proc/self/exe", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (num)
        p->pid = 0;
    return num ? td_err_from_errno(num) : TD_OK;
}

static int spawn(struct sipproc *p)
{
    int sv[2] = { -1, -1 }, child = -1, conf_fd = -1, err;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
        return td_err_from_errno(errno);
    child = fcntl(sv[1], F_DUPFD_CLOEXEC, SAFE_FD);
    close(sv[1]);
    conf_fd = memfd_with("tandem-conf", p->dump, p->dump_n);
    if (child < 0 || conf_fd < 0) {
        err = td_err_from_errno(errno);
        goto out;
    }
    err = send_hello(p, sv[0]);
    if (err)
        goto out;
    err = run(p, child, conf_fd);
    if (err)
        goto out;
    p->control.ready = on_control;
    err = loop_add(p->loop, &p->control, sv[0], LOOP_READ);
    if (err) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        p->pid = 0;
        goto out;
    }
    sv[0] = -1;
    p->started_ms = p->heard_ms = loop_now_ms(p->loop);
    loop_timer_start(p->loop, &p->timer, PING_MS);
out:
    if (sv[0] >= 0)
        close(sv[0]);
    if (child >= 0)
        close(child);
    if (conf_fd >= 0)
        close(conf_fd);
    return err;
}

/* ---- life ---- */

static int box_new(struct sipproc *p)
{
    void *at;

    p->box_fd = memfd_create("tandem-box", MFD_CLOEXEC);
    if (p->box_fd < 0 || ftruncate(p->box_fd, sizeof *p->shared) < 0)
        return td_err_from_errno(errno);
    at = mmap(NULL, sizeof *p->shared, PROT_READ | PROT_WRITE, MAP_SHARED, p->box_fd, 0);
    if (at == MAP_FAILED)
        return td_err_from_errno(errno);
    p->shared = at;
    return TD_OK;
}

static void sipproc_free(struct sipproc *p)
{
    if (p->shared)
        munmap(p->shared, sizeof *p->shared);
    if (p->box_fd >= 0)
        close(p->box_fd);
    forget_unsent(p);
    free(p->dump);
    free(p);
}

int sipproc_start(struct sipproc **out, struct loop *l, const struct conf *conf, const char *secret, struct pump *const *pumps,
                  size_t n_pumps, struct stats *stats, const struct sipproc_events *events)
{
    struct sipproc *p = calloc(1, sizeof *p);
    struct buf dump = BUF_INIT;
    int err;

    *out = NULL;
    if (!p)
        return TD_ENOMEM;
    p->loop = l;
    p->pumps = pumps;
    p->n_pumps = n_pumps;
    p->stats = stats;
    p->events = *events;
    p->box_fd = -1;
    p->control.fd = -1;
    wheel_timer_init(&p->timer, on_timer);
    snprintf(p->secrets, sizeof p->secrets, "%s", secret);
    crypto_random_name(p->secrets + strlen(p->secrets), PUMP_RUN_LEN);
    conf_dump(conf, &dump);
    p->dump = dump.p;
    p->dump_n = dump.n;
    err = buf_failed(&dump) ? TD_ENOMEM : box_new(p);
    if (!err)
        err = spawn(p);
    if (err) {
        sipproc_free(p);
        return err;
    }
    *out = p;
    return TD_OK;
}

void sipproc_stop(struct sipproc **pp)
{
    struct sipproc *p = *pp;
    struct timespec pause = { .tv_nsec = 5000000 };
    int fd;

    if (!p)
        return;
    *pp = NULL;
    loop_timer_stop(p->loop, &p->timer);
    if (p->pid) {
        fd = p->control.fd;
        loop_remove(p->loop, &p->control);
        shutdown(fd, SHUT_RDWR); /* workers may still hold the socket */
        close(fd);
        for (int i = 0; i < STOP_MS / 5; i++) {
            if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
                p->pid = 0;
                break;
            }
            nanosleep(&pause, NULL);
        }
        if (p->pid) {
            kill(p->pid, SIGKILL);
            while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
    sipproc_free(p);
}

int sipproc_pid(const struct sipproc *p)
{
    return (int)p->pid;
}
