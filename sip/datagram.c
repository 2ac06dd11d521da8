/* The recvmsg() that Sofia calls. */
#include "sip/datagram.h"

#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/sipframe.h"

enum { DATAGRAM_MAX = 65536, SOCKETS_MAX = 256, QUEUE_BYTES = 4 * 1024 * 1024 };

static const struct addr *guarded;
static size_t n_guarded;
static int known[SOCKETS_MAX]; /* sockets found to be guarded, which live as long as the guard */
static size_t n_known;
static datagram_may_fn *may_pass;
static void *may_pass_arg;
static datagram_returned *returned;
static void *returned_arg;

void datagram_admit(datagram_may_fn *may, void *arg)
{
    may_pass = may;
    may_pass_arg = arg;
}

void datagram_returns(datagram_returned *fn, void *arg)
{
    returned = fn;
    returned_arg = arg;
}

void datagram_guard(const struct addr *locals, size_t n)
{
    guarded = locals;
    n_guarded = n;
    n_known = 0;
}

unsigned datagram_percent(void)
{
    uint32_t info[SK_MEMINFO_VARS], most = 0;

    for (size_t i = 0; i < n_known; i++) {
        socklen_t len = sizeof info;

        if (getsockopt(known[i], SOL_SOCKET, SO_MEMINFO, info, &len) == 0 && info[SK_MEMINFO_RCVBUF])
            most = TD_MAX(most, (uint32_t)((uint64_t)info[SK_MEMINFO_RMEM_ALLOC] * 100 / info[SK_MEMINFO_RCVBUF]));
    }
    return most;
}

/* Room for a burst: as much as net.core.rmem_max allows. */
static void add_known(int fd)
{
    const int room = QUEUE_BYTES;

    if (n_known == SOCKETS_MAX)
        return;
    (void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    known[n_known++] = fd;
}

static bool is_guarded(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr at;

    for (size_t i = 0; i < n_known; i++)
        if (known[i] == fd)
            return true;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return false;
    addr_from_socket(&at, &ss);
    for (size_t i = 0; i < n_guarded; i++)
        if (addr_eq(&at, &guarded[i])) {
            add_known(fd);
            return true;
        }
    return false;
}

static size_t gather(const struct msghdr *m, size_t n, char out[DATAGRAM_MAX])
{
    size_t done = 0;

    for (size_t i = 0; i < m->msg_iovlen && done < n; i++) {
        size_t part = TD_MIN(m->msg_iov[i].iov_len, n - done);

        memcpy(out + done, m->msg_iov[i].iov_base, part);
        done += part;
    }
    return done;
}

/* Empty lines in front of the message are taken off, which is all that Sofia would see of it (RFC 3261 s.7.5): p with n bytes goes to where it was read. */
static ssize_t put_back(const struct msghdr *m, const char *p, size_t n)
{
    size_t done = 0;

    for (size_t i = 0; i < m->msg_iovlen && done < n; i++) {
        size_t part = TD_MIN(m->msg_iov[i].iov_len, n - done);

        memmove(m->msg_iov[i].iov_base, p + done, part);
        done += part;
    }
    return (ssize_t)done;
}

static void answer(int fd, const struct msghdr *m, const char *p, const struct sipframe *f)
{
    struct buf out = BUF_INIT;

    /* Lost is lost: who asked asks again. */
    if (sipframe_answer(&out, p, f) && !buf_failed(&out))
        (void)!sendto(fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL, m->msg_name, m->msg_namelen);
    buf_fini(&out);
}

static struct addr name_of(const struct msghdr *m)
{
    struct sockaddr_storage ss = { 0 };
    struct addr a;

    memcpy(&ss, m->msg_name, TD_MIN((size_t)m->msg_namelen, sizeof ss));
    addr_from_socket(&a, &ss);
    return a;
}

static bool is_admitted(const struct msghdr *m, struct sv text)
{
    struct addr source;

    if (!may_pass)
        return true;
    source = name_of(m);
    return may_pass(may_pass_arg, &source, text.n && !sv_starts(text, SV("SIP/2.0 ")));
}

/* Sofia takes this for a keep-alive, and does nothing. */
static ssize_t make_nothing(const struct msghdr *m)
{
    size_t n = TD_MIN(m->msg_iov[0].iov_len, (size_t)2);

    memcpy(m->msg_iov[0].iov_base, "\r\n", n);
    return (ssize_t)n;
}

/* n bytes were read; how many Sofia may have. */
static ssize_t judge(int fd, const struct msghdr *m, size_t n)
{
    static char gathered[DATAGRAM_MAX];
    const char *p = m->msg_iov[0].iov_base;
    size_t skip = 0;
    struct sipframe f;

    if (m->msg_iov[0].iov_len < n) {
        n = gather(m, TD_MIN(n, sizeof gathered), gathered);
        p = gathered;
    }
    while (skip + 2 <= n && p[skip] == '\r' && p[skip + 1] == '\n')
        skip += 2;
    if (!is_admitted(m, sv_make(p + skip, n - skip)))
        return make_nothing(m);
    if (skip == n) {
        if (skip >= 4) /* ping, pong, as on streams: RFC 5626 s.4.4.1 */
            (void)!sendto(fd, "\r\n", 2, MSG_DONTWAIT | MSG_NOSIGNAL, m->msg_name, m->msg_namelen);
        return make_nothing(m);
    }
    sipframe_datagram(p + skip, n - skip, &f);
    if (f.kind == SIPFRAME_OK)
        return skip ? put_back(m, p + skip, n - skip) : (ssize_t)n;
    answer(fd, m, p + skip, &f);
    return make_nothing(m);
}

/* A socket of Sofia's that asks who sent it: UDP. Visible, so that libraries call this one. */
__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

    if (n <= 0 || !n_guarded || !m->msg_name || !m->msg_iovlen || (flags & MSG_PEEK) || !is_guarded(fd))
        return n;
    if (flags & MSG_ERRQUEUE) { /* what we have sent, and not what its name says */
        struct addr to = name_of(m);

        if (returned)
            returned(returned_arg, &to, sv_make(m->msg_iov[0].iov_base, TD_MIN((size_t)n, m->msg_iov[0].iov_len)));
        return n;
    }
    return judge(fd, m, (size_t)n);
}
