/* The resolver: c-ares driven by the loop, and a cache in front of it. */
#include "net/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>

#include "common/err.h"
#include "common/hash.h"
#include "net/naptr.h"
#include "net/srv.h"

enum {
    TRY_MS = 1000, /* first try; each further one waits twice as long */
    TRIES = 3,
    DNS_PORT = 53,
    LABEL_MAX = 63,
    FAILED_TTL_S = 5, /* no name server answered properly */
};

/* A socket of c-ares. */
struct res_io {
    struct loop_io io;
    struct list node;
    struct resolver *resolver; /* back */
};

enum what { ADDRS, SERVERS, POINTERS };

/* What a name stands for: its addresses, without port, its SRV records, by priority, or its NAPTR records, by order. */
struct answer {
    size_t n;
    int err;         /* TD_OK, or why there is nothing; n 0 and TD_OK: there are no such records */
    const char *why; /* static: the same as text; NULL with TD_OK */
    union {
        struct addr addrs[RESOLVE_ADDRS_MAX];
        struct resolve_srv servers[RESOLVE_SRV_MAX];
        struct resolve_naptr pointers[RESOLVE_NAPTR_MAX];
    } found;
};

/* A name: looked up now (pending) or an answer, good until expires_ms. */
struct name {
    struct hash_node node;
    struct list used;     /* place in resolver->used; on no list while pending or being told */
    struct list waiters;  /* of struct resolve_query */
    struct resolver *resolver; /* back */
    uint64_t expires_ms;
    void *found; /* owned: n of the answer's addresses or records */
    size_t n;
    int err;
    const char *why;
    bool pending;
    enum what what; /* is asked for */
    char host[];          /* lower case, no final dot */
};

struct resolve_query {
    struct list node;
    enum what what;
    union {
        resolve_done *addrs;
        resolve_srv_done *servers;
        resolve_naptr_done *pointers;
    } done;
    void *arg;
    uint16_t port;
    bool *told; /* set while resolve_host() runs: done was called */
};

struct resolver {
    struct loop *loop; /* borrowed */
    ares_channel channel;
    struct wheel_timer timer;
    struct list ios;
    struct hash names; /* owns its elements */
    struct list used;  /* answers, least recently used first */
    bool closing;
};

/* ---- c-ares on the loop ---- */

static void rearm(struct resolver *r)
{
    struct timeval tv;

    if (ares_timeout(r->channel, NULL, &tv))
        loop_timer_start(r->loop, &r->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    else
        loop_timer_stop(r->loop, &r->timer);
}

static void on_timer(struct wheel_timer *t)
{
    struct resolver *r = TD_CONTAINER_OF(t, struct resolver, timer);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(r);
}

static void on_ready(struct loop_io *io, uint32_t events)
{
    struct resolver *r = TD_CONTAINER_OF(io, struct res_io, io)->resolver;
    int fd = io->fd;

    /* An error is told by the read. io may be gone after this. */
    ares_process_fd(r->channel, events & (LOOP_READ | LOOP_ERROR) ? fd : ARES_SOCKET_BAD,
                    events & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
    rearm(r);
}

/* c-ares tells what it wants to know of a socket; nothing any more: it closes it next. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    uint32_t want = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);
    struct resolver *r = arg;
    struct res_io *io = NULL;

    list_each(node, &r->ios) {
        if (list_item(node, struct res_io, node)->io.fd == fd)
            io = list_item(node, struct res_io, node);
    }
    if (!io && want) {
        io = calloc(1, sizeof *io);
        if (!io)
            return; /* the query will time out */
        io->resolver = r;
        io->io.ready = on_ready;
        if (loop_add(r->loop, &io->io, fd, want) != TD_OK) {
            free(io);
            return;
        }
        list_append(&r->ios, &io->node);
    } else if (io && want) {
        loop_want(r->loop, &io->io, want);
    } else if (io) {
        loop_remove(r->loop, &io->io);
        list_remove(&io->node);
        free(io);
    }
}

/* ---- names ---- */

static void name_free(struct name *n)
{
    list_remove(&n->used);
    free(n->found);
    free(n);
}

static void name_drop(struct resolver *r, struct name *n)
{
    hash_remove(&r->names, &n->node);
    name_free(n);
}

static struct name *name_find(struct resolver *r, const char *host, enum what what, uint64_t hash)
{
    for (struct hash_node *at = hash_first(&r->names, hash); at; at = hash_next(at)) {
        struct name *n = TD_CONTAINER_OF(at, struct name, node);

        if (n->what == what && strcmp(n->host, host) == 0)
            return n;
    }
    return NULL;
}

/* NULL: out of memory, or all names in the cache are being looked up. */
static struct name *name_new(struct resolver *r, const char *host, enum what what, uint64_t hash)
{
    size_t size = strlen(host) + 1;
    struct name *n;

    if (r->names.n >= RESOLVE_CACHE_MAX) {
        if (list_is_empty(&r->used))
            return NULL;
        name_drop(r, list_item(r->used.next, struct name, used));
    }
    n = calloc(1, sizeof *n + size);
    if (!n)
        return NULL;
    n->resolver = r;
    n->what = what;
    list_init(&n->used);
    list_init(&n->waiters);
    memcpy(n->host, host, size);
    hash_insert(&r->names, &n->node, hash);
    return n;
}

/* The answer is changed: it gets ports. */
static void tell(struct answer *a, const struct resolve_query *q)
{
    switch (q->what) {
    case ADDRS:
        for (size_t i = 0; i < a->n; i++)
            addr_set_port(&a->found.addrs[i], q->port);
        q->done.addrs(q->arg, a->found.addrs, a->n, a->n ? TD_OK : a->err, a->n ? NULL : a->why);
        break;
    case SERVERS:
        q->done.servers(q->arg, a->found.servers, a->n, a->n ? TD_OK : a->err, a->n ? NULL : a->why);
        break;
    case POINTERS:
        q->done.pointers(q->arg, a->found.pointers, a->n, a->n ? TD_OK : a->err);
        break;
    }
}

static void query_tell(struct resolve_query *q, struct answer *a)
{
    list_remove(&q->node);
    if (q->told)
        *q->told = true;
    tell(a, q);
    free(q);
}

static bool is_absent(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

static int why_err(int status)
{
    return status == ARES_SUCCESS || is_absent(status) ? TD_ENOENT : status == ARES_ETIMEOUT ? TD_ETIMEOUT : TD_EIO;
}

static const char *why_text(int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
        return "the name has no address";
    case ARES_ENOTFOUND:
        return "the name does not exist";
    case ARES_ETIMEOUT:
        return "no name server answers";
    default:
        return ares_strerror(status);
    }
}

/* How long the answer may be believed, in seconds. */
static int64_t answer_ttl(const struct ares_addrinfo *ai)
{
    int64_t ttl = RESOLVE_TTL_MAX_S;

    for (const struct ares_addrinfo_node *at = ai->nodes; at; at = at->ai_next)
        ttl = TD_MIN(ttl, (int64_t)at->ai_ttl);
    for (const struct ares_addrinfo_cname *at = ai->cnames; at; at = at->next)
        ttl = TD_MIN(ttl, (int64_t)at->ttl);
    return TD_MAX(ttl, (int64_t)0);
}

static size_t take_addrs(struct addr out[RESOLVE_ADDRS_MAX], const struct ares_addrinfo *ai)
{
    size_t n = 0;

    for (const struct ares_addrinfo_node *at = ai->nodes; at && n < RESOLVE_ADDRS_MAX; at = at->ai_next) {
        struct sockaddr_storage ss = { 0 };

        if ((at->ai_family != AF_INET && at->ai_family != AF_INET6) || at->ai_addrlen > sizeof ss)
            continue;
        memcpy(&ss, at->ai_addr, at->ai_addrlen);
        addr_from_socket(&out[n++], &ss);
    }
    return n;
}

static size_t element_size(const struct name *n)
{
    switch (n->what) {
    case ADDRS:
        break;
    case SERVERS:
        return sizeof(struct resolve_srv);
    case POINTERS:
        return sizeof(struct resolve_naptr);
    }
    return sizeof(struct addr);
}

/* It is known now: remember it for ttl seconds and tell all who wait. */
static void settle(struct name *n, const struct answer *a, int64_t ttl)
{
    struct list waiters = LIST_INIT(waiters);
    struct resolver *r = n->resolver;
    struct answer copy;

    free(n->found);
    n->n = 0;
    n->found = a->n ? malloc(a->n * element_size(n)) : NULL;
    n->err = a->err;
    n->why = a->why;
    if (a->n && !n->found)
        ttl = 0; /* out of memory: not remembered */
    if (n->found) {
        memcpy(n->found, &a->found, a->n * element_size(n));
        n->n = a->n;
    }
    n->expires_ms = loop_now_ms(r->loop) + (uint64_t)ttl * 1000;
    /* Who is told may ask, cancel, and so displace this name: it is not looked at again. */
    list_splice(&waiters, &n->waiters);
    list_append(&r->used, &n->used);
    while (!list_is_empty(&waiters)) {
        copy = *a;
        query_tell(list_item(waiters.next, struct resolve_query, node), &copy);
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
    struct name *n = arg;
    struct answer a = { .err = why_err(status), .why = why_text(status) };
    int64_t ttl = is_absent(status) ? RESOLVE_TTL_NEGATIVE_S : FAILED_TTL_S;

    n->pending = false;
    if (n->resolver->closing) {
        ares_freeaddrinfo(ai);
        return;
    }
    if (status == ARES_SUCCESS && ai) {
        a.n = take_addrs(a.found.addrs, ai);
        ttl = a.n ? answer_ttl(ai) : RESOLVE_TTL_NEGATIVE_S;
    }
    if (ai)
        ares_freeaddrinfo(ai);
    settle(n, &a, ttl);
}

/* SRV or NAPTR records: that there are none is no failure. */
static void on_records(void *arg, int status, int timeouts, unsigned char *message, int len)
{
    struct name *n = arg;
    struct answer a = { .n = 0 };
    int64_t ttl = RESOLVE_TTL_NEGATIVE_S;

    n->pending = false;
    if (n->resolver->closing)
        return;
    if (status == ARES_SUCCESS)
        status = n->what == SERVERS ? srv_read(a.found.servers, &a.n, message, len, &ttl)
                                    : naptr_read(a.found.pointers, &a.n, message, len, &ttl);
    if (n->what == SERVERS && a.n == 1 && a.found.servers[0].target[0] == '\0') {
        a.n = 0;
        a.err = TD_EUNSUPP;
        a.why = "the service is not offered there";
    } else if (status != ARES_SUCCESS && !is_absent(status)) {
        a.n = 0;
        a.err = why_err(status);
        a.why = why_text(status);
        ttl = FAILED_TTL_S;
    }
    settle(n, &a, TD_MIN(ttl, (int64_t)RESOLVE_TTL_MAX_S));
}

/* ---- names ---- */

/* Lower case, without the final dot. False: nothing that could be a host name; and no IP address in disguise
 * ("127.1"). */
static bool host_normalise(const char *host, char out[RESOLVE_HOST_MAX + 1])
{
    size_t n = strlen(host), label = 0;
    bool digits = true;

    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n == 0 || n > RESOLVE_HOST_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = sv_lower(host[i]);
        bool digit = c >= '0' && c <= '9';

        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            digits = true;
        } else if (digit || (c >= 'a' && c <= 'z') || c == '-' || c == '_') {
            if (++label > LABEL_MAX)
                return false;
            digits = digits && digit;
        } else {
            return false;
        }
        out[i] = c;
    }
    out[n] = '\0';
    return label > 0 && !digits;
}

/* ---- the interface ---- */

static void tell_cached(struct resolver *r, struct name *n, const struct resolve_query *q)
{
    struct answer a;

    a.n = n->n;
    a.err = n->err;
    a.why = n->why;
    if (n->n)
        memcpy(&a.found, n->found, n->n * element_size(n));
    list_remove(&n->used);
    list_append(&r->used, &n->used);
    tell(&a, q);
}

static void ask(struct resolver *r, struct name *n)
{
    static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

    n->pending = true;
    list_remove(&n->used);
    if (n->what == ADDRS)
        ares_getaddrinfo(r->channel, n->host, NULL, &hints, on_answer, n);
    else
        ares_query(r->channel, n->host, ns_c_in, n->what == SERVERS ? ns_t_srv : ns_t_naptr, on_records, n);
    rearm(r);
}

/* what: whom to tell, and what; copied. */
static struct resolve_query *resolve(struct resolver *r, const char *host, const struct resolve_query *what)
{
    struct answer none = { .n = 0 };
    char text[RESOLVE_HOST_MAX + 1];
    bool told = false;
    struct resolve_query *q;
    struct name *n;
    uint64_t hash;

    if (!host_normalise(host, text)) {
        none.err = TD_ENOENT;
        none.why = "not a host name";
        tell(&none, what);
        return NULL;
    }
    hash = hash_bytes(text, strlen(text));
    n = name_find(r, text, what->what, hash);
    if (n && !n->pending && loop_now_ms(r->loop) < n->expires_ms) {
        tell_cached(r, n, what);
        return NULL;
    }
    if (!n)
        n = name_new(r, text, what->what, hash);
    q = n ? malloc(sizeof *q) : NULL;
    if (!q) {
        if (n && !n->pending && list_is_empty(&n->used))
            name_drop(r, n);
        none.err = n ? TD_ENOMEM : TD_ELIMIT;
        none.why = n ? "out of memory" : "too many names are being looked up";
        tell(&none, what);
        return NULL;
    }
    *q = *what;
    list_append(&n->waiters, &q->node);
    if (n->pending)
        return q;
    q->told = &told;
    ask(r, n);
    if (told)
        return NULL;
    q->told = NULL;
    return q;
}

struct resolve_query *resolve_host(struct resolver *r, const char *host, uint16_t port, resolve_done *done, void *arg)
{
    struct resolve_query q = { .what = ADDRS, .port = port, .done.addrs = done, .arg = arg };
    struct addr literal;

    if (addr_from_host(&literal, sv_of(host), port)) {
        done(arg, &literal, 1, TD_OK, NULL);
        return NULL;
    }
    return resolve(r, host, &q);
}

struct resolve_query *resolve_srv(struct resolver *r, const char *name, resolve_srv_done *done, void *arg)
{
    struct resolve_query q = { .what = SERVERS, .done.servers = done, .arg = arg };

    return resolve(r, name, &q);
}

struct resolve_query *resolve_naptr(struct resolver *r, const char *name, resolve_naptr_done *done, void *arg)
{
    struct resolve_query q = { .what = POINTERS, .done.pointers = done, .arg = arg };

    return resolve(r, name, &q);
}

void resolve_cancel(struct resolve_query *q)
{
    list_remove(&q->node);
    free(q); /* the look-up goes on, for the cache */
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_status;

static void library_start(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

static int set_servers(ares_channel channel, const struct conf_list *servers)
{
    struct buf csv = BUF_INIT;
    char text[ADDR_TEXT_MAX];
    int err = TD_EINVAL, status;

    for (size_t i = 0; i < servers->n; i++) {
        struct addr a;

        if (!addr_from_text(&a, sv_of(servers->v[i])) && !addr_from_host(&a, sv_of(servers->v[i]), DNS_PORT))
            goto out;
        buf_printf(&csv, "%s%s", i ? "," : "", addr_text(&a, text));
    }
    status = buf_failed(&csv) ? ARES_ENOMEM : ares_set_servers_ports_csv(channel, csv.p);
    err = status == ARES_SUCCESS ? TD_OK : status == ARES_ENOMEM ? TD_ENOMEM : TD_EINVAL;
out:
    buf_fini(&csv);
    return err;
}

int resolver_new(struct resolver **out, struct loop *l, const struct conf_list *servers)
{
    struct resolver *r = calloc(1, sizeof *r);
    struct ares_options options = { 0 };
    int err = TD_ENOMEM, status;

    *out = NULL;
    if (!r)
        return err;
    r->loop = l;
    list_init(&r->ios);
    list_init(&r->used);
    wheel_timer_init(&r->timer, on_timer);
    err = hash_init(&r->names, 6);
    if (err)
        goto out;
    pthread_once(&library_once, library_start);
    options.flags = ARES_FLAG_NOSEARCH; /* a host in a URI is complete */
    options.timeout = TRY_MS;
    options.tries = TRIES;
    options.sock_state_cb = on_socket;
    options.sock_state_cb_data = r;
    status = library_status;
    if (status == ARES_SUCCESS)
        status = ares_init_options(&r->channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        r->channel = NULL;
        err = status == ARES_ENOMEM ? TD_ENOMEM : TD_EIO;
        goto out;
    }
    if (servers->n) {
        err = set_servers(r->channel, servers);
        if (err)
            goto out;
    }
    *out = r;
    r = NULL;
out:
    resolver_free(&r);
    return err;
}

static void free_waiters(struct hash_node *node, void *arg)
{
    struct name *n = TD_CONTAINER_OF(node, struct name, node);

    while (!list_is_empty(&n->waiters))
        resolve_cancel(list_item(n->waiters.next, struct resolve_query, node));
}

static void free_name(struct hash_node *node, void *arg)
{
    name_free(TD_CONTAINER_OF(node, struct name, node));
}

void resolver_free(struct resolver **rp)
{
    struct resolver *r = *rp;

    if (!r)
        return;
    *rp = NULL;
    r->closing = true;
    if (r->names.slots)
        hash_each(&r->names, free_waiters, NULL);
    if (r->channel)
        ares_destroy(r->channel); /* answers what is pending, closes its sockets */
    loop_timer_stop(r->loop, &r->timer);
    if (r->names.slots)
        hash_each(&r->names, free_name, NULL);
    hash_fini(&r->names);
    free(r);
}

const char *resolver_library_version(void)
{
    return ares_version(NULL);
}
