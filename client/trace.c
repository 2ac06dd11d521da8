/* Shows the frames of a link as text. */
#include "client/trace.h"

#include <stdlib.h>
#include <time.h>

#include "client/link.h"
#include "common/err.h"

enum { SHOW_BODY = 400 };

struct mc_tracer {
    struct mc_net *net;   /* back */
    struct mc_link *link; /* back */
    bool is_sent, is_broken;
    struct mc_reader reader;
    struct buf kept;      /* bytes that are no whole event yet */
    struct buf text;      /* of the frame being read */
    uint64_t body;        /* octets so far */
    struct buf shown;     /* the first of them */
};

int mc_tracer_new(struct mc_tracer **out, struct mc_net *net, struct mc_link *l, bool is_sent)
{
    struct mc_tracer *t = calloc(1, sizeof *t);

    *out = t;
    if (!t)
        return TD_ENOMEM;
    t->net = net;
    t->link = l;
    t->is_sent = is_sent;
    return TD_OK;
}

void mc_tracer_free(struct mc_tracer **tp)
{
    struct mc_tracer *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    buf_fini(&t->kept);
    buf_fini(&t->text);
    buf_fini(&t->shown);
    free(t);
}

/* Each line of s, escaped. */
static void add_lines(struct buf *out, struct sv s)
{
    while (s.n) {
        size_t at = sv_find(s, '\n');
        struct sv line = sv_upto(s, at);

        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        buf_add_escaped(out, line, line.n);
        buf_putc(out, '\n');
        s = sv_from(s, at + 1);
    }
}

static void on_head(struct mc_tracer *t, const struct mc_head *h)
{
    char peer[ADDR_TEXT_MAX];
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    localtime_r(&ts.tv_sec, &tm);
    buf_clear(&t->text);
    buf_clear(&t->shown);
    t->body = 0;
    buf_printf(&t->text, "%02d:%02d:%02d.%03ld %s %s (MSRP over %s)\n", tm.tm_hour, tm.tm_min, tm.tm_sec,
               ts.tv_nsec / 1000000, t->is_sent ? ">>> to" : "<<< from", addr_text(&t->link->peer, peer),
               mc_link_is_tls(t->link) ? "TLS" : "TCP");
    add_lines(&t->text, h->raw);
}

static void on_end(struct mc_tracer *t, char flag)
{
    if (t->shown.n) {
        add_lines(&t->text, buf_sv(&t->shown));
        if (t->body > t->shown.n)
            buf_printf(&t->text, "[... %llu octets in all]\n", (unsigned long long)t->body);
    }
    buf_printf(&t->text, SV_FMT "%c\n\n", (int)t->reader.end_n, t->reader.end, flag);
    if (!buf_failed(&t->text))
        t->net->trace(t->net->trace_arg, buf_sv(&t->text));
}

void mc_tracer_feed(struct mc_tracer *t, struct sv bytes)
{
    struct mc_event ev;
    size_t at = 0;

    if (t->is_broken)
        return;
    buf_add_sv(&t->kept, bytes);
    do {
        at += mc_reader_feed(&t->reader, t->kept.p + at, t->kept.n - at, &ev);
        switch (ev.kind) {
        case MC_EV_HEAD:
            on_head(t, ev.head);
            break;
        case MC_EV_BODY:
            t->body += ev.body.n;
            buf_add_sv(&t->shown, sv_upto(ev.body, SHOW_BODY - TD_MIN(t->shown.n, (size_t)SHOW_BODY)));
            break;
        case MC_EV_END:
            on_end(t, ev.flag);
            break;
        case MC_EV_BAD:
            buf_clear(&t->text);
            buf_printf(&t->text, "%s: framing error: %s\n", t->is_sent ? ">>>" : "<<<", ev.rule);
            t->net->trace(t->net->trace_arg, buf_sv(&t->text));
            t->is_broken = true;
            break;
        case MC_EV_MORE:
            break;
        }
    } while (ev.kind != MC_EV_MORE && ev.kind != MC_EV_BAD);
    buf_drop_front(&t->kept, at);
}
