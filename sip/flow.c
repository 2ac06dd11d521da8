/* Flows, and the accept() that Sofia calls. */
#include "sip/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "sip/later.h"

enum {
    RECS_PER_WAKE = 256,
    SELF_TEST_STEPS = 50,
    SELF_TEST_STEP_MS = 10,
    SETTLE_MS = 5000, /* the edge has announced all flows by then */
};

/* One of Sofia's internal listeners. */
struct door {
    struct addr at;
    struct list arrivals; /* struct flow: to be accepted here, in this order */
    int knock;            /* owned: a connection of ours that makes it readable; -1: none */
};

struct flows {
    su_root_t *root;  /* borrowed */
    tport_t *master;  /* borrowed: Sofia's transports */
    int fd;           /* owned: control socket */
    su_wait_t wait[1];
    int wait_index;
    struct hash by_id, by_peer;
    struct door doors[PUMP_KIND_N][2]; /* by kind and family, as ports in pump_rec */
    struct list dials;
    uint32_t next_dial;
    uint64_t refused; /* connections that were not ours */
    uint64_t settled_ms;
    struct flows_events events;
    struct buf unsent; /* whole records that did not fit in the socket */
};

struct flow_dial {
    struct list node;
    uint32_t id;         /* the same for those who wait for the same connection */
    enum pump_kind kind;
    struct addr at;
    char *host;          /* owned */
    uint64_t conn_id;    /* the flow has come; 0: not yet */
    flow_dialled *done;
    void *arg;        /* borrowed */
};

/* accept() has no other way to know: set by flows_start(). */
static struct flows *accepting;

const char *flow_kind_text(enum pump_kind kind)
{
    static const char *const texts[PUMP_KIND_N] = { "tcp", "tls", "ws", "wss" };

    return texts[kind];
}

/* ---- tables ---- */

static uint64_t addr_hash(const struct addr *a, unsigned salt)
{
    struct {
        uint8_t ip[16];
        uint32_t port, salt;
    } key = { .port = addr_port(a), .salt = salt };

    if (a->sa.sa_family == AF_INET6)
        memcpy(key.ip, &a->in6.sin6_addr, 16);
    else
        memcpy(key.ip, &a->in.sin_addr, 4);
    return hash_bytes(&key, sizeof key);
}

struct flow *flow_by_id(struct flows *fs, uint64_t id)
{
    for (struct hash_node *n = hash_first(&fs->by_id, id); n; n = hash_next(n)) {
        struct flow *f = TD_CONTAINER_OF(n, struct flow, by_id);

        if (f->id == id)
            return f;
    }
    return NULL;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool flow_has_ended(struct flows *fs, uint64_t id)
{
    const struct flow *f = flow_by_id(fs, id);

    return f ? f->is_ending : now_ms() >= fs->settled_ms;
}

static bool is_as(const struct flow *f, const char *host)
{
    return f->dialled && sv_eq_nocase(sv_of(f->dialled), sv_of(host));
}

/* host NULL: whoever it is. */
static struct flow *find_peer(struct flows *fs, enum pump_kind kind, const struct addr *peer, const char *host)
{
    for (struct hash_node *n = hash_first(&fs->by_peer, addr_hash(peer, kind)); n; n = hash_next(n)) {
        struct flow *f = TD_CONTAINER_OF(n, struct flow, by_peer);

        if (f->kind == kind && addr_eq(&f->peer, peer) && (!host || is_as(f, host)))
            return f;
    }
    return NULL;
}

struct flow *flow_to_peer(struct flows *fs, enum pump_kind kind, const struct addr *peer, const char *host)
{
    return find_peer(fs, kind, peer, kind == PUMP_TLS || kind == PUMP_WSS ? host : NULL);
}

struct flow *flow_of_tport(struct flows *fs, const tport_t *tp)
{
    const tp_name_t *name = tport_name(tp);
    struct addr peer;

    if (!tport_is_secondary(tp) || !name->tpn_ident)
        return NULL;
    if (!addr_from_host(&peer, sv_of(name->tpn_host), addr_port_of_text(name->tpn_port, 0)))
        return NULL;
    for (int kind = 0; kind < PUMP_KIND_N; kind++)
        if (strcmp(name->tpn_ident, flow_kind_text((enum pump_kind)kind)) == 0)
            return find_peer(fs, (enum pump_kind)kind, &peer, NULL);
    return NULL;
}

/* Sofia's name of a host: IPv6 in brackets. */
static tport_t *find_tport(struct flow *f)
{
    char host[ADDR_TEXT_MAX], bare[ADDR_TEXT_MAX], port[8];
    tp_name_t name = { .tpn_proto = "tcp", .tpn_canon = host, .tpn_host = host, .tpn_port = port,
                       .tpn_ident = flow_kind_text(f->kind) };

    snprintf(host, sizeof host, f->peer.sa.sa_family == AF_INET6 ? "[%.60s]" : "%.60s", addr_host_text(&f->peer, bare));
    snprintf(port, sizeof port, "%u", addr_port(&f->peer));
    for (tport_t *p = tport_primaries(f->flows->master); p; p = tport_next(p)) {
        tport_t *tp;

        if (strcmp(tport_ident(p), name.tpn_ident) != 0)
            continue; /* two of a kind, one for each address family */
        tp = tport_by_name(p, &name);
        if (tp && tport_is_secondary(tp))
            return tp;
    }
    return NULL;
}

tport_t *flow_tport(struct flow *f)
{
    if (!f->in_peer || f->is_ending)
        return NULL;
    if (!f->tport) {
        tport_t *tp = find_tport(f);

        if (!tp)
            return NULL;
        f->tport = tport_ref(tp);
    }
    return tport_is_clear_to_send(f->tport) ? f->tport : NULL;
}

static void unlink_flow(struct flow *f)
{
    list_remove(&f->arrival_node);
    if (f->leg >= 0)
        close(f->leg);
    f->leg = -1;
    if (f->in_peer)
        hash_remove(&f->flows->by_peer, &f->by_peer);
    f->in_peer = false;
    if (f->tport)
        tport_unref(f->tport);
    f->tport = NULL;
}

static void flow_free(struct flow *f)
{
    unlink_flow(f);
    hash_remove(&f->flows->by_id, &f->by_id);
    free(f->identity);
    free(f->dialled);
    free(f);
}

/* ---- dialling ---- */

static struct flow_dial *dial_by_id(struct flows *fs, uint32_t id)
{
    list_each(node, &fs->dials) {
        struct flow_dial *d = list_item(node, struct flow_dial, node);

        if (d->id == id)
            return d;
    }
    return NULL;
}

static void dial_free(struct flow_dial *d)
{
    list_remove(&d->node);
    free(d->host);
    free(d);
}

static void dial_done(struct flows *fs, uint32_t id, struct flow *f)
{
    struct list ready = LIST_INIT(ready);

    list_each_safe(node, &fs->dials) {
        if (list_item(node, struct flow_dial, node)->id == id) {
            list_remove(node);
            list_append(&ready, node);
        }
    }
    while (!list_is_empty(&ready)) {
        struct flow_dial *d = list_item(ready.next, struct flow_dial, node);

        list_remove(&d->node);
        d->done(d->arg, f);
        dial_free(d);
    }
}

/* Sofia's transport of a new flow exists only after accept() has returned: dials are answered from the loop. */
static void on_settled(void *arg)
{
    struct flows *fs = arg;

    list_each_safe(node, &fs->dials) {
        struct flow_dial *d = list_item(node, struct flow_dial, node);
        struct flow *f = d->conn_id ? flow_by_id(fs, d->conn_id) : NULL;

        if (d->conn_id) {
            dial_done(fs, d->id, f);
            on_settled(fs); /* the list may have changed */
            return;
        }
    }
}

static void dial_accepted(struct flows *fs, struct flow *f)
{
    struct flow_dial *d = dial_by_id(fs, f->dial_id);

    if (!d)
        return;
    if (!f->dialled)
        f->dialled = strdup(d->host);
    list_each(node, &fs->dials)
        if (list_item(node, struct flow_dial, node)->id == f->dial_id)
            list_item(node, struct flow_dial, node)->conn_id = f->id;
    if (!later(fs->root, on_settled, fs))
        log_error("flow", f->id, "out of memory");
}

/* ---- the control socket ---- */

static void tell(struct flows *fs, const struct pump_rec *r)
{
    size_t size = pump_rec_size(r);
    uint16_t n = (uint16_t)size;

    if (fs->unsent.n == 0 && send(fs->fd, r, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return;
    if (errno != EAGAIN && fs->unsent.n == 0)
        return; /* the edge is gone; reading the socket will say so */
    buf_add(&fs->unsent, &n, sizeof n);
    buf_add(&fs->unsent, r, size);
    su_root_eventmask(fs->root, fs->wait_index, fs->fd, SU_WAIT_IN | SU_WAIT_OUT);
}

static void send_unsent(struct flows *fs)
{
    while (fs->unsent.n) {
        uint16_t n;

        memcpy(&n, fs->unsent.p, sizeof n);
        if (send(fs->fd, fs->unsent.p + sizeof n, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
            return;
        buf_drop_front(&fs->unsent, sizeof n + n);
    }
    su_root_eventmask(fs->root, fs->wait_index, fs->fd, SU_WAIT_IN);
}

/* ---- arrivals ---- */

/* Make Sofia's listener readable. The connection ends without TIME_WAIT, as there may be many. */
static bool knock(struct door *d)
{
    const struct linger reset = { .l_onoff = 1 };

    if (d->knock >= 0)
        return true;
    d->knock = socket(d->at.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->knock < 0)
        return false;
    setsockopt(d->knock, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(d->knock, &d->at.sa, addr_len(&d->at)) == 0 || errno == EINPROGRESS)
        return true;
    close(d->knock);
    d->knock = -1;
    return false;
}

/* The edge is to close its client. */
static void give_up(struct flows *fs, const struct pump_rec *announced)
{
    struct pump_rec gone = { .type = PUMP_GONE, .worker = announced->worker, .conn_id = announced->conn_id };

    log_error("flow", announced->conn_id, "cannot take the connection: %s", strerror(errno));
    tell(fs, &gone);
}

static struct flow *flow_new(struct flows *fs, uint64_t id)
{
    struct flow *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->flows = fs;
    f->id = id;
    f->leg = -1;
    list_init(&f->arrival_node);
    hash_insert(&fs->by_id, &f->by_id, id);
    return f;
}

/* leg is taken; -1: it was lost on its way. */
static void announced(struct flows *fs, const struct pump_rec *r, int leg)
{
    struct flow *f = flow_by_id(fs, r->conn_id);
    struct door *d = r->kind < PUMP_KIND_N ? &fs->doors[r->kind][r->peer.sa.sa_family == AF_INET6] : NULL;

    if (!f)
        f = flow_new(fs, r->conn_id);
    if (!f || !d || leg < 0 || !knock(d)) {
        give_up(fs, r);
        if (leg >= 0)
            close(leg);
        return;
    }
    unlink_flow(f); /* announced again: its first leg failed */
    f->kind = (enum pump_kind)r->kind;
    f->worker = r->worker;
    f->dial_id = r->dial_id;
    f->peer = r->peer;
    f->local = r->local;
    free(f->identity);
    f->identity = r->text[0] ? strdup(r->text) : NULL;
    f->leg = leg;
    list_append(&d->arrivals, &f->arrival_node);
}

/* file: what came with it, or -1; taken. */
static void on_record(struct flows *fs, const struct pump_rec *r, int file)
{
    struct pump_rec answer = { .worker = r->worker, .conn_id = r->conn_id };
    struct flow *f;

    switch (r->type) {
    case PUMP_ANNOUNCE:
        announced(fs, r, file);
        return;
    case PUMP_CONF:
        if (file >= 0)
            fs->events.conf(fs->events.arg, file);
        return;
    case PUMP_CLOSED:
        f = flow_by_id(fs, r->conn_id);
        if (f)
            flow_free(f);
        break;
    case PUMP_ENDING:
        f = flow_by_id(fs, r->conn_id);
        if (f)
            f->is_ending = true;
        break;
    case PUMP_ASK:
        answer.type = PUMP_GONE; /* we live, so it was Sofia that closed the leg, or we who refused it */
        tell(fs, &answer);
        break;
    case PUMP_PING:
        answer.type = PUMP_PONG;
        tell(fs, &answer);
        break;
    case PUMP_BAN:
        fs->events.ban(fs->events.arg, &r->peer, r->seconds);
        break;
    case PUMP_FORGET:
        fs->events.forget(fs->events.arg);
        break;
    case PUMP_DIAL_FAILED:
        dial_done(fs, r->dial_id, NULL);
        break;
    default:
        break;
    }
    if (file >= 0)
        close(file);
}

/* One record, and the file that came with it, or -1. */
static ssize_t receive(int fd, struct pump_rec *r, int *file, int flags)
{
    struct iovec iov = { .iov_base = r, .iov_len = sizeof *r };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

    *file = -1;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(file, CMSG_DATA(c), sizeof *file);
    return n;
}

static void drain(struct flows *fs)
{
    for (int i = 0; i < RECS_PER_WAKE; i++) {
        struct pump_rec r;
        int file = -1;
        ssize_t n = receive(fs->fd, &r, &file, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            su_root_break(fs->root); /* the edge has gone */
            return;
        }
        if (pump_rec_check(&r, (size_t)n))
            on_record(fs, &r, file);
        else if (file >= 0)
            close(file);
    }
}

static int on_control(su_root_magic_t *magic, su_wait_t *w, su_wakeup_arg_t *arg)
{
    struct flows *fs = arg;

    if (fs->unsent.n)
        send_unsent(fs);
    drain(fs);
    return 0;
}

/* ---- what Sofia calls ---- */

static struct door *door_of(struct flows *fs, int listener)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr at;

    if (getsockname(listener, (struct sockaddr *)&ss, &len) < 0)
        return NULL;
    addr_from_socket(&at, &ss);
    for (int kind = 0; kind < PUMP_KIND_N; kind++)
        for (int v6 = 0; v6 < 2; v6++)
            if (addr_eq(&fs->doors[kind][v6].at, &at))
                return &fs->doors[kind][v6];
    return NULL;
}

/* Take a connection off the listener. Only our own knock has a right to be there. */
static void answer_knock(struct flows *fs, struct door *d, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    close(fd);
    if (!d || d->knock < 0) {
        fs->refused++;
        return;
    }
    close(d->knock);
    d->knock = -1;
}

static int give_leg(struct flows *fs, struct flow *f, struct sockaddr *sa, socklen_t *len)
{
    int leg = f->leg;

    f->leg = -1;
    list_remove(&f->arrival_node);
    hash_insert(&fs->by_peer, &f->by_peer, addr_hash(&f->peer, f->kind));
    f->in_peer = true;
    if (f->dial_id)
        dial_accepted(fs, f);
    if (sa && len) {
        socklen_t n = addr_len(&f->peer);

        memcpy(sa, &f->peer, TD_MIN(n, *len));
        *len = n;
    }
    return leg;
}

/* Names of ours and of Sofia's are a peer's address and port. Behind some NATs two clients have the same ones, each at another address or port of this server: the one that
 * came first stays who it is. At the same place it is the same client, whose old connection has ended though nobody has said so yet; and what we have dialled is no
 * client's. */
static bool is_taken(struct flows *fs, const struct flow *f)
{
    const struct flow *other = find_peer(fs, f->kind, &f->peer, NULL);

    return other && !other->dial_id && !f->dial_id && !addr_eq(&other->local, &f->local);
}

/* Sofia's listeners call this one instead of libc's: default visibility makes the executable export it. The knock is answered with the
 * last arrival; until then the listener stays readable, and Sofia comes again. */
__attribute__((visibility("default"))) int accept(int listener, struct sockaddr *sa, socklen_t *len)
{
    struct flows *fs = accepting;
    struct door *d = fs ? door_of(fs, listener) : NULL;
    struct flow *first = d && !list_is_empty(&d->arrivals) ? list_item(d->arrivals.next, struct flow, arrival_node) : NULL;

    if (!fs)
        return accept4(listener, sa, len, SOCK_CLOEXEC);
    if (!first || d->arrivals.next == d->arrivals.prev)
        answer_knock(fs, d, listener);
    if (first && !is_taken(fs, first))
        return give_leg(fs, first, sa, len);
    if (first) {
        log_debug("flow", first->id, "refused: its address and port are those of another connection");
        unlink_flow(first); /* the edge asks why, and ends it */
    }
    errno = ECONNABORTED;
    return -1;
}

/* Sofia sets TCP_NODELAY on what it has accepted, and drops a stream that does not take it. A leg has nothing of the kind, and needs it not. */
__attribute__((visibility("default"))) int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    int ret = (int)syscall(SYS_setsockopt, fd, level, option, value, len);

    return ret < 0 && level == IPPROTO_TCP && errno == EOPNOTSUPP ? 0 : ret;
}

bool flows_self_test(struct flows *fs, const struct addr *listener)
{
    uint64_t before = fs->refused;
    int fd = socket(listener->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, &listener->sa, addr_len(listener)) < 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (int i = 0; i < SELF_TEST_STEPS && fs->refused == before; i++)
        su_root_step(fs->root, SELF_TEST_STEP_MS);
    close(fd);
    return fs->refused > before;
}

static void set_door(struct door *d, bool v6, uint16_t port)
{
    if (v6) {
        d->at.sa.sa_family = AF_INET6;
        d->at.in6.sin6_addr = in6addr_loopback;
    } else {
        d->at.sa.sa_family = AF_INET;
        d->at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    addr_set_port(&d->at, port);
}

void flows_ready(struct flows *fs, const uint16_t ports[PUMP_KIND_N][2])
{
    struct pump_rec r = { .type = PUMP_READY };

    memcpy(r.ports, ports, sizeof r.ports);
    for (int kind = 0; kind < PUMP_KIND_N; kind++)
        for (int v6 = 0; v6 < 2; v6++)
            set_door(&fs->doors[kind][v6], v6, ports[kind][v6]);
    tell(fs, &r);
}

void flows_fault(struct flows *fs, const char *text)
{
    struct pump_rec r = { .type = PUMP_FAULT };

    snprintf(r.text, sizeof r.text, "%s", text);
    if (send(fs->fd, &r, pump_rec_size(&r), MSG_NOSIGNAL) < 0)
        log_error("flow", 0, "%s", text);
}

void flow_keep(struct flow *f, uint32_t seconds)
{
    struct pump_rec r = { .type = PUMP_KEEP, .worker = f->worker, .conn_id = f->id, .seconds = seconds };

    tell(f->flows, &r);
}

void flows_ban(struct flows *fs, const struct addr *a, uint8_t why)
{
    struct pump_rec r = { .type = PUMP_BAN, .kind = why, .peer = *a };

    tell(fs, &r);
}

/* The id of one for the same connection; 0: there is none. */
static uint32_t dial_under_way(const struct flows *fs, const struct flow_dial *like)
{
    list_each(node, &fs->dials) {
        const struct flow_dial *d = list_item(node, struct flow_dial, node);

        if (!d->conn_id && d->kind == like->kind && addr_eq(&d->at, &like->at) &&
            sv_eq_nocase(sv_of(d->host), sv_of(like->host)))
            return d->id;
    }
    return 0;
}

struct flow_dial *flow_dial(struct flows *fs, enum pump_kind kind, const char *host, const struct addr *at,
                            flow_dialled *done, void *arg)
{
    struct flow_dial *d = calloc(1, sizeof *d);
    struct pump_rec r = { .type = PUMP_DIAL, .kind = (uint8_t)kind, .peer = *at };

    if (!d)
        return NULL;
    list_init(&d->node);
    d->kind = kind;
    d->at = *at;
    d->host = strdup(host);
    if (!d->host || strlen(host) >= sizeof r.text) {
        dial_free(d);
        return NULL;
    }
    d->done = done;
    d->arg = arg;
    d->id = dial_under_way(fs, d);
    list_append(&fs->dials, &d->node);
    if (d->id)
        return d;
    d->id = ++fs->next_dial ? fs->next_dial : ++fs->next_dial;
    r.dial_id = d->id;
    snprintf(r.text, sizeof r.text, "%s", host);
    tell(fs, &r);
    return d;
}

void flow_dial_cancel(struct flow_dial *d)
{
    dial_free(d);
}

/* ---- life ---- */

/* The edge's first record brings the memory that both share. */
static int read_hello(int fd, struct pump_rec *hello, struct pump_shared **shared)
{
    int file;
    ssize_t n = receive(fd, hello, &file, 0);
    void *at = MAP_FAILED;
    int err = TD_EPROTO;

    if (n > 0 && file >= 0 && pump_rec_check(hello, (size_t)n) && hello->type == PUMP_HELLO) {
        at = mmap(NULL, sizeof **shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        err = at == MAP_FAILED ? td_err_from_errno(errno) : TD_OK;
    }
    if (file >= 0)
        close(file);
    if (!err)
        *shared = at;
    return err;
}

int flows_new(struct flows **out, int control_fd, struct pump_rec *hello, struct pump_shared **shared,
              const struct flows_events *events)
{
    struct flows *fs = calloc(1, sizeof *fs);
    int err = TD_ENOMEM;

    *out = NULL;
    *shared = NULL;
    if (!fs) {
        close(control_fd);
        return err;
    }
    fs->fd = control_fd;
    fs->wait_index = -1;
    fs->next_dial = (uint32_t)getpid() << 12; /* not one of our predecessor's, whose flows come with theirs */
    fs->events = *events;
    list_init(&fs->dials);
    for (int kind = 0; kind < PUMP_KIND_N; kind++)
        for (int v6 = 0; v6 < 2; v6++) {
            list_init(&fs->doors[kind][v6].arrivals);
            fs->doors[kind][v6].knock = -1;
        }
    err = hash_init(&fs->by_id, 8);
    if (!err)
        err = hash_init(&fs->by_peer, 8);
    if (!err)
        err = read_hello(control_fd, hello, shared);
    if (err)
        flows_free(&fs);
    *out = fs;
    return err;
}

int flows_start(struct flows *fs, su_root_t *root, tport_t *master)
{
    fs->root = root;
    fs->master = master;
    fs->settled_ms = now_ms() + SETTLE_MS;
    accepting = fs;
    if (su_wait_create(fs->wait, fs->fd, SU_WAIT_IN) < 0)
        return TD_ENOMEM;
    fs->wait_index = su_root_register(root, fs->wait, on_control, fs, 0);
    return fs->wait_index < 0 ? TD_ENOMEM : TD_OK;
}

static void free_node(struct hash_node *n, void *arg)
{
    flow_free(TD_CONTAINER_OF(n, struct flow, by_id));
}

static void release_node(struct hash_node *n, void *arg)
{
    unlink_flow(TD_CONTAINER_OF(n, struct flow, by_id));
}

static void flows_stop(struct flows *fs)
{
    if (accepting == fs)
        accepting = NULL;
    if (fs->wait_index >= 0)
        su_root_deregister(fs->root, fs->wait_index);
    fs->wait_index = -1;
    if (fs->by_id.slots && fs->by_peer.slots)
        hash_each(&fs->by_id, release_node, NULL);
}

void flows_free(struct flows **fsp)
{
    struct flows *fs = *fsp;

    if (!fs)
        return;
    *fsp = NULL;
    flows_stop(fs);
    if (fs->by_id.slots && fs->by_peer.slots)
        hash_each(&fs->by_id, free_node, NULL);
    while (!list_is_empty(&fs->dials))
        flow_dial_cancel(list_item(fs->dials.next, struct flow_dial, node));
    hash_fini(&fs->by_id);
    hash_fini(&fs->by_peer);
    for (int kind = 0; kind < PUMP_KIND_N; kind++)
        for (int v6 = 0; v6 < 2; v6++)
            if (fs->doors[kind][v6].knock >= 0)
                close(fs->doors[kind][v6].knock);
    buf_fini(&fs->unsent);
    close(fs->fd);
    free(fs);
}

bool flow_is_secure(const struct flow *f)
{
    return f->kind == PUMP_TLS || f->kind == PUMP_WSS;
}

size_t flows_count(const struct flows *fs)
{
    return fs->by_id.n;
}
