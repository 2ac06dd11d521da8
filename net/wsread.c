/* The WebSocket frame reader. */
#include "net/wsread.h"

#include <stdlib.h>
#include <wslay/wslay.h>

#include "common/buf.h"
#include "common/err.h"

enum { CONTROL_MAX = 125, CONTEXT_SIZE = 4096 + 128 /* about what wslay takes: a read-ahead buffer, mostly */ };

struct wsread {
    wslay_frame_context_ptr frame; /* owned */
    struct sv in;         /* borrowed, during a call: what wslay has not fetched yet */
    uint64_t fetched;     /* bytes wslay has fetched */
    uint64_t parsed;      /* of them: whole frames, and of the one under way what came out */
    uint64_t left;        /* payload of the frame under way still to come */
    bool in_frame;        /* its head was seen */
    uint8_t opcode;       /* of the message under way; 0: none */
    bool is_told;         /* the message was handed out: the next one starts afresh */
    struct buf message;
    uint8_t control[CONTROL_MAX];
    size_t control_n;
};

static ssize_t fetch(uint8_t *to, size_t n, int flags, void *arg)
{
    struct wsread *r = arg;

    n = TD_MIN(n, r->in.n);
    if (n == 0)
        return -1;
    memcpy(to, r->in.p, n);
    r->in = sv_from(r->in, n);
    r->fetched += n;
    return (ssize_t)n;
}

int wsread_new(struct wsread **out)
{
    static const struct wslay_frame_callbacks callbacks = { .recv_callback = fetch };
    struct wsread *r = calloc(1, sizeof *r);

    *out = NULL;
    if (!r)
        return TD_ENOMEM;
    if (wslay_frame_context_init(&r->frame, &callbacks, r) != 0) {
        free(r);
        return TD_ENOMEM;
    }
    *out = r;
    return TD_OK;
}

void wsread_free(struct wsread **rp)
{
    struct wsread *r = *rp;

    if (!r)
        return;
    *rp = NULL;
    wslay_frame_context_free(r->frame);
    buf_fini(&r->message);
    free(r);
}

/* What wslay leaves to us: it checks the length of control frames, that they are not fragmented, and that lengths are
 * minimal. */
static enum wsread_event check_head(struct wsread *r, const struct wslay_frame_iocb *f, size_t max)
{
    bool is_first = f->opcode == WSLAY_TEXT_FRAME || f->opcode == WSLAY_BINARY_FRAME;

    if (!f->mask || f->rsv)
        return WSREAD_BROKEN;
    if (wslay_is_ctrl_frame(f->opcode)) {
        r->control_n = 0;
        return f->opcode <= WSLAY_PONG ? WSREAD_MORE : WSREAD_BROKEN;
    }
    if (is_first ? r->opcode != 0 : f->opcode != WSLAY_CONTINUATION_FRAME || r->opcode == 0)
        return WSREAD_BROKEN;
    if (r->message.n > max || f->payload_length > max - r->message.n)
        return WSREAD_TOO_BIG;
    if (is_first)
        r->opcode = f->opcode;
    return WSREAD_MORE;
}

static size_t head_size(uint64_t payload)
{
    return 2 + (payload < 126 ? 0 : payload < 65536 ? 2 : 8) + 4;
}

static enum wsread_event control_of(uint8_t opcode)
{
    return opcode == WSLAY_PING ? WSREAD_PING : opcode == WSLAY_PONG ? WSREAD_PONG : WSREAD_CLOSE;
}

static enum wsread_event read_frames(struct wsread *r, size_t max, struct sv *what)
{
    for (;;) {
        struct wslay_frame_iocb f;
        ssize_t n = wslay_frame_recv(r->frame, &f);

        if (n == WSLAY_ERR_WANT_READ)
            return WSREAD_MORE;
        if (n < 0)
            return WSREAD_BROKEN;
        if (!r->in_frame) {
            enum wsread_event fault = check_head(r, &f, max);

            if (fault != WSREAD_MORE)
                return fault;
            r->in_frame = true;
            r->left = f.payload_length;
            r->parsed += head_size(f.payload_length);
        }
        r->left -= f.data_length;
        r->parsed += f.data_length;
        if (wslay_is_ctrl_frame(f.opcode)) {
            memcpy(r->control + r->control_n, f.data, f.data_length);
            r->control_n += f.data_length;
        } else {
            buf_add(&r->message, f.data, f.data_length);
            if (buf_failed(&r->message))
                return WSREAD_NO_MEMORY;
        }
        if (r->left)
            continue;
        r->in_frame = false;
        if (wslay_is_ctrl_frame(f.opcode)) {
            *what = sv_make(r->control, r->control_n);
            return control_of(f.opcode);
        }
        if (f.fin) {
            r->opcode = 0;
            r->is_told = true;
            *what = buf_sv(&r->message);
            return WSREAD_MESSAGE;
        }
    }
}

enum wsread_event wsread_next(struct wsread *r, size_t max, struct sv *in, struct sv *what)
{
    enum wsread_event e;

    if (r->is_told)
        buf_clear(&r->message);
    r->is_told = false;
    *what = SV("");
    r->in = *in;
    e = read_frames(r, max, what);
    *in = r->in;
    r->in = SV("");
    return e;
}

bool wsread_is_idle(const struct wsread *r)
{
    return r->opcode == 0 && !r->in_frame && r->parsed == r->fetched;
}

bool wsread_is_amid(const struct wsread *r)
{
    return r->opcode != 0 || r->in_frame;
}

size_t wsread_size(const struct wsread *r)
{
    return sizeof *r + CONTEXT_SIZE + r->message.cap;
}
