/* Frames between workers: a ring for each pair, one wake-up for each batch, back-pressure both ways.
 *
 * The worker that received a request does everything up to the route; the worker that owns the next hop's connection
 * does the rest (hop.c) and reports back by frames to deliver. A record is a fixed head and the bytes; large bodies
 * cross in pieces. When a ring is full the source pauses; when the next hop is full its worker sends a pause back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/err.h"
#include "common/ring.h"
#include "msrp/private.h"
#include "msrp/stream.h"

enum { RING_SIZE = 256 * 1024, RECORDS_PER_WAKE = 4096, LOST_MAX = 16 };
/* A record is at most a quarter of the ring: its head, headers of the largest msrp.max_header, a body. */
_Static_assert(RING_SIZE / 4 == REMOTE_MAX && REMOTE_MAX >= 32 * 1024 + CROSS_BODY_MAX + 1024, "a record must fit");

enum record_type { REC_FRAME, REC_BEGIN, REC_BODY, REC_REFUSE, REC_END, REC_DELIVER, REC_REPORT, REC_LOST, REC_AUTH_FAILED, REC_PAUSE, REC_RESUME };

struct record {
    uint8_t type, method, fr, flag;
    bool has_body, hyphen_lines, finish, credentials;
    bool shared;            /* the source */
    uint16_t tid_in_n, message_id_n, method_text_n, range_value_n;
    uint16_t refused;       /* rx_refused of the source */
    uint32_t headers_n, body_n, range_value_at;
    struct conn_ref conn;   /* whom it is for */
    struct route *route;    /* owned by the record */
    uint64_t id;            /* of a stream */
    struct msrp_range range;
    uint64_t started_at;
    /* then: tid_in, message_id, method_text, headers, body; or struct report, message_id, comment */
};

struct report {
    uint64_t start, octets;
    unsigned status;
    size_t comment_n;
};

/* One direction between two workers. */
struct channel {
    struct ring ring;
    int blocked; /* atomic: the producer waits for room */
};

/* A record where it waits when the ring has no room. */
struct cross_note {
    struct cross_note *next;
    size_t n;
    char bytes[];
};

/* What this worker keeps for one it sends to. */
struct outlet {
    struct cross_note *first, **last; /* owned: records that must get through and found no room */
    struct conn_ref lost[LOST_MAX]; /* what was for them found neither room nor memory: they are to end. Of more nothing but the count is left */
    unsigned n_lost;
    struct list waiters;            /* connections paused until there is room, by wait_node */
    bool dirty;                     /* to be woken at the end of this turn */
};

/* A chunk in pieces that comes from another worker. */
struct remote_stream {
    struct hash_node node;
    uint64_t id;
    struct stream *stream; /* owned */
    bool answered;         /* its sender has had the response by which it was refused */
};

struct cross {
    struct relay *relay;   /* back */
    unsigned n;
    struct channel **in;   /* owned: by sending worker; NULL for ourselves */
    struct outlet *out;    /* owned: by receiving worker */
    struct loop_io io;
    struct loop_hook hook;
    int fd;                /* owned: whoever has news for us writes to it */
};

static void on_wake(struct loop_io *io, uint32_t events);
static void on_turn_end(struct loop_hook *h);

int cross_new(struct cross **out, struct relay *relay, unsigned n_workers)
{
    struct cross *x = calloc(1, sizeof *x);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!x)
        return err;
    x->relay = relay;
    x->n = n_workers;
    x->fd = -1;
    x->io.fd = -1;
    x->io.ready = on_wake;
    x->hook.run = on_turn_end;
    list_init(&x->hook.node);
    x->in = calloc(n_workers, sizeof *x->in);
    x->out = calloc(n_workers, sizeof *x->out);
    if (!x->in || !x->out)
        goto out;
    for (unsigned i = 0; i < n_workers; i++) {
        x->out[i].last = &x->out[i].first;
        list_init(&x->out[i].waiters);
    }
    for (unsigned i = 0; i < n_workers; i++) {
        if (i == relay->worker->index)
            continue;
        x->in[i] = calloc(1, sizeof *x->in[i]);
        if (!x->in[i])
            goto out;
        err = ring_init(&x->in[i]->ring, RING_SIZE);
        if (err)
            goto out;
    }
    x->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (x->fd < 0) {
        err = td_err_from_errno(errno);
        goto out;
    }
    err = loop_add(relay->worker->loop, &x->io, x->fd, LOOP_READ);
    if (err)
        goto out;
    loop_hook_add(relay->worker->loop, &x->hook);
    relay->worker->held += (int64_t)(n_workers - 1) * RING_SIZE;
    *out = x;
    x = NULL;
out:
    cross_free(&x);
    return err;
}

/* Its source can no longer say that it ends. */
static void forget_stream(struct hash_node *n, void *arg)
{
    struct remote_stream *rs = TD_CONTAINER_OF(n, struct remote_stream, node);

    stream_abort(rs->stream);
    free(rs);
}

void cross_free(struct cross **xp)
{
    struct cross *x = *xp;

    if (!x)
        return;
    *xp = NULL;
    hash_each(&x->relay->streams, forget_stream, NULL);
    for (unsigned i = 0; x->in && i < x->n; i++) {
        struct record *r;
        size_t n;

        if (!x->in[i])
            continue;
        while (x->in[i]->ring.mem && (r = ring_peek(&x->in[i]->ring, &n))) {
            if (r->route)
                route_unref(x->relay, &r->route);
            ring_consume(&x->in[i]->ring);
        }
        ring_fini(&x->in[i]->ring);
        free(x->in[i]);
    }
    for (unsigned i = 0; x->out && i < x->n; i++)
        while (x->out[i].first) {
            struct cross_note *note = x->out[i].first;
            struct record r;

            x->out[i].first = note->next;
            memcpy(&r, note->bytes, sizeof r);
            route_unref(x->relay, &r.route);
            free(note);
        }
    if (x->fd >= 0)
        close(x->fd);
    free(x->in);
    free(x->out);
    free(x);
}

/* ---- sending ---- */

static struct channel *channel_to(struct cross *x, unsigned worker)
{
    return x->relay->shared->relays[worker]->cross->in[x->relay->worker->index];
}

static void wake(const struct cross *x)
{
    uint64_t one = 1;

    while (write(x->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* The other one is to say when it has taken something out of its ring. */
static void wait_for_room(struct cross *x, unsigned worker)
{
    __atomic_store_n(&channel_to(x, worker)->blocked, 1, __ATOMIC_SEQ_CST);
    x->out[worker].dirty = true; /* a wake-up answers a ring that was emptied just now, too */
}

static bool no_room(struct cross *x, unsigned worker, struct msrp_conn *source)
{
    struct outlet *o = &x->out[worker];

    if (list_is_empty(&source->wait_node))
        list_append(&o->waiters, &source->wait_node);
    conn_pause(source->conn, CONN_PAUSE_FLOW);
    stats_inc(&x->relay->worker->stats, STAT_msrp_paused);
    wait_for_room(x, worker);
    return false;
}

/* Room for a record of n bytes, or NULL. */
static char *reserve(struct cross *x, unsigned worker, size_t n)
{
    return x->out[worker].first ? NULL : ring_reserve(&channel_to(x, worker)->ring, n);
}

static void commit(struct cross *x, unsigned worker, size_t n)
{
    ring_commit(&channel_to(x, worker)->ring, n);
    x->out[worker].dirty = true;
}

static char *add(char *at, struct sv s)
{
    if (s.n)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static bool send_outgoing(struct relay *relay, struct msrp_conn *source, const struct outgoing *f, enum record_type type, uint64_t id)
{
    struct cross *x = relay->cross;
    unsigned worker = f->route->dest.worker;
    size_t n = sizeof(struct record) + f->tid_in.n + f->message_id.n + f->method_text.n + f->headers.n + f->body.n;
    char *at = reserve(x, worker, n);
    struct record r = {
        .type = (uint8_t)type,
        .method = (uint8_t)f->method,
        .fr = (uint8_t)f->fr,
        .flag = (uint8_t)f->flag,
        .has_body = f->has_body,
        .hyphen_lines = f->hyphen_lines,
        .finish = f->finish,
        .credentials = f->credentials,
        .shared = source->shared,
        .tid_in_n = (uint16_t)f->tid_in.n,
        .message_id_n = (uint16_t)f->message_id.n,
        .method_text_n = (uint16_t)f->method_text.n,
        .headers_n = (uint32_t)f->headers.n,
        .body_n = (uint32_t)f->body.n,
        .range_value_n = (uint16_t)f->range_value.n,
        .range_value_at = f->range_value.n ? (uint32_t)(f->range_value.p - f->headers.p) : 0,
        .conn = f->route->dest,
        .route = f->route,
        .id = id,
        .range = f->range,
        .started_at = f->started_at,
    };

    if (!at)
        return no_room(x, worker, source);
    route_ref(f->route);
    at = add(at, sv_make(&r, sizeof r));
    at = add(at, f->tid_in);
    at = add(at, f->message_id);
    at = add(at, f->method_text);
    at = add(at, f->headers);
    add(at, f->body);
    commit(x, worker, n);
    stats_inc(&relay->worker->stats, STAT_msrp_crossed);
    return true;
}

bool cross_frame(struct relay *relay, struct msrp_conn *source, const struct outgoing *f)
{
    return send_outgoing(relay, source, f, REC_FRAME, 0);
}

bool cross_stream_begin(struct relay *relay, struct msrp_conn *source, const struct outgoing *f, uint64_t id)
{
    return send_outgoing(relay, source, f, REC_BEGIN, id);
}

bool cross_stream_body(struct relay *relay, struct msrp_conn *source, unsigned worker, uint64_t id, const char *p, size_t n,
                       bool hyphen_lines)
{
    struct record r = {
        .type = REC_BODY,
        .id = id,
        .shared = source->shared,
        .body_n = (uint32_t)n,
        .hyphen_lines = hyphen_lines,
    };
    char *at = reserve(relay->cross, worker, sizeof r + n);

    if (!at)
        return no_room(relay->cross, worker, source);
    add(add(at, sv_make(&r, sizeof r)), sv_make(p, n));
    commit(relay->cross, worker, sizeof r + n);
    return true;
}

struct cross_note *cross_note_new(void)
{
    return malloc(sizeof(struct cross_note) + sizeof(struct record) + MSRP_TID_MAX);
}

/* Into the ring, or behind what found no room before.
 * reserved  memory for a record with no more bytes than a tid, which is taken if it is needed; NULL: out of memory the
 *           record is lost */
static void send_surely(struct relay *relay, unsigned worker, const struct record *r, struct sv bytes, struct cross_note **reserved)
{
    struct cross *x = relay->cross;
    struct outlet *o = &x->out[worker];
    size_t n = sizeof *r + bytes.n;
    char *at = n <= RING_SIZE / 4 ? reserve(x, worker, n) : NULL;
    struct cross_note *note;

    if (at) {
        add(add(at, sv_make(r, sizeof *r)), bytes);
        commit(x, worker, n);
        return;
    }
    note = reserved ? *reserved : malloc(sizeof *note + n);
    if (!note) {
        struct route *route = r->route;

        stats_inc(&relay->worker->stats, STAT_msrp_dropped);
        route_unref(relay, &route);
        if ((r->type == REC_DELIVER || r->type == REC_REPORT || r->type == REC_LOST) && o->n_lost < LOST_MAX)
            o->lost[o->n_lost++] = r->conn;
        wait_for_room(x, worker);
        return;
    }
    if (reserved)
        *reserved = NULL;
    note->next = NULL;
    note->n = n;
    add(add(note->bytes, sv_make(r, sizeof *r)), bytes);
    relay->worker->held += (int64_t)(sizeof *note + n);
    *o->last = note;
    o->last = &note->next;
    wait_for_room(x, worker);
}

static void send_end(struct relay *relay, struct msrp_conn *source, enum record_type type, char flag, struct cross_note **note)
{
    struct record r = { .type = (uint8_t)type, .id = source->rx_stream_id, .flag = (uint8_t)flag };
    struct sv tid = sv_make(NULL, 0);

    if (source->rx_refused) { /* all that an answer needs */
        r.refused = source->rx_refused;
        r.fr = (uint8_t)source->rx_fr;
        r.route = route_ref(source->rx_route);
        tid = sv_make(source->rx_tid, source->rx_tid_n);
        r.tid_in_n = (uint16_t)tid.n;
    }
    send_surely(relay, source->rx_stream_worker, &r, tid, note);
}

void cross_stream_refuse(struct relay *relay, struct msrp_conn *source)
{
    send_end(relay, source, REC_REFUSE, '#', NULL); /* out of memory its end says the same */
}

void cross_stream_end(struct relay *relay, struct msrp_conn *source, char flag)
{
    send_end(relay, source, REC_END, flag, &source->rx_note);
}

void cross_deliver(struct relay *relay, struct conn_ref to, struct sv frame)
{
    struct record r = { .type = REC_DELIVER, .conn = to, .body_n = (uint32_t)frame.n };

    if (frame.n <= RING_SIZE / 4 - sizeof r)
        send_surely(relay, to.worker, &r, frame, NULL);
    else
        stats_inc(&relay->worker->stats, STAT_msrp_dropped);
}

void cross_report(struct relay *relay, struct conn_ref to, struct route *route, struct sv message_id, const struct msrp_range *range,
                  uint64_t start, uint64_t octets, unsigned status, struct sv comment)
{
    struct record r = { .type = REC_REPORT, .conn = to, .message_id_n = (uint16_t)message_id.n, .range = *range, .route = route_ref(route) };
    struct report rep = { .start = start, .octets = octets, .status = status, .comment_n = comment.n };
    char bytes[sizeof rep + MSRP_TID_MAX + STATUS_COMMENT_MAX];
    char *end = add(add(add(bytes, sv_make(&rep, sizeof rep)), message_id), comment);

    send_surely(relay, to.worker, &r, sv_make(bytes, (size_t)(end - bytes)), NULL);
}

void cross_lost(struct relay *relay, struct conn_ref who)
{
    struct record r = { .type = REC_LOST, .conn = who };

    send_surely(relay, who.worker, &r, sv_make(NULL, 0), NULL);
}

void cross_auth_failed(struct relay *relay, struct conn_ref who)
{
    struct record r = { .type = REC_AUTH_FAILED, .conn = who };

    send_surely(relay, who.worker, &r, sv_make(NULL, 0), NULL);
}

void cross_pause(struct relay *relay, struct conn_ref source, bool pause, struct cross_note **note)
{
    struct record r = { .type = pause ? REC_PAUSE : REC_RESUME, .conn = source };

    send_surely(relay, source.worker, &r, sv_make(NULL, 0), note);
}

/* ---- receiving ---- */

static struct remote_stream *stream_by_id(struct relay *relay, uint64_t id)
{
    struct hash_node *n = hash_first(&relay->streams, id);

    while (n && TD_CONTAINER_OF(n, struct remote_stream, node)->id != id)
        n = hash_next(n);
    return n ? TD_CONTAINER_OF(n, struct remote_stream, node) : NULL;
}

/* The next hop has more of this session than it should: its source, on another worker, is to pause. */
static void hold(struct conn *dest, const struct record *r, struct route *route)
{
    if (flow_room(msrp_of(dest), route, r->shared) == FLOW_LATER)
        flow_wait(msrp_of(dest), route, r->shared);
}

/* It has, and for so long that what a shared source has for it fails. */
static bool is_too_slow(struct relay *relay, struct conn *dest, const struct record *r, const struct route *route)
{
    if (!r->shared || flow_room(msrp_of(dest), route, true) != FLOW_NEVER)
        return false;
    stats_inc(&relay->worker->stats, STAT_msrp_too_slow);
    return true;
}

static void got_outgoing(struct relay *relay, struct record *r)
{
    const char *at = (const char *)(r + 1);
    struct conn *dest = route_leads_on(r->route) ? conn_deref(relay->worker, r->conn) : NULL; /* it may have moved meanwhile */
    struct outgoing f = {
        .route = r->route,
        .method = (enum msrp_method)r->method,
        .fr = (enum msrp_failure_report)r->fr,
        .range = r->range,
        .has_body = r->has_body,
        .hyphen_lines = r->hyphen_lines,
        .finish = r->finish,
        .credentials = r->credentials,
        .flag = (char)r->flag,
        .started_at = r->started_at,
    };

    f.tid_in = sv_make(at, r->tid_in_n);
    f.message_id = sv_make(at += r->tid_in_n, r->message_id_n);
    f.method_text = sv_make(at += r->message_id_n, r->method_text_n);
    f.headers = sv_make(at += r->method_text_n, r->headers_n);
    f.range_value = sv_make(f.headers.p + r->range_value_at, r->range_value_n);
    f.body = sv_make(at + r->headers_n, r->body_n);
    if (dest && f.method == MSRP_SEND && is_too_slow(relay, dest, r, r->route))
        dest = NULL;
    if (r->type == REC_FRAME) {
        if (!dest || hop_frame(relay, dest, &f) == HOP_GONE)
            relay_undeliverable(relay, &f);
        else
            hold(dest, r, r->route);
    } else {
        struct remote_stream *rs = dest ? calloc(1, sizeof *rs) : NULL;

        if (rs)
            rs->stream = stream_begin(relay, dest, &f);
        if (!rs || !rs->stream) {
            free(rs);
            relay_undeliverable(relay, &f);
        } else {
            rs->id = r->id;
            hash_insert(&relay->streams, &rs->node, r->id);
        }
    }
    route_unref(relay, &r->route);
}

/* A chunk that its source does not let pass, or its end. rs NULL: it failed at its begin and was reported. Who knows of
 * a failure by a REPORT has a 200 for his request, when that is whole. */
static void got_refusal(struct relay *relay, struct record *r, struct remote_stream *rs)
{
    struct sv tid = sv_make(r + 1, r->tid_in_n);

    if (rs && !rs->answered && stream_refuse(rs->stream, r->refused)) {
        rs->answered = true;
        if (r->fr != MSRP_FR_NO)
            hop_answer(relay, r->route, tid, r->refused);
    }
    if (r->type == REC_END && r->fr == MSRP_FR_YES && !(rs && rs->answered))
        hop_answer(relay, r->route, tid, 200);
    route_unref(relay, &r->route);
}

static void got_stream(struct relay *relay, struct record *r)
{
    struct remote_stream *rs = stream_by_id(relay, r->id);
    struct conn *dest;

    if (r->refused)
        got_refusal(relay, r, rs);
    if (!rs || r->type == REC_REFUSE)
        return; /* it failed at its begin and was reported */
    if (r->type == REC_BODY) {
        dest = stream_dest(rs->stream);
        if (dest && is_too_slow(relay, dest, r, rs->stream->f.route))
            stream_fail(rs->stream, 408);
        stream_body(rs->stream, (const char *)(r + 1), r->body_n, r->hyphen_lines);
        dest = stream_dest(rs->stream);
        if (dest)
            hold(dest, r, rs->stream->f.route);
    } else {
        if (r->flag == CHUNK_ABORTED)
            stream_abort(rs->stream);
        else
            stream_end(rs->stream, (char)r->flag);
        hash_remove(&relay->streams, &rs->node);
        free(rs);
    }
}

/* A next hop on another worker says that it is full, or no longer: each says so once, and only the last one's word lets
 * the source go on. A reason of its own: room in the ring does not end it. */
static void held(struct msrp_conn *m, bool full)
{
    if (full && m->remote_holds++ == 0)
        conn_pause(m->conn, CONN_PAUSE_REMOTE);
    else if (!full && m->remote_holds && --m->remote_holds == 0)
        conn_resume(m->conn, CONN_PAUSE_REMOTE);
}

static void got_report(struct relay *relay, struct record *r)
{
    const char *at = (const char *)(r + 1);
    struct report rep;

    memcpy(&rep, at, sizeof rep);
    at += sizeof rep;
    report_to(relay, r->conn, r->route, sv_make(at, r->message_id_n), &r->range, rep.start, rep.octets, rep.status,
              sv_make(at + r->message_id_n, rep.comment_n));
    route_unref(relay, &r->route);
}

static void got(struct relay *relay, struct record *r)
{
    struct conn *c;

    switch ((enum record_type)r->type) {
    case REC_FRAME:
    case REC_BEGIN:
        got_outgoing(relay, r);
        break;
    case REC_BODY:
    case REC_REFUSE:
    case REC_END:
        got_stream(relay, r);
        break;
    case REC_DELIVER:
        relay_deliver(relay, r->conn, sv_make(r + 1, r->body_n));
        break;
    case REC_REPORT:
        got_report(relay, r);
        break;
    case REC_LOST:
        c = conn_deref(relay->worker, r->conn);
        if (c)
            conn_doom(c, CLOSE_NO_MEMORY);
        break;
    case REC_AUTH_FAILED:
        relay_auth_strike(relay, r->conn);
        break;
    case REC_PAUSE:
    case REC_RESUME:
        c = conn_deref(relay->worker, r->conn);
        if (c)
            held(msrp_of(c), r->type == REC_PAUSE);
        break;
    }
}

/* Records that must get through, then those who wait for room. */
static void retry(struct cross *x, unsigned worker)
{
    struct outlet *o = &x->out[worker];
    struct list now = LIST_INIT(now);

    while (o->first) {
        struct cross_note *note = o->first;
        char *at = ring_reserve(&channel_to(x, worker)->ring, note->n);

        if (!at) {
            wait_for_room(x, worker);
            return;
        }
        memcpy(at, note->bytes, note->n);
        commit(x, worker, note->n);
        o->first = note->next;
        if (!o->first)
            o->last = &o->first;
        x->relay->worker->held -= (int64_t)(sizeof *note + note->n);
        free(note);
    }
    while (o->n_lost) {
        struct record r = { .type = REC_LOST, .conn = o->lost[o->n_lost - 1] };
        char *at = reserve(x, worker, sizeof r);

        if (!at) {
            wait_for_room(x, worker);
            return;
        }
        memcpy(at, &r, sizeof r);
        commit(x, worker, sizeof r);
        o->n_lost--;
    }
    list_splice(&now, &o->waiters);
    while (!list_is_empty(&now)) {
        struct msrp_conn *m = list_item(now.next, struct msrp_conn, wait_node);

        list_remove(&m->wait_node);
        conn_resume(m->conn, CONN_PAUSE_FLOW);
    }
}

static void receive(struct cross *x, unsigned from)
{
    struct channel *ch = x->in[from];
    struct worker *w = x->relay->worker;
    struct record *r;
    size_t n;
    int count = 0;

    while (count < RECORDS_PER_WAKE && (r = ring_peek(&ch->ring, &n))) {
        got(x->relay, r);
        if (!list_is_empty(&w->borrowers))
            worker_settle(w);
        ring_consume(&ch->ring);
        count++;
    }
    if (count == RECORDS_PER_WAKE)
        wake(x); /* more of it next turn */
    if (__atomic_exchange_n(&ch->blocked, 0, __ATOMIC_SEQ_CST))
        wake(x->relay->shared->relays[from]->cross);
}

static void on_wake(struct loop_io *io, uint32_t events)
{
    struct cross *x = TD_CONTAINER_OF(io, struct cross, io);
    uint64_t n;

    while (read(x->fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    for (unsigned i = 0; i < x->n; i++) {
        if (!x->in[i])
            continue;
        receive(x, i);
        if (x->out[i].first || x->out[i].n_lost || !list_is_empty(&x->out[i].waiters))
            retry(x, i);
    }
}

static void on_turn_end(struct loop_hook *h)
{
    struct cross *x = TD_CONTAINER_OF(h, struct cross, hook);

    for (unsigned i = 0; i < x->n; i++)
        if (x->out[i].dirty) {
            x->out[i].dirty = false;
            wake(x->relay->shared->relays[i]->cross);
        }
}
