/* One end of a conversation. */
#include "tests/faults/end.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/digest.h"
#include "common/hash.h"

enum { SLICE = 8192, WHOLE_MAX = 2048 };

struct end *end_by_port[65536];

static void fault(struct end *e, const char *what)
{
    if (!e->is_over)
        e->ops->fault(e, what);
}

static uint64_t now_ms(const struct end *e)
{
    return loop_now_ms(e->net->loop);
}

/* ---- what it writes ---- */

static struct sv first_uri(const char *path)
{
    struct sv s = sv_of(path);

    return sv_upto(s, sv_find(s, ' '));
}

static struct sv without_last(const char *path)
{
    const char *last = strrchr(path, ' ');

    return sv_make(path, last ? (size_t)(last - path) : 0);
}

/* The header lines behind the paths, as they are sent and as they must come; range NULL: none. */
static void add_headers(struct buf *b, const struct message *m, const char *range, bool range_first)
{
    static const char *const frs[] = { "", "Failure-Report: yes\r\n", "Failure-Report: partial\r\n",
                                       "Failure-Report: no\r\n" };

    if (range && range_first)
        buf_printf(b, "Byte-Range: %s\r\n", range);
    buf_printf(b, "Message-ID: %s\r\n%s%sX-Note: a  b:c\r\n", m->id, m->wants_success ? "Success-Report: yes\r\n" : "",
               frs[m->fr]);
    if (range && !range_first)
        buf_printf(b, "Byte-Range: %s\r\n", range);
    if (m->has_body)
        buf_puts(b, "Content-ID: <1@x>\r\nContent-Type: application/octet-stream\r\n\r\n");
}

static void open_chunk(struct end *e, struct message *m, uint64_t n, struct buf *b)
{
    struct chunk *k = message_chunk(m, e->at_octet);
    bool last = k->from + n > m->size && !m->abort_at;
    char range[64];

    k->begun_ms = now_ms(e);
    snprintf(e->open_tid, sizeof e->open_tid, "s%06x.%u.%02zx.%zx", e->serial & 0xffffff, e->index,
             (size_t)(m - e->messages), m->n_chunks - 1);
    if (n > WHOLE_MAX || m->abort_at)
        snprintf(range, sizeof range, "%" PRIu64 "-*/%" PRIu64, k->from, m->size);
    else
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64 "/%" PRIu64, k->from, k->from + n - 1, m->size);
    buf_printf(b, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", e->open_tid, e->to_path, e->uri);
    add_headers(b, m, m->has_range ? range : NULL, false);
    k->flag = last ? '$' : '+';
    e->chunk_open = true;
}

static void close_chunk(struct end *e, char flag)
{
    struct message *m = &e->messages[e->at_message];
    struct chunk *k = &m->chunks[m->n_chunks - 1];
    char line[64];

    k->flag = flag;
    k->closed = true;
    mc_link_write(
        e->link, line,
        (size_t)snprintf(line, sizeof line, "%s-------%s%c\r\n", m->has_body ? "\r\n" : "", e->open_tid, flag));
    e->chunk_open = false;
}

/* A whole frame; a chunk under way is interrupted for it (RFC 4975 s.7.1.1). */
static void say(struct end *e, struct buf *b)
{
    if (e->link && mc_link_is_up(e->link)) {
        if (e->chunk_open)
            close_chunk(e, '+');
        mc_link_write(e->link, b->p, b->n);
    }
    buf_fini(b);
}

/* One step of the message under way. */
static void send_some(struct end *e)
{
    struct message *m = &e->messages[e->at_message];
    uint64_t left = m->size + 1 - e->at_octet, n = TD_MIN(left, m->chunk_max),
             end = m->abort_at ? m->abort_at : m->size;
    struct chunk *k;

    if (!e->chunk_open) {
        struct buf b = BUF_INIT;

        open_chunk(e, m, n, &b);
        mc_link_write(e->link, b.p, b.n);
        buf_fini(&b);
    }
    k = &m->chunks[m->n_chunks - 1];
    n = TD_MIN((uint64_t)SLICE, k->from + m->chunk_max - e->at_octet);
    n = TD_MIN(n, end + 1 - e->at_octet);
    mc_link_write(e->link, ledger_block + m->block_at + e->at_octet - 1, (size_t)n);
    k->n += n;
    e->at_octet += n;
    if (e->at_octet > end) {
        close_chunk(e, m->abort_at ? '#' : '$');
        e->at_message++;
        e->at_octet = 1;
    } else if (k->n >= m->chunk_max) {
        close_chunk(e, '+');
    }
}

void end_pump(struct end *e)
{
    while (e->at_message < TD_MIN(e->n_allowed, e->n_messages) && e->link && mc_link_is_up(e->link) && !e->broken &&
           !mc_link_is_full(e->link))
        send_some(e);
}

/* ---- AUTH ---- */

static void send_auth(struct end *e, const struct mc_challenge *c)
{
    static const char to[] = "edge.tandem.example:5061;tcp";
    struct buf b = BUF_INIT;
    char uri[64];

    snprintf(e->auth_tid, sizeof e->auth_tid, "a%06x.%u.%u", e->serial & 0xffffff, e->index, e->auth_tries++);
    snprintf(uri, sizeof uri, "msrp%s://%s", e->tls ? "s" : "", to);
    buf_printf(&b, "MSRP %s AUTH\r\nTo-Path: %s\r\nFrom-Path: %s\r\n", e->auth_tid, uri, e->uri);
    if (c) {
        struct mc_credentials who = { sv_of(e->user), sv_of(e->password), false };
        struct mc_digest d = { SV("AUTH"), sv_of(uri), sv_of(e->auth_tid), 1 };

        buf_puts(&b, "Authorization: ");
        mc_digest_authorize(&b, c, &who, &d);
        buf_puts(&b, "\r\n");
    }
    buf_printf(&b, "-------%s$\r\n", e->auth_tid);
    say(e, &b);
}

static void got_auth_answer(struct end *e, const struct mc_head *h)
{
    const struct sv *www = mc_head_get(h, SV("WWW-Authenticate")), *use = mc_head_get(h, SV("Use-Path"));
    struct mc_challenge c;

    if (h->code == 401 && e->auth_tries == 1 && www && mc_challenge_parse(*www, &c)) {
        send_auth(e, &c);
    } else if (h->code == 200 && use && sv_copy(*use, e->token, sizeof e->token)) {
        e->is_ready = true;
        e->ops->ready(e);
    } else {
        fault(e, "AUTH was refused");
    }
}

/* ---- what comes: responses and REPORTs ---- */

static struct message *own_message(struct end *e, struct sv id)
{
    char text[33];
    unsigned serial, index, n;

    if (!sv_copy(id, text, sizeof text) || sscanf(text, "m%x.%u.%x", &serial, &index, &n) != 3 || n >= e->n_messages ||
        strcmp(e->messages[n].id, text) != 0)
        return NULL;
    return &e->messages[n];
}

static struct chunk *own_chunk(struct end *e, struct sv tid)
{
    char text[33], again[64];
    unsigned serial, index, n, k;

    if (!sv_copy(tid, text, sizeof text) || sscanf(text, "s%x.%u.%x.%x", &serial, &index, &n, &k) != 4)
        return NULL;
    snprintf(again, sizeof again, "s%06x.%u.%02x.%x", e->serial & 0xffffff, e->index, n, k);
    if (strcmp(again, text) != 0 || n >= e->n_messages || k >= e->messages[n].n_chunks)
        return NULL;
    return &e->messages[n].chunks[k];
}

static void got_response(struct end *e, const struct mc_head *h)
{
    struct chunk *k;
    struct buf want = BUF_INIT;

    if (sv_eq(h->tid, sv_of(e->auth_tid)) && !e->is_ready) {
        got_auth_answer(e, h);
        return;
    }
    k = own_chunk(e, h->tid);
    if (!k) {
        fault(e, "a response to nothing");
        return;
    }
    buf_printf(&want,
               "MSRP " SV_FMT " %03u"
               "%s" SV_FMT "\r\nTo-Path: %s\r\nFrom-Path: " SV_FMT "\r\n",
               SV_ARG(h->tid), h->code, h->comment.n ? " " : "", SV_ARG(h->comment), e->uri,
               SV_ARG(first_uri(e->to_path)));
    if (!sv_eq(h->raw, buf_sv(&want)) || h->has_body)
        fault(e, "a response with wrong lines (M-FWD-20)");
    buf_fini(&want);
    k->answers++;
    k->code = h->code;
}

static void got_report(struct end *e, const struct mc_head *h)
{
    const struct sv *id = mc_head_get(h, SV("Message-ID")), *range = mc_head_get(h, SV("Byte-Range")),
                    *status = mc_head_get(h, SV("Status"));
    struct message *m = id ? own_message(e, *id) : NULL;
    struct mc_range r;
    uint64_t code;

    if (!m || !range || !status || h->n != 3 || h->has_body || !mc_range_parse(*range, &r) || r.end == MC_UNKNOWN ||
        status->n < 7 || !sv_starts(*status, SV("000 ")) || !sv_to_u64(sv_make(status->p + 4, 3), &code, NULL) ||
        !sv_eq(h->to_path, sv_of(e->uri))) {
        fault(e, "a REPORT that makes no sense (M-REP-01)");
        return;
    }
    if (code == 200) {
        m->success_heard++;
        if (!sv_eq(h->from_path, sv_of(e->to_path)) || r.start != 1 || r.end != m->size)
            fault(e, "a success REPORT that was changed (M-REP-07)");
        return;
    }
    if (!sv_eq(h->from_path, without_last(e->to_path)))
        fault(e, "a failure REPORT with a wrong From-Path (M-REP-01)");
    if (r.total != MC_UNKNOWN && r.total != m->size && m->size)
        fault(e, "a failure REPORT with another total (M-REP-02)");
    message_told(m, r.start, r.end + 1 - r.start, (unsigned)code, now_ms(e));
}

/* ---- what comes: SENDs ---- */

static void answer(struct end *e, struct piece *p, unsigned code)
{
    struct buf b = BUF_INIT;

    p->code = code;
    p->answered_ms = now_ms(e);
    buf_printf(&b, "MSRP %s %03u said so\r\nTo-Path: " SV_FMT "\r\nFrom-Path: %s\r\n-------%s$\r\n", e->in_tid, code,
               SV_ARG(first_uri(e->to_path)), e->uri, e->in_tid);
    say(e, &b);
    e->in_answered = true;
}

static void say_success(struct end *e, struct message *m)
{
    struct buf b = BUF_INIT;

    m->success_said++;
    buf_printf(&b,
               "MSRP %.20sr REPORT\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: 1-%" PRIu64
               "/%" PRIu64 "\r\nStatus: 000 200 OK\r\n-------%.20sr$\r\n",
               m->id, e->to_path, e->uri, m->id, m->size, m->size, m->id);
    say(e, &b);
}

/* Are the header lines those that the peer sent, but for the range, in their order and without a blank more? */
static bool same_headers(const struct mc_head *h, const struct message *m, const struct sv *range)
{
    struct buf b = BUF_INIT;
    char text[64] = "";
    struct sv rest = h->raw;
    bool same;

    for (int i = 0; i < 3; i++)
        rest = sv_from(rest, sv_find(rest, '\n') + 1);
    if (range)
        sv_copy(*range, text, sizeof text);
    add_headers(&b, m, range ? text : NULL, !m->has_range);
    same = sv_eq(rest, buf_sv(&b));
    buf_fini(&b);
    return same;
}

static bool is_new_tid(struct end *e, struct sv tid)
{
    uint64_t hash = hash_bytes(tid.p, tid.n);

    for (size_t i = 0; i < TD_MIN(e->n_tids, TD_ARRAY_LEN(e->seen_tids)); i++)
        if (e->seen_tids[i] == hash)
            return false;
    e->seen_tids[e->n_tids++ % TD_ARRAY_LEN(e->seen_tids)] = hash;
    return true;
}

static void got_send(struct end *e, const struct mc_head *h)
{
    const struct sv *id = mc_head_get(h, SV("Message-ID")), *range = mc_head_get(h, SV("Byte-Range"));
    struct message *m = id ? own_message(e->peer, *id) : NULL;
    struct mc_range r = { 1, MC_UNKNOWN, MC_UNKNOWN };
    struct piece *p;

    if (!m || h->has_body != m->has_body) {
        fault(e, "a SEND that nobody has sent");
        return;
    }
    if (!sv_eq(h->to_path, sv_of(e->uri)) || !sv_eq(h->from_path, sv_of(e->to_path)))
        fault(e, "wrong paths (M-FWD-08)");
    if (range ? !mc_range_parse(*range, &r) : m->has_range)
        fault(e, "a Byte-Range is bad or lost");
    if (!same_headers(h, m, range))
        fault(e, "changed header lines (M-FWD-14, M-HDR-03)");
    if (!is_new_tid(e, h->tid))
        fault(e, "a transaction identifier for the second time (M-FRM-24)");
    if (r.total != MC_UNKNOWN && r.total != m->size)
        fault(e, "another total");
    if (m->n_pieces && r.start < m->pieces[m->n_pieces - 1].from + m->pieces[m->n_pieces - 1].n)
        fault(e, "octets that were there already: delivered twice or out of order (M-CHK-08)");
    if (m->n_pieces && m->pieces[m->n_pieces - 1].flag != '+')
        fault(e, "a piece after the last one");
    p = message_piece(m, r.start);
    e->in = m;
    e->in_piece = m->n_pieces - 1;
    e->in_at = r.start;
    e->in_answered = false;
    sv_copy(h->tid, e->in_tid, sizeof e->in_tid);
    if (m->reply == REPLY_ERROR_AT_ONCE)
        answer(e, p, m->reply_code);
}

static void got_send_end(struct end *e, char flag)
{
    struct message *m = e->in;
    struct piece *p = &m->pieces[e->in_piece];

    p->complete = true;
    p->flag = flag;
    if (flag == '$') {
        m->is_whole = p->from + p->n == m->size + 1;
        for (size_t i = 1; i < m->n_pieces; i++)
            m->is_whole &= m->pieces[i].from == m->pieces[i - 1].from + m->pieces[i - 1].n;
    }
    if (!e->in_answered) {
        if (m->reply != REPLY_OK && m->reply != REPLY_NEVER)
            answer(e, p, m->reply_code);
        else if (m->reply == REPLY_OK && (m->fr == FR_ABSENT || m->fr == FR_YES))
            answer(e, p, 200);
        else if (m->reply == REPLY_OK)
            p->code = 200; /* in mind */
    }
    if (flag == '$' && m->is_whole && m->wants_success && m->reply == REPLY_OK)
        say_success(e, m);
}

/* ---- the link ---- */

static void on_up(struct mc_link *l)
{
    struct end *e = l->user;

    if (l->is_accepted) {
        e = end_by_port[addr_port(&l->peer)];
        if (!e) {
            mc_link_close(l, "nobody waits for it");
            return;
        }
        e->link = l;
        l->user = e;
    }
    if (e->kind == END_CLIENT) {
        send_auth(e, NULL);
    } else if (!e->is_ready) {
        e->is_ready = true;
        e->ops->ready(e);
    }
    end_pump(e);
}

static void on_head(struct mc_link *l, const struct mc_head *h)
{
    struct end *e = l->user;

    e->in = NULL;
    e->last_ms = now_ms(e);
    if (!h->method.n)
        got_response(e, h);
    else if (sv_eq(h->method, SV("REPORT")))
        got_report(e, h);
    else if (sv_eq(h->method, SV("SEND")))
        got_send(e, h);
    else
        fault(e, "a request with a method that nobody sent");
}

static void on_body(struct mc_link *l, struct sv bytes)
{
    struct end *e = l->user;
    struct message *m = e->in;

    e->last_ms = now_ms(e);
    if (!m)
        return;
    if (e->in_at - 1 + bytes.n > m->size)
        fault(e, "more octets than the message has");
    else if (memcmp(bytes.p, ledger_block + m->block_at + e->in_at - 1, bytes.n) != 0)
        fault(e, "other octets than were sent (M-FRM-16)");
    m->pieces[e->in_piece].n += bytes.n;
    e->in_at += bytes.n;
}

static void on_end(struct mc_link *l, char flag)
{
    struct end *e = l->user;

    if (e->in)
        got_send_end(e, flag);
    else if (flag != '$')
        fault(e, "a response or REPORT that does not end with $ (M-FRM-19)");
    e->in = NULL;
    e->ops->moved(e);
}

static void on_drained(struct mc_link *l)
{
    end_pump(l->user);
}

static void on_down(struct mc_link *l, const char *why)
{
    struct end *e = l->user;
    char text[200];

    if (!e)
        return;
    e->link = NULL;
    if (sv_starts(sv_of(why), SV("framing error")) || (!e->broken && !e->is_over)) {
        snprintf(text, sizeof text, "the connection ends: %s", why);
        fault(e, text);
    }
    e->broken = true;
    e->ops->moved(e);
}

const struct mc_link_ops end_link_ops = { on_up, on_head, on_body, on_end, on_drained, on_down };

/* ---- the proxy's news ---- */

static void on_cut(struct proxy *p, enum proxy_cut how)
{
    ((struct end *)p->arg)->broken = true;
}

static void on_side_end(struct proxy *p, enum proxy_side whose)
{
    struct end *e = p->arg;

    if (!e->broken && whose == SIDE_RELAY)
        fault(e, "the relay has closed a connection that was well");
    e->broken = true;
}

static void on_open(struct proxy *p)
{
    if (p->relay_dials)
        end_by_port[p->end_port] = p->arg;
}

bool end_start(struct end *e, struct loop *loop, const struct addr *relay, const struct addr *listener)
{
    const char *scheme = e->tls ? "msrps" : "msrp";

    e->at_octet = 1;
    e->proxy.arg = e;
    e->proxy.on_cut = on_cut;
    e->proxy.on_end = on_side_end;
    e->proxy.on_open = on_open;
    if (!proxy_open(&e->proxy, loop, e->kind == END_LISTENS ? listener : relay, e->kind == END_LISTENS))
        return false;
    if (e->kind == END_LISTENS) {
        snprintf(e->uri, sizeof e->uri, "%s://127.0.0.1:%u/f%06x;tcp", scheme, addr_port(&e->proxy.at),
                 e->serial & 0xffffff);
        return true;
    }
    snprintf(e->uri, sizeof e->uri, "%s://e%u.invalid:9/c%06x;tcp", scheme, e->index, e->serial & 0xffffff);
    return mc_link_dial(&e->link, e->net, "127.0.0.1", addr_port(&e->proxy.at), e->tls, e) == 0;
}

void end_introduce(struct end *a, struct end *b)
{
    struct end *const both[] = { a, b };

    for (int i = 0; i < 2; i++) {
        struct end *e = both[i], *peer = both[!i];

        snprintf(e->to_path, sizeof e->to_path, "%s%s%s%s%s", e->token, e->token[0] ? " " : "", peer->token,
                 peer->token[0] ? " " : "", peer->uri);
    }
}

void end_stop(struct end *e)
{
    e->is_over = true;
    if (e->proxy.loop) {
        if (end_by_port[e->proxy.end_port] == e)
            end_by_port[e->proxy.end_port] = NULL;
        proxy_close(&e->proxy);
    }
    if (e->link)
        mc_link_close(e->link, "the conversation is over");
    for (size_t i = 0; i < e->n_messages; i++)
        message_free(&e->messages[i]);
    free(e->messages);
    e->messages = NULL;
    e->n_messages = 0;
}
