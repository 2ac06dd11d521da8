/* Is what the relay writes a consequence of what was said to it? */
#include "fuzz/oracle.h"

#include <stdlib.h>

#include "client/wire.h"
#include "fuzz/fuzz.h"

enum {
    REQUESTS = 512,
    TIDS = 512,
    GOODS = 64,
    RANGES = 8,
    PIECE_MIN = 2048,      /* octets of a piece that is not the last (M-CHK-07) */
    WS_PIECE_MAX = 65536,  /* of one on a WebSocket (M-WS-05) */
    HEAD_MAX = 16 * 1024,  /* msrp.max_header */
    WS_BAD_MESSAGE = 1002, /* RFC 6455 s.7.4.1 */
};

/* A frame as a peer said it. Views into the socket's bytes, which do not move. */
struct frame {
    size_t sock;
    bool good, is_response, has_body, ended, paths_first, has_report;
    struct sv tid, method, to, from, headers; /* headers: the lines behind the first two */
    struct sv message_id;
    enum { WANTS_ALL, WANTS_FAILURES, WANTS_NOTHING } report;
    uint64_t start;
    size_t body_at, body_n;
    char flag;

    bool taken, done; /* written to a next hop; all of it */
    bool all_went;    /* done, but for a `#` without octets: its source may die before the relay has read its end-line (M-CHK-14) */
    size_t taken_by;
    uint64_t sent; /* octets written */
    unsigned pieces, answers, code, told;
    struct { uint64_t first, last; } failed[RANGES]; /* of the first REPORTs about it */
    unsigned n_failed;
};

struct peer {
    bool used, owner, lost; /* lost: its framing is */
    bool on_websocket;
    bool over; /* a message was not exactly one frame: the connection is to be ended, and what comes later is nothing */
    bool may_break, closed; /* has said what may end its WebSocket as over does; the relay has ended it */
    char *in; /* owned, for all runs: what it said; does not move */
    size_t in_n;
    size_t parsed; /* of what it said */
    size_t frame; /* the one under way; SIZE_MAX: none */
    size_t scanned; /* of its body */
    size_t goods[GOODS], n_goods;

    /* what the relay writes to it */
    struct mc_reader reader;
    struct buf kept;
    struct frame *out; /* of the request under way; NULL: made by the relay, or a response */
    bool out_is_request;
    char use_path[256];
    uint64_t tids[TIDS];
    size_t n_tids;
};

static struct frame frames[ORACLE_FRAMES];
static size_t n_frames;
static struct peer peers[WIO_PEERS];
static struct oracle_request requests[REQUESTS];
static size_t n_requests;
static const char *secret; /* borrowed */

void oracle_start(const char *password)
{
    secret = password;
    n_frames = n_requests = 0;
    for (size_t i = 0; i < WIO_PEERS; i++)
        peers[i] = (struct peer){ .in = peers[i].in };
}

void oracle_stop(void)
{
    for (size_t i = 0; i < WIO_PEERS; i++)
        buf_fini(&peers[i].kept);
}

void oracle_peer(size_t sock, bool on_websocket)
{
    struct peer *p = &peers[sock];

    p->used = true;
    p->on_websocket = on_websocket;
    p->frame = SIZE_MAX;
    if (!p->in)
        p->in = malloc(WIO_STREAM_MAX);
    FUZZ_CHECK(p->in);
}

void oracle_good_frame(size_t sock)
{
    if (peers[sock].n_goods < GOODS)
        peers[sock].goods[peers[sock].n_goods++] = peers[sock].in_n;
}

/* ---- what the peers say ---- */

static bool is_flag(char c)
{
    return c == '$' || c == '+' || c == '#';
}

static bool is_end_line(const struct frame *f, struct sv line)
{
    return line.n == 7 + f->tid.n + 1 && memcmp(line.p, "-------", 7) == 0 &&
           memcmp(line.p + 7, f->tid.p, f->tid.n) == 0 && is_flag(line.p[line.n - 1]);
}

static bool header_is(struct sv line, const char *name, struct sv *value)
{
    size_t n = strlen(name);

    if (line.n <= n || line.p[n] != ':' || !sv_eq_nocase(sv_upto(line, n), sv_of(name)))
        return false;
    *value = sv_trim(sv_from(line, n + 1));
    return true;
}

/* The first number of a Byte-Range. */
static bool range_start(struct sv range, uint64_t *start)
{
    return sv_to_u64(sv_upto(range, sv_find(range, '-')), start, NULL) && *start > 0;
}

static void take_header(struct frame *f, struct sv line, size_t at_line)
{
    uint64_t start;
    struct sv v;

    if (header_is(line, "To-Path", &v) && !f->to.p) {
        f->to = v;
        f->paths_first = at_line == 1;
    } else if (header_is(line, "From-Path", &v) && !f->from.p) {
        f->from = v;
        f->paths_first &= at_line == 2;
    } else if (header_is(line, "Message-ID", &v) && !f->message_id.p) {
        f->message_id = v;
    } else if (header_is(line, "Failure-Report", &v) && !f->has_report) { /* a second one makes the frame a bad one */
        f->has_report = true;
        f->report = sv_eq_nocase(v, SV("no"))        ? WANTS_NOTHING
                    : sv_eq_nocase(v, SV("partial")) ? WANTS_FAILURES
                                                     : WANTS_ALL;
    } else if (header_is(line, "Byte-Range", &v) && range_start(v, &start)) {
        f->start = start;
    }
}

/* A name and a colon, and no end of a line before it ends: else the framing is lost there (M-FRM-20). */
static bool is_header(struct sv line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
        n++;
    return n > 0 && n < line.n && line.p[n] == ':' && !sv_starts(line, SV("-------")) && sv_find(line, '\n') == line.n;
}

/* The head of the frame that begins at peer->parsed, when all of it is there, and it is one. */
static bool read_head(size_t sock)
{
    struct peer *p = &peers[sock];
    struct sv rest = sv_make(p->in + p->parsed, p->in_n - p->parsed);
    struct frame f = { .sock = sock, .start = 1, .report = WANTS_ALL };
    const char *headers = NULL;

    while (p->parsed == 0 && !p->on_websocket && sv_starts(rest, SV("\r\n"))) /* keep-alive before the first frame */
        rest = sv_from(rest, 2);
    for (size_t at_line = 0;; at_line++) {
        const char *end = rest.n ? memmem(rest.p, rest.n, "\r\n", 2) : NULL;
        struct sv line;

        if (!end)
            return false;
        line = sv_make(rest.p, (size_t)(end - rest.p));
        rest = sv_from(rest, line.n + 2);
        if (at_line == 0) {
            struct sv words = sv_from(line, 5);

            if (sv_find(line, '\n') != line.n)
                return false;
            f.tid = sv_upto(words, sv_find(words, ' '));
            f.method = sv_from(words, f.tid.n + 1);
            if (!sv_starts(line, SV("MSRP ")) || !mc_is_ident(f.tid) || n_frames == ORACLE_FRAMES) {
                p->lost = true;
                return false;
            }
            f.is_response = f.method.n >= 3 && f.method.p[0] >= '0' && f.method.p[0] <= '9';
        } else if (line.n == 0 || is_end_line(&f, line)) {
            f.has_body = line.n == 0;
            f.headers = sv_make(headers ? headers : line.p, headers ? (size_t)(line.p - headers) : 0);
            f.ended = !f.has_body;
            f.flag = f.has_body ? 0 : line.p[line.n - 1];
            f.body_at = (size_t)(rest.p - p->in);
            for (size_t i = 0; i < p->n_goods; i++)
                f.good |= p->goods[i] == p->parsed;
            p->frame = n_frames;
            p->scanned = f.body_at;
            p->parsed = f.body_at;
            frames[n_frames++] = f;
            if (sv_eq(f.method, SV("AUTH")) && memmem(f.headers.p, f.headers.n, secret, strlen(secret)))
                p->owner = true;
            return true;
        } else if (!is_header(line)) {
            return false;
        } else {
            take_header(&f, line, at_line);
            if (at_line == 2)
                headers = rest.p;
        }
    }
}

/* Does its body end in what has come? */
static bool read_body(size_t sock)
{
    struct peer *p = &peers[sock];
    struct frame *f = &frames[p->frame];
    size_t from = TD_MAX(p->scanned, f->body_at + 64) - 64; /* an end-line may have begun there */

    if (from <= f->body_at)
        from = f->body_at - 2; /* right behind the blank line: an empty body */
    for (size_t at = from;;) {
        const char *cr = at < p->in_n ? memmem(p->in + at, p->in_n - at, "\r\n-------", 9) : NULL;
        struct sv line;
        const char *end;

        if (!cr)
            break;
        line = sv_make(cr + 2, (size_t)(p->in + p->in_n - (cr + 2)));
        end = memmem(line.p, line.n, "\r\n", 2);
        if (end && is_end_line(f, sv_make(line.p, (size_t)(end - line.p)))) {
            size_t body_end = (size_t)(cr - p->in);

            f->body_n = body_end > f->body_at ? body_end - f->body_at : 0;
            f->ended = true;
            f->flag = end[-1];
            p->parsed = (size_t)(end + 2 - p->in);
            return true;
        }
        at = (size_t)(cr - p->in) + 2;
    }
    p->scanned = p->in_n;
    f->body_n = p->in_n - f->body_at;
    return false;
}

/* A message is one frame, no more and no less, or nothing of it is taken (M-WS-04). */
static void read_message(size_t sock)
{
    struct peer *p = &peers[sock];
    size_t at = p->parsed, frames_before = n_frames;
    bool has_head = read_head(sock);

    if (has_head && (frames[p->frame].ended || read_body(sock)) && p->parsed == p->in_n) {
        const struct frame *f = &frames[p->frame];

        p->may_break |= f->body_at - at > HEAD_MAX || (sv_eq(f->method, SV("AUTH")) && f->has_body); /* M-FRM-19, M-FRM-20 */
        p->frame = SIZE_MAX;
        return;
    }
    n_frames = frames_before;
    p->frame = SIZE_MAX;
    p->parsed = at;
    p->over = true;
    p->lost |= has_head; /* else its head may be broken, and answered */
}

void oracle_heard(size_t sock, const char *bytes, size_t n)
{
    struct peer *p = &peers[sock];

    if (p->over)
        return;
    FUZZ_CHECK(p->in_n + n <= WIO_STREAM_MAX);
    memcpy(p->in + p->in_n, bytes, n);
    p->in_n += n;
    if (p->on_websocket) {
        read_message(sock);
        return;
    }
    while (!p->lost) {
        if (p->frame == SIZE_MAX && !read_head(sock))
            return;
        if (!frames[p->frame].ended && !read_body(sock))
            return;
        p->frame = SIZE_MAX;
    }
}

void oracle_over(size_t sock)
{
    peers[sock].over = true;
}

/* ---- what the relay writes: requests ---- */

static bool next_line(struct sv *rest, struct sv *line)
{
    size_t at = sv_find(*rest, '\n');

    if (at == rest->n)
        return false;
    *line = sv_upto(*rest, at + 1);
    *rest = sv_from(*rest, at + 1);
    return true;
}

/* The next line that is not the (first) Byte-Range. */
static bool next_other_line(struct sv *rest, struct sv *line, bool *had_range)
{
    struct sv v;

    while (next_line(rest, line)) {
        if (!*had_range && header_is(*line, "Byte-Range", &v)) {
            *had_range = true;
            continue;
        }
        return true;
    }
    return false;
}

static bool same_headers(const struct frame *f, struct sv out)
{
    struct sv in = f->headers, a, b;
    bool had_in = false, had_out = false;

    for (;;) {
        bool more_in = next_other_line(&in, &a, &had_in), more_out = next_other_line(&out, &b, &had_out);

        if (more_in != more_out)
            return false;
        if (!more_in)
            return !had_in || had_out;
        if (!sv_eq(a, b))
            return false;
    }
}

/* To: the first k URIs of the one that came are gone. From: they stand in front of it, the nearest first. */
static bool moved_paths(const struct frame *f, const struct mc_head *h)
{
    struct sv rest = f->to, gone[2];

    for (int k = 1; k <= 2; k++) {
        size_t at = sv_find(rest, ' ');
        struct buf from = BUF_INIT;
        bool same;

        if (at == rest.n)
            return false;
        gone[k - 1] = sv_upto(rest, at);
        rest = sv_from(rest, at + 1);
        if (!sv_eq(rest, h->to_path))
            continue;
        for (int i = k; i-- > 0;)
            buf_printf(&from, SV_FMT " ", SV_ARG(gone[i]));
        buf_add_sv(&from, f->from);
        same = sv_eq(buf_sv(&from), h->from_path);
        buf_fini(&from);
        return same;
    }
    return false;
}

/* The header lines of a frame that the relay wrote. */
static struct sv header_lines(const struct mc_head *h)
{
    struct sv rest = h->raw, line;

    for (int i = 0; i < 3; i++)
        next_line(&rest, &line);
    return h->has_body ? sv_upto(rest, rest.n - 2) : rest;
}

static uint64_t start_of(const struct mc_head *h, const struct frame *f)
{
    const struct sv *range = mc_head_get(h, SV("Byte-Range"));
    uint64_t start = f->start;

    FUZZ_CHECK(!range || range_start(*range, &start));
    return start;
}

static struct frame *origin_of(size_t sock, const struct mc_head *h)
{
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < n_frames; i++) {
            struct frame *f = &frames[i];

            if (!f->is_response && (round ? f->all_went : !f->done) && f->code < 300 && (!f->taken || f->taken_by == sock) &&
                f->has_body == h->has_body && f->paths_first && sv_eq(f->method, h->method) && moved_paths(f, h) &&
                same_headers(f, header_lines(h)) && start_of(h, f) - f->start == f->sent)
                return f;
        }
    return NULL;
}

/* Our URIs of a To-Path: all but the last, which is the far end's (M-REP-01). */
static bool is_ours(struct sv to, struct sv ours)
{
    return sv_starts(to, ours) && to.n > ours.n && to.p[ours.n] == ' ' &&
           sv_find(sv_from(to, ours.n + 1), ' ') == to.n - ours.n - 1;
}

/* Of several frames that differ in their identifiers alone nobody can tell which one was forwarded, and of those of one message at one
 * place not either which one a REPORT is about. */
static bool is_twin(const struct frame *f, const struct frame *g)
{
    return f->sock == g->sock && sv_eq(f->method, g->method) && sv_eq(f->message_id, g->message_id) && sv_eq(f->from, g->from);
}

/* A failure REPORT by the relay itself: whom does it concern? */
static struct frame *subject_of(size_t sock, const struct mc_head *h)
{
    const struct sv *id = mc_head_get(h, SV("Message-ID")), *range = mc_head_get(h, SV("Byte-Range")),
                    *status = mc_head_get(h, SV("Status"));
    uint64_t start;

    if (h->n != 3 || h->has_body || !id || !range || !status || !sv_starts(*status, SV("000 ")) ||
        !range_start(*range, &start))
        return NULL;
    FUZZ_CHECK(!sv_starts(*status, SV("000 200"))); /* M-REP-06 */
    /* Rather one that did not get through, then one of whom less was said than written; pieces may fail before they are written. Its
     * From-Path is all of ours, or of a token that is detached that one alone (M-TOK-12). */
    for (int round = 0; round < 6; round++)
        for (size_t i = 0; i < n_frames; i++) {
            struct frame *f = &frames[i];
            bool not_done = round < 2;
            uint64_t unwritten = f->body_n - TD_MIN(f->sent, f->body_n);
            unsigned spare = round >= 4 ? 1 + (unsigned)(unwritten / PIECE_MIN) : 0;

            if (f->sock == sock && sv_eq(f->method, SV("SEND")) && f->report != WANTS_NOTHING && f->code < 300 &&
                f->told < TD_MAX(f->pieces, 1U) + spare && !(not_done && f->done) && sv_eq(f->message_id, *id) &&
                sv_eq(f->from, h->to_path) &&
                (round % 2 == 0 ? is_ours(f->to, h->from_path)
                                : !f->taken && sv_eq(sv_upto(f->to, sv_find(f->to, ' ')), h->from_path)) &&
                start >= f->start && start - f->start <= (f->has_body ? f->body_n : 0))
                return f;
        }
    /* One that was taken to be about this frame was about another one of its message, which begins at the same place. */
    for (size_t i = 0; i < n_frames; i++) {
        struct frame *f = &frames[i];

        if (f->sock != sock || !sv_eq(f->method, SV("SEND")) || !f->told || !sv_eq(f->message_id, *id) || !sv_eq(f->from, h->to_path) ||
            start < f->start || start - f->start > (f->has_body ? f->body_n : 0))
            continue;
        for (size_t k = 0; k < n_frames; k++) {
            struct frame *g = &frames[k];

            if (g != f && is_twin(f, g) && g->start == f->start && g->report != WANTS_NOTHING && g->code < 300 &&
                g->told < TD_MAX(g->pieces, 1U))
                return g;
        }
    }
    return NULL;
}

/* No octet of a chunk fails twice (M-FR-02, M-FR-04). Of a message whose frames cannot be told apart nothing can be said. */
static void check_range(struct frame *f, const struct mc_head *h)
{
    struct sv range = *mc_head_get(h, SV("Byte-Range")), end = sv_from(range, sv_find(range, '-') + 1);
    uint64_t first, last;

    if (!f->has_body || !range_start(range, &first))
        return;
    FUZZ_CHECK(sv_to_u64(sv_upto(end, sv_find(end, '/')), &last, NULL) && last + 1 >= first);
    for (size_t i = 0; i < n_frames; i++)
        if (&frames[i] != f && is_twin(f, &frames[i]))
            return;
    for (unsigned i = 0; i < f->n_failed; i++)
        FUZZ_CHECK(last < f->failed[i].first || first > f->failed[i].last);
    if (last >= first && f->n_failed < RANGES) {
        f->failed[f->n_failed].first = first;
        f->failed[f->n_failed++].last = last;
    }
}

static uint64_t hash_of(struct sv s)
{
    uint64_t x = 14695981039346656037u;

    for (size_t i = 0; i < s.n; i++)
        x = (x ^ (uint8_t)s.p[i]) * 1099511628211u;
    return x;
}

static void got_request(size_t sock, const struct mc_head *h)
{
    struct peer *p = &peers[sock];
    uint64_t tid = hash_of(h->tid);

    for (size_t i = 0; i < TD_MIN(p->n_tids, (size_t)TIDS); i++)
        FUZZ_CHECK(p->tids[i] != tid); /* M-FRM-24 */
    p->tids[p->n_tids++ % TIDS] = tid;
    p->out = origin_of(sock, h);
    p->out_is_request = true;
    if (p->out) {
        p->out->taken = true;
        p->out->taken_by = sock;
        p->out->pieces++;
        if (!sv_eq(h->method, SV("REPORT")) && n_requests < REQUESTS) {
            struct oracle_request *r = &requests[n_requests++];

            r->sock = sock;
            r->is_send = sv_eq(h->method, SV("SEND"));
            if (!sv_copy(h->tid, r->tid, sizeof r->tid) || !sv_copy(h->from_path, r->from, sizeof r->from) ||
                !sv_copy(h->to_path, r->to, sizeof r->to))
                n_requests--;
        }
        return;
    }
    FUZZ_CHECK(sv_eq(h->method, SV("REPORT")));
    {
        struct frame *f = subject_of(sock, h);

        FUZZ_CHECK(f != NULL);
        f->told++;
        check_range(f, h);
    }
}

/* ---- responses ---- */

/* Does a head with this identifier begin in what it said, and not end? */
static bool is_broken_head(size_t sock, struct sv tid)
{
    struct sv rest = sv_make(peers[sock].in + peers[sock].parsed, peers[sock].in_n - peers[sock].parsed);

    while (sv_starts(rest, SV("\r\n")))
        rest = sv_from(rest, 2);
    return !peers[sock].lost && sv_starts(rest, SV("MSRP ")) && sv_starts(sv_from(rest, 5), tid);
}

static bool has_twin(const struct frame *f)
{
    for (size_t i = 0; i < n_frames; i++)
        if (f != &frames[i] && is_twin(f, &frames[i]) && sv_eq(f->to, frames[i].to) && sv_eq(f->headers, frames[i].headers))
            return true;
    return false;
}

/* Were there REPORTs enough about the frames of its message that had a 200 and did not get through? */
static bool was_told(const struct frame *f)
{
    unsigned told = 0, lost = 0;

    for (size_t i = 0; i < n_frames; i++)
        if (is_twin(f, &frames[i])) {
            told += frames[i].told;
            lost += frames[i].code == 200 && !frames[i].done;
        }
    return told >= lost;
}

/* It was refused: a REPORT that was taken for its own was about another frame of that message, of which a piece may have failed unwritten. */
static void give_reports_to_twin(struct frame *f)
{
    for (size_t i = 0; i < n_frames && f->told; i++) {
        struct frame *g = &frames[i];

        if (g == f || !is_twin(f, g) || g->report == WANTS_NOTHING || g->code >= 300 || g->told >= TD_MAX(g->pieces, 1U) + 1)
            continue;
        g->told++;
        f->told--;
        i = (size_t)-1;
    }
}

static void got_response(size_t sock, const struct mc_head *h)
{
    struct frame *f = NULL;
    const struct sv *use = mc_head_get(h, SV("Use-Path"));

    peers[sock].out = NULL;
    peers[sock].out_is_request = false;
    FUZZ_CHECK(!h->has_body);
    for (size_t i = 0; i < n_frames && !f; i++)
        if (frames[i].sock == sock && !frames[i].is_response && !frames[i].answers && sv_eq(frames[i].tid, h->tid) &&
            !sv_eq(frames[i].method, SV("REPORT")))
            f = &frames[i];
    if (!f) { /* to the head that broke the framing (M-FRM-20) */
        FUZZ_CHECK(h->code == 400 && is_broken_head(sock, h->tid));
        peers[sock].lost = true;
        return;
    }
    f->answers++;
    f->code = h->code;
    if (use)
        sv_copy(*use, peers[sock].use_path, sizeof peers[sock].use_path);
    FUZZ_CHECK(sv_starts(f->to, sv_upto(h->from_path, sv_find(h->from_path, ' '))));
    if (!sv_eq(f->method, SV("SEND")))
        return;
    FUZZ_CHECK(sv_eq(sv_upto(f->from, sv_find(f->from, ' ')), h->to_path));
    FUZZ_CHECK(sv_eq(sv_upto(f->to, sv_find(f->to, ' ')), h->from_path));
    FUZZ_CHECK(f->report != WANTS_NOTHING);
    if (h->code == 200) {
        FUZZ_CHECK(f->report == WANTS_ALL && f->ended);
        return;
    }
    give_reports_to_twin(f);
    FUZZ_CHECK(!f->told && (!f->taken || has_twin(f))); /* M-FR-02 */
}

/* ---- the stream to one peer ---- */

static void check_lines(const struct mc_head *h)
{
    struct sv rest = h->raw, line;

    FUZZ_CHECK(next_line(&rest, &line)); /* start line: words with one SP between (M-FRM-08) */
    FUZZ_CHECK(line.p[5] != ' ' && line.p[5 + h->tid.n + 1] != ' ');
    FUZZ_CHECK(next_line(&rest, &line) && sv_starts(line, SV("To-Path: ")) && line.n == 9 + h->to_path.n + 2);
    FUZZ_CHECK(next_line(&rest, &line) && sv_starts(line, SV("From-Path: ")) && line.n == 11 + h->from_path.n + 2);
    FUZZ_CHECK(mc_path_is_valid(h->to_path) || !h->method.n);
}

static void got_body(struct peer *p, struct sv bytes)
{
    struct frame *f = p->out;

    FUZZ_CHECK(f != NULL);
    FUZZ_CHECK(f->sent + bytes.n <= f->body_n);
    FUZZ_CHECK(memcmp(peers[f->sock].in + f->body_at + f->sent, bytes.p, bytes.n) == 0);
    f->sent += bytes.n;
}

static void got_end(struct peer *p, char flag)
{
    struct frame *f = p->out;
    bool all;

    if (!f) {
        FUZZ_CHECK(flag == '$'); /* M-FRM-19 */
        return;
    }
    all = f->ended && f->sent == f->body_n;
    FUZZ_CHECK(flag == '#' || !f->all_went);
    FUZZ_CHECK(flag == '+' || flag == '#' || (all && f->flag == '$'));
    FUZZ_CHECK(flag == '$' || sv_eq(f->method, SV("SEND")));
    f->all_went = flag == '+' && all && f->flag == '+';
    f->done = flag != '+' || f->all_went;
    p->out = NULL;
}

/* True: that was its end-line. */
static bool got_event(size_t sock, const struct mc_event *ev)
{
    struct peer *p = &peers[sock];

    FUZZ_CHECK(ev->kind != MC_EV_BAD);
    if (ev->kind == MC_EV_HEAD) {
        check_lines(ev->head);
        if (ev->head->method.n)
            got_request(sock, ev->head);
        else
            got_response(sock, ev->head);
    } else if (ev->kind == MC_EV_BODY) {
        got_body(p, ev->body);
    } else {
        got_end(p, ev->flag);
    }
    return ev->kind == MC_EV_END;
}

/* One frame, all of it (M-WS-04), and not too long (M-WS-05). */
static void got_message(size_t sock, const char *bytes, size_t n)
{
    struct mc_event ev;
    size_t at = 0;

    do {
        at += mc_reader_feed(&peers[sock].reader, bytes + at, n - at, &ev);
        FUZZ_CHECK(ev.kind != MC_EV_MORE && (ev.kind != MC_EV_BODY || ev.body.n <= WS_PIECE_MAX));
    } while (!got_event(sock, &ev));
    FUZZ_CHECK(at == n);
}

void oracle_said(size_t sock, const char *bytes, size_t n)
{
    struct peer *p = &peers[sock];
    struct sv heard = sv_make(p->in, p->in_n);
    size_t at = 0;

    FUZZ_CHECK(p->used);
    if (p->on_websocket) {
        got_message(sock, bytes, n);
        return;
    }
    if (!sv_starts(heard, sv_upto(SV("MSRP "), heard.n))) /* of another protocol, and answered in that one */
        return;
    buf_add(&p->kept, bytes, n);
    FUZZ_CHECK(!buf_failed(&p->kept));
    for (;;) {
        struct mc_event ev;

        at += mc_reader_feed(&p->reader, p->kept.p + at, p->kept.n - at, &ev);
        if (ev.kind == MC_EV_MORE)
            break;
        got_event(sock, &ev);
    }
    buf_drop_front(&p->kept, at);
}

void oracle_closed(size_t sock, unsigned status)
{
    struct peer *p = &peers[sock];

    p->closed = true;
    FUZZ_CHECK(status != WS_BAD_MESSAGE || p->over || p->may_break);
}

void oracle_dialled(const struct addr *to)
{
    char text[ADDR_TEXT_MAX];
    bool asked = false;

    addr_text(to, text);
    for (size_t i = 0; i < n_frames && !asked; i++)
        asked = peers[frames[i].sock].owner && frames[i].to.n && memmem(frames[i].to.p, frames[i].to.n, text, strlen(text));
    FUZZ_CHECK(asked); /* M-SEC-01 */
}

bool oracle_next_request(size_t sock, struct oracle_request *out)
{
    for (size_t i = 0; i < n_requests; i++)
        if (requests[i].sock == sock) {
            *out = requests[i];
            memmove(&requests[i], &requests[i + 1], (n_requests - i - 1) * sizeof *requests);
            n_requests--;
            return true;
        }
    return false;
}

struct sv oracle_use_path(size_t sock)
{
    return sv_of(peers[sock].use_path);
}

void oracle_settled(void)
{
    for (size_t i = 0; i < WIO_PEERS; i++)
        FUZZ_CHECK(!peers[i].over || !wio_socks[i].is_open || peers[i].closed || wio_socks[i].fin || wio_socks[i].reset); /* M-WS-04 */
    for (size_t i = 0; i < n_frames; i++) {
        const struct frame *f = &frames[i];
        const struct wio_sock *s = &wio_socks[f->sock];

        if (!f->good || !sv_eq(f->method, SV("SEND")) || !f->ended || f->report != WANTS_ALL || !s->is_open || s->fin ||
            s->reset)
            continue;
        FUZZ_CHECK(f->answers == 1); /* M-FWD-20, for a token that is detached, too */
        FUZZ_CHECK(f->code != 200 || f->done || was_told(f)); /* M-FR-01 */
    }
}
