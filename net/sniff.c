/* The demultiplexer. */
#include "net/sniff.h"

#include "common/log.h"
#include "net/conn_private.h"
#include "net/listener.h"
#include "net/ws.h"

enum { TLS_HANDSHAKE_RECORD = 0x16 };

/* `MSRP SP transact-id SP ...`, with the character set of a transact-id (RFC 4975 s.9). */
static bool is_msrp_line(struct sv line)
{
    size_t i = 5;

    if (!sv_starts(line, SV("MSRP ")))
        return false;
    while (i < line.n && line.p[i] > ' ' && line.p[i] != ':')
        i++;
    if (i == 5 || i == line.n || line.p[i] != ' ')
        return false;
    return line.n < 8 || !sv_eq_nocase(sv_from(line, line.n - 8), SV(" SIP/2.0"));
}

/* Another method than GET: the answer is 405, not SIP's. */
static bool is_http_line(struct sv line)
{
    return line.n >= 9 && (sv_eq(sv_from(line, line.n - 9), SV(" HTTP/1.1")) || sv_eq(sv_from(line, line.n - 9), SV(" HTTP/1.0")));
}

enum sniffed sniff(const char *p, size_t n)
{
    static const char get[] = "GET ";
    struct sv line;
    size_t end;

    if (n == 0)
        return SNIFF_MORE;
    if ((unsigned char)p[0] == TLS_HANDSHAKE_RECORD)
        return SNIFF_TLS;
    if (p[0] == '\r') {
        if (n < 2)
            return SNIFF_MORE;
        if (p[1] != '\n')
            return SNIFF_BAD;
        if (n == 2 || (n == 3 && p[2] == '\r'))
            return SNIFF_MORE;
        return n >= 4 && p[2] == '\r' && p[3] == '\n' ? SNIFF_PING : SNIFF_CRLF;
    }
    if (memcmp(p, get, TD_MIN(n, (size_t)4)) == 0 && n >= 4)
        return SNIFF_HTTP;
    line = sv_make(p, n);
    end = sv_find(sv_upto(line, SNIFF_LINE_MAX), '\n');
    if (end >= SNIFF_LINE_MAX)
        return SNIFF_BAD;
    if (end == n)
        return SNIFF_MORE;
    if (end == 0 || p[end - 1] != '\r')
        return SNIFF_BAD;
    line = sv_upto(line, end - 1);
    return is_msrp_line(line) ? SNIFF_MSRP : is_http_line(line) ? SNIFF_HTTP : SNIFF_SIP;
}

static void hand_over(struct conn *c, enum proto_id id)
{
    struct worker *w = c->worker;
    const struct proto_slot *slot = &w->protos[id];
    uint8_t need_transport = c->tls ? PORT_TLS : PORT_TCP, need_protocol = id == PROTO_MSRP ? PORT_MSRP : PORT_SIP;

    if (!slot->ops || !(c->port_transports & need_transport) || !(c->port_protocols & need_protocol)) {
        stats_inc(&w->stats, STAT_sniff_failed);
        conn_finish(c, CLOSE_NOT_SERVED);
        return;
    }
    conn_hand_over(c, id);
}

static size_t sniff_data(struct conn *c, const char *p, size_t n)
{
    size_t at = 0;

    for (;;) {
        switch (sniff(p + at, n - at)) {
        case SNIFF_MORE:
            return at;
        case SNIFF_CRLF:
            at += 2;
            break;
        case SNIFF_PING:
            if (c->port_protocols & PORT_SIP)
                conn_write(c, "\r\n", 2);
            at += 4;
            break;
        case SNIFF_TLS:
            if (c->tls || at || !c->worker->tls || !(c->port_transports & (PORT_TLS | PORT_WSS)) || conn_start_tls(c) != 0) {
                stats_inc(&c->worker->stats, STAT_sniff_failed);
                conn_finish(c, CLOSE_NOT_SERVED);
                return n;
            }
            return at;
        case SNIFF_HTTP:
            stats_inc(&c->worker->stats, STAT_sniff_http);
            conn_deadline(c, c->worker->handshake_ms, CLOSE_WS_TIMEOUT);
            conn_set_proto(c, &wsio_proto, NULL, NULL);
            return at;
        case SNIFF_MSRP:
            hand_over(c, PROTO_MSRP);
            return at;
        case SNIFF_SIP:
            hand_over(c, PROTO_SIP);
            return at;
        case SNIFF_BAD:
            stats_inc(&c->worker->stats, STAT_sniff_failed);
            conn_close(c, CLOSE_UNKNOWN);
            return n;
        }
    }
}

/* Nothing is known of it yet. */
static enum conn_idle sniff_idle(struct conn *c)
{
    return CONN_IDLE;
}

static void sniff_down(struct conn *c, enum close_reason reason)
{
    if (reason == CLOSE_FIRST_LINE || reason == CLOSE_TLS_TIMEOUT)
        stats_inc(&c->worker->stats, STAT_sniff_failed);
}

const struct conn_proto sniff_proto = {
    .name = "new",
    .data = sniff_data,
    .idle = sniff_idle,
    .down = sniff_down,
    .keep_max = SNIFF_LINE_MAX + 8,
};
