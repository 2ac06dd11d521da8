/* A stream of MSRP frames: TCP or TLS, dialled or accepted. */
#include "config.h"

#include "client/link.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/trace.h"
#include "common/err.h"

enum { STATE_CONNECTING, STATE_HANDSHAKE, STATE_UP, STATE_CLOSED };
enum { CONNECT_MS = 10000, READS_PER_TURN = 16, QUEUE_KEEP = 4096 };

struct mc_tls {
    gnutls_certificate_credentials_t cred;
    gnutls_priority_t prio;
    bool no_verify, can_listen;
};

struct mc_listener {
    struct mc_net *net; /* back */
    struct loop_io io;
    bool tls;
};

/* ---- what all links share ---- */

static void tls_free(struct mc_tls **tp)
{
    struct mc_tls *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    if (t->cred)
        gnutls_certificate_free_credentials(t->cred);
    if (t->prio)
        gnutls_priority_deinit(t->prio);
    free(t);
}

static int tls_new(struct mc_tls **out, const struct mc_tls_opts *opts, struct buf *fault)
{
    struct mc_tls *t = calloc(1, sizeof *t);
    int err = TD_EINVAL, ret;

    *out = NULL;
    if (!t || gnutls_certificate_allocate_credentials(&t->cred) < 0) {
        err = TD_ENOMEM;
        buf_puts(fault, "out of memory");
        goto out;
    }
    t->no_verify = opts->no_verify;
    if (opts->ca_file)
        ret = gnutls_certificate_set_x509_trust_file(t->cred, opts->ca_file, GNUTLS_X509_FMT_PEM);
    else
        ret = opts->no_verify ? 0 : gnutls_certificate_set_x509_system_trust(t->cred);
    if (ret < 0) {
        buf_printf(fault, "%s: %s", opts->ca_file ? opts->ca_file : "the system's trusted certificates",
                   gnutls_strerror(ret));
        goto out;
    }
    if (opts->certificate) {
        const char *key = opts->private_key ? opts->private_key : opts->certificate;

        ret = gnutls_certificate_set_x509_key_file(t->cred, opts->certificate, key, GNUTLS_X509_FMT_PEM);
        if (ret < 0) {
            buf_printf(fault, "%s, %s: %s", opts->certificate, key, gnutls_strerror(ret));
            goto out;
        }
        t->can_listen = true;
    }
    ret = gnutls_priority_init(&t->prio, opts->priorities ? opts->priorities : "NORMAL", NULL);
    if (ret < 0) {
        buf_printf(fault, "TLS priorities: %s", gnutls_strerror(ret));
        goto out;
    }
    err = TD_OK;
    *out = t;
    t = NULL;
out:
    tls_free(&t);
    return err;
}

static void flush_dirty(struct loop_defer *d);

int mc_net_init(struct mc_net *net, struct loop *loop, const struct mc_link_ops *ops, const struct mc_tls_opts *tls,
                struct buf *fault)
{
    int err;

    memset(net, 0, sizeof *net);
    net->loop = loop;
    net->ops = ops;
    list_init(&net->links);
    list_init(&net->dirty);
    net->flush.run = flush_dirty;
    err = tls_new(&net->tls, tls, fault);
    if (err)
        return err;
    net->read_buf = malloc(MC_HEAD_MAX + MC_READ_SIZE + 1);
    if (!net->read_buf) {
        tls_free(&net->tls);
        buf_puts(fault, "out of memory");
        return TD_ENOMEM;
    }
    return TD_OK;
}

void mc_net_fini(struct mc_net *net)
{
    while (!list_is_empty(&net->links))
        mc_link_close(list_item(net->links.next, struct mc_link, node), "the program ends");
    loop_turn(net->loop, 0); /* the deferred frees */
    tls_free(&net->tls);
    free(net->read_buf);
    net->read_buf = NULL;
}

/* ---- life of a link ---- */

static void link_ready(struct loop_io *io, uint32_t events);

static void link_free(struct loop_defer *d)
{
    struct mc_link *l = TD_CONTAINER_OF(d, struct mc_link, free_later);

    mc_tracer_free(&l->tx_trace);
    mc_tracer_free(&l->rx_trace);
    free(l->addrs);
    free(l->host);
    free(l->q);
    free(l->kept);
    free(l);
}

static void drop_socket(struct mc_link *l)
{
    int fd = l->io.fd;

    if (l->tls) {
        gnutls_deinit(l->tls);
        l->tls = NULL;
    }
    if (fd < 0)
        return;
    loop_remove(l->net->loop, &l->io);
    close(fd);
}

void mc_link_close(struct mc_link *l, const char *why)
{
    if (l->state == STATE_CLOSED)
        return;
    if (l->tls && l->state == STATE_UP)
        gnutls_bye(l->tls, GNUTLS_SHUT_WR);
    l->state = STATE_CLOSED;
    drop_socket(l);
    loop_timer_stop(l->net->loop, &l->timer);
    list_remove(&l->dirty_node);
    list_remove(&l->node);
    l->net->ops->down(l, why);
    loop_defer(l->net->loop, &l->free_later);
}

static void close_errno(struct mc_link *l, const char *what, int num)
{
    char why[160];

    snprintf(why, sizeof why, "%s: %s", what, strerror(num));
    mc_link_close(l, why);
}

static void link_timeout(struct wheel_timer *t)
{
    struct mc_link *l = TD_CONTAINER_OF(t, struct mc_link, timer);

    mc_link_close(l, l->state == STATE_CONNECTING ? "connecting took too long" : "TLS handshake took too long");
}

static struct mc_link *link_new(struct mc_net *net, bool tls, void *user)
{
    struct mc_link *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->net = net;
    l->io.fd = -1;
    l->io.ready = link_ready;
    l->user = user;
    l->wants_tls = tls;
    l->free_later.run = link_free;
    list_init(&l->dirty_node);
    wheel_timer_init(&l->timer, link_timeout);
    list_append(&net->links, &l->node);
    if (net->trace &&
        (mc_tracer_new(&l->tx_trace, net, l, true) < 0 || mc_tracer_new(&l->rx_trace, net, l, false) < 0)) {
        list_remove(&l->node);
        link_free(&l->free_later);
        return NULL;
    }
    return l;
}

static void update_want(struct mc_link *l)
{
    uint32_t want = LOOP_READ;

    if (l->state == STATE_CONNECTING)
        want = LOOP_WRITE;
    else if (l->state == STATE_HANDSHAKE)
        want = gnutls_record_get_direction(l->tls) ? LOOP_WRITE : LOOP_READ;
    else if (l->q_n > l->q_at)
        want |= LOOP_WRITE;
    loop_want(l->net->loop, &l->io, want);
}

static void go_up(struct mc_link *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    l->state = STATE_UP;
    loop_timer_stop(l->net->loop, &l->timer);
    if (getsockname(l->io.fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_socket(&l->local, &ss);
    l->net->ops->up(l);
    if (l->state == STATE_UP)
        update_want(l);
}

static void handshake(struct mc_link *l)
{
    int ret = gnutls_handshake(l->tls);

    if (ret == GNUTLS_E_SUCCESS) {
        go_up(l);
    } else if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        gnutls_datum_t text = { NULL, 0 };
        char why[256];

        gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(l->tls), GNUTLS_CRT_X509,
                                                     &text, 0);
        snprintf(why, sizeof why, "certificate not acceptable: %s", text.data ? (char *)text.data : "");
        gnutls_free(text.data);
        mc_link_close(l, why);
    } else if (gnutls_error_is_fatal(ret)) {
        char why[256];

        snprintf(why, sizeof why, "TLS handshake: %s", gnutls_strerror(ret));
        mc_link_close(l, why);
    } else {
        update_want(l);
    }
}

static void start_tls(struct mc_link *l)
{
    struct mc_tls *t = l->net->tls;
    gnutls_session_t s = NULL;
    struct addr literal;

    if (gnutls_init(&s, (l->is_accepted ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
        gnutls_priority_set(s, t->prio) < 0 || gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cred) < 0) {
        if (s)
            gnutls_deinit(s);
        mc_link_close(l, "TLS could not start");
        return;
    }
    l->tls = s;
    if (!l->is_accepted) {
        if (!addr_from_host(&literal, sv_of(l->host), 0))
            gnutls_server_name_set(s, GNUTLS_NAME_DNS, l->host, strlen(l->host));
        if (!t->no_verify)
            gnutls_session_set_verify_cert(s, l->host, 0);
    }
    gnutls_transport_set_int(s, l->io.fd);
    l->state = STATE_HANDSHAKE;
    handshake(l);
}

static void connected(struct mc_link *l)
{
    int one = 1;

    setsockopt(l->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (l->wants_tls)
        start_tls(l);
    else
        go_up(l);
}

/* Start connecting to the next address that lets us; false: none is left (*num: the last errno). */
static bool try_next(struct mc_link *l, int *num)
{
    while (l->at_addr < l->n_addrs) {
        int fd;

        l->peer = l->addrs[l->at_addr++];
        fd = socket(l->peer.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && (connect(fd, &l->peer.sa, addr_len(&l->peer)) == 0 || errno == EINPROGRESS) &&
            loop_add(l->net->loop, &l->io, fd, LOOP_WRITE) == 0)
            return true;
        *num = errno;
        if (fd >= 0)
            close(fd);
    }
    return false;
}

static int resolve(struct mc_link *l, const char *host, uint16_t port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
    struct addr one;
    char service[8];
    size_t n = 0;

    if (addr_from_host(&one, sv_of(host), port)) {
        l->addrs = malloc(sizeof one);
        if (!l->addrs)
            return TD_ENOMEM;
        l->addrs[0] = one;
        l->n_addrs = 1;
        return TD_OK;
    }
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return TD_ENOENT;
    for (struct addrinfo *a = list; a; a = a->ai_next)
        n++;
    l->addrs = calloc(n, sizeof *l->addrs);
    if (l->addrs)
        for (struct addrinfo *a = list; a; a = a->ai_next)
            if (a->ai_addrlen <= sizeof l->addrs[0])
                memcpy(&l->addrs[l->n_addrs++], a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return l->addrs ? TD_OK : TD_ENOMEM;
}

int mc_link_dial(struct mc_link **out, struct mc_net *net, const char *host, uint16_t port, bool tls, void *user)
{
    struct mc_link *l = link_new(net, tls, user);
    int err = TD_ENOMEM, num = EHOSTUNREACH;

    *out = NULL;
    if (!l)
        return err;
    l->host = sv_dup(sv_of(host));
    if (!l->host)
        goto out;
    err = resolve(l, host, port);
    if (err)
        goto out;
    if (!try_next(l, &num)) {
        err = td_err_from_errno(num);
        goto out;
    }
    loop_timer_start(net->loop, &l->timer, CONNECT_MS);
    *out = l;
    return TD_OK;
out:
    list_remove(&l->node);
    link_free(&l->free_later);
    return err;
}

bool mc_link_is_up(const struct mc_link *l)
{
    return l->state == STATE_UP;
}

bool mc_link_is_tls(const struct mc_link *l)
{
    return l->wants_tls;
}

/* ---- writing ---- */

static void make_dirty(struct mc_link *l)
{
    if (list_is_empty(&l->dirty_node)) {
        list_append(&l->net->dirty, &l->dirty_node);
        loop_defer(l->net->loop, &l->net->flush);
    }
}

char *mc_link_room(struct mc_link *l, size_t n)
{
    if (l->state == STATE_CLOSED || l->no_memory)
        return NULL;
    if (l->q_cap - l->q_n < n) {
        size_t left = l->q_n - l->q_at, cap = l->q_cap ? l->q_cap : 1024;
        char *q;

        if (left)
            memmove(l->q, l->q + l->q_at, left);
        l->q_at = 0;
        l->q_n = left;
        while (cap - left < n)
            cap *= 2;
        if (cap > l->q_cap) {
            q = realloc(l->q, cap);
            if (!q) {
                l->no_memory = true;
                make_dirty(l);
                return NULL;
            }
            l->q = q;
            l->q_cap = cap;
        }
    }
    return l->q + l->q_n;
}

void mc_link_wrote(struct mc_link *l, size_t n)
{
    if (l->tx_trace)
        mc_tracer_feed(l->tx_trace, sv_make(l->q + l->q_n, n));
    l->q_n += n;
    if (mc_link_is_full(l))
        l->above = true;
    make_dirty(l);
}

void mc_link_write(struct mc_link *l, const void *p, size_t n)
{
    char *room = mc_link_room(l, n);

    if (!room)
        return;
    memcpy(room, p, n);
    mc_link_wrote(l, n);
}

/* One write; bytes taken, 0: would block, negative: the link is closed. */
static long write_some(struct mc_link *l)
{
    const char *p = l->q + l->q_at;
    size_t n = l->q_n - l->q_at;
    ssize_t ret;

    if (l->tls) {
        ret = gnutls_record_send(l->tls, p, n); /* after EAGAIN the same bytes are still first in the queue */
        if (ret >= 0)
            return ret;
        if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED)
            return 0;
        mc_link_close(l, gnutls_strerror((int)ret));
        return -1;
    }
    ret = send(l->io.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (ret >= 0)
        return ret;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    close_errno(l, "sending", errno);
    return -1;
}

static void flush(struct mc_link *l)
{
    if (l->no_memory)
        mc_link_close(l, "out of memory");
    if (l->state != STATE_UP)
        return;
    while (l->q_at < l->q_n) {
        long n = write_some(l);

        if (n < 0)
            return;
        if (n == 0)
            break;
        l->q_at += (size_t)n;
    }
    if (l->q_at == l->q_n) {
        l->q_at = l->q_n = 0;
        if (l->q_cap > QUEUE_KEEP && !l->above) {
            free(l->q);
            l->q = NULL;
            l->q_cap = 0;
        }
        if (l->finishing) {
            mc_link_close(l, "closed here");
            return;
        }
    }
    update_want(l);
    if (l->above && l->q_n - l->q_at <= MC_LINK_LOW) {
        l->above = false;
        l->net->ops->drained(l);
    }
}

static void flush_dirty(struct loop_defer *d)
{
    struct mc_net *net = TD_CONTAINER_OF(d, struct mc_net, flush);

    while (!list_is_empty(&net->dirty)) {
        struct mc_link *l = list_item(net->dirty.next, struct mc_link, dirty_node);

        list_remove(&l->dirty_node);
        flush(l);
    }
}

void mc_link_finish(struct mc_link *l)
{
    if (l->state == STATE_UP && l->q_at < l->q_n)
        l->finishing = true;
    else
        mc_link_close(l, "closed here");
}

/* ---- reading ---- */

/* Hand n bytes to the frame reader; returns how many were used. */
static size_t take_frames(struct mc_link *l, const char *p, size_t n)
{
    const struct mc_link_ops *ops = l->net->ops;
    struct mc_event ev;
    size_t at = 0;

    for (;;) {
        at += mc_reader_feed(&l->reader, p + at, n - at, &ev);
        switch (ev.kind) {
        case MC_EV_MORE:
            return at;
        case MC_EV_HEAD:
            ops->head(l, ev.head);
            break;
        case MC_EV_BODY:
            ops->body(l, ev.body);
            break;
        case MC_EV_END:
            ops->end(l, ev.flag);
            break;
        case MC_EV_BAD: {
            char why[96];

            snprintf(why, sizeof why, "framing error: %s", ev.rule);
            mc_link_close(l, why);
            return n;
        }
        }
        if (l->state == STATE_CLOSED)
            return n;
    }
}

/* One read; bytes, 0: would block, negative: the link is closed. */
static long read_some(struct mc_link *l, char *to, size_t size)
{
    ssize_t ret;

    if (l->tls) {
        ret = gnutls_record_recv(l->tls, to, size);
        if (ret > 0)
            return ret;
        if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED || ret == GNUTLS_E_REHANDSHAKE)
            return 0;
        mc_link_close(l, ret == 0 ? "closed by the peer" : gnutls_strerror((int)ret));
        return -1;
    }
    ret = recv(l->io.fd, to, size, MSG_DONTWAIT);
    if (ret > 0)
        return ret;
    if (ret < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (ret == 0)
        mc_link_close(l, "closed by the peer");
    else
        close_errno(l, "reading", errno);
    return -1;
}

static void keep(struct mc_link *l, const char *p, size_t n)
{
    char *kept = NULL;

    if (n > 0) {
        kept = malloc(n);
        if (!kept) {
            mc_link_close(l, "out of memory");
            return;
        }
        memcpy(kept, p, n);
    }
    free(l->kept);
    l->kept = kept;
    l->kept_n = n;
}

static void do_read(struct mc_link *l)
{
    char *b = l->net->read_buf;
    size_t have = l->kept_n;

    if (have)
        memcpy(b, l->kept, have);
    for (int i = 0; i < READS_PER_TURN; i++) {
        long n = read_some(l, b + have, MC_READ_SIZE);
        size_t used;

        if (n < 0)
            return;
        if (n == 0)
            break;
        if (l->rx_trace)
            mc_tracer_feed(l->rx_trace, sv_make(b + have, (size_t)n));
        have += (size_t)n;
        used = take_frames(l, b, have);
        if (l->state == STATE_CLOSED)
            return;
        have -= used;
        if (have > MC_HEAD_MAX) {
            mc_link_close(l, "framing error: head too long");
            return;
        }
        if (have)
            memmove(b, b + used, have);
        if (!l->tls && n < MC_READ_SIZE)
            break; /* the socket is empty; a TLS record says nothing about that */
    }
    if (have || l->kept)
        keep(l, b, have);
}

static void link_ready(struct loop_io *io, uint32_t events)
{
    struct mc_link *l = TD_CONTAINER_OF(io, struct mc_link, io);

    if (l->state == STATE_CONNECTING) {
        int num = 0;
        socklen_t len = sizeof num;

        getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &num, &len);
        if (num == 0) {
            connected(l);
        } else {
            drop_socket(l);
            if (!try_next(l, &num))
                close_errno(l, "could not connect", num);
        }
        return;
    }
    if (l->state == STATE_HANDSHAKE) {
        handshake(l);
        if (l->state != STATE_UP)
            return;
        events |= LOOP_READ; /* records may have come with the last handshake message */
    }
    if (events & LOOP_WRITE)
        flush(l);
    if (l->state == STATE_UP && events & (LOOP_READ | LOOP_ERROR))
        do_read(l);
}

/* ---- listening ---- */

static void listener_ready(struct loop_io *io, uint32_t events)
{
    struct mc_listener *ls = TD_CONTAINER_OF(io, struct mc_listener, io);

    for (;;) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int fd = accept4(io->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct mc_link *l;

        if (fd < 0)
            return;
        l = link_new(ls->net, ls->tls, NULL);
        if (!l) {
            close(fd);
            return;
        }
        l->is_accepted = true;
        addr_from_socket(&l->peer, &ss);
        l->state = STATE_CONNECTING;
        if (loop_add(ls->net->loop, &l->io, fd, LOOP_READ) < 0) {
            close(fd);
            mc_link_close(l, "could not watch the socket");
            continue;
        }
        loop_timer_start(ls->net->loop, &l->timer, CONNECT_MS);
        connected(l);
    }
}

int mc_listener_new(struct mc_listener **out, struct mc_net *net, struct addr *at, bool tls)
{
    struct mc_listener *ls = calloc(1, sizeof *ls);
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int one = 1, fd = -1, err = TD_ENOMEM;

    *out = NULL;
    if (!ls)
        return err;
    ls->net = net;
    ls->tls = tls;
    ls->io.fd = -1;
    ls->io.ready = listener_ready;
    err = TD_EINVAL;
    if (tls && !net->tls->can_listen)
        goto out;
    fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, &at->sa, addr_len(at)) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
        err = td_err_from_errno(errno);
        goto out;
    }
    addr_from_socket(at, &ss);
    err = loop_add(net->loop, &ls->io, fd, LOOP_READ);
    if (err)
        goto out;
    *out = ls;
    return TD_OK;
out:
    if (fd >= 0)
        close(fd);
    free(ls);
    return err;
}

void mc_listener_free(struct mc_listener **lp)
{
    struct mc_listener *ls = *lp;
    int fd;

    if (!ls)
        return;
    *lp = NULL;
    fd = ls->io.fd;
    loop_remove(ls->net->loop, &ls->io);
    close(fd);
    free(ls);
}
