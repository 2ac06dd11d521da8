/* What the files of msrp/ that know of scripts share. */
#pragma once

#include "auth/authn.h"
#include "common/buf.h"
#include "db/cred.h"
#include "msrp/private.h"
#include "msrp/script.h"

enum { FLAG_NO_CONNECT = 1, FLAG_CLOSE = 2 };

/* The frame in hand as it would come back from its next hop, when that is this server; of the connection, as the memory is used again. */
struct inner_frame {
    struct msrp_head head;
    struct buf lines;         /* of paths and headers */
};

/* What a script has said about a frame, for as long as the frame is there. One a connection, made for its first
 * event. */
struct orders {
    struct route *route;      /* owned reference: relay(); NULL: no */
    struct buf answer;        /* reply(): the whole response */
    bool answer_late;         /* a 2xx: when the last octet of the request is there */
    unsigned report;          /* report(): its status; 0: none */
    struct buf report_from;   /* its From-Path; empty: the first URI of To-Path */
    enum close_reason close;  /* after the answer, if has_close */
    bool has_close;
    bool finish_hop;          /* relay_flags(2) */
    bool decided;             /* the script has ended well: these are to be done */

    /* of the connection, not of a frame (script_dst.c) */
    struct peer_entry *at, *at_socket, *at_id; /* owned: found by its peer's address, by our end as well, by its number */
    struct route *sent;       /* owned reference: the last way of a set_dst(), often that of the next frame, too */
    struct buf sent_for;      /* dst as it was for that */
    struct route_memory *memory; /* owned reference: of the ways it has found; NULL: none yet */
    struct buf dst;           /* of the frame in hand: URI, a space, and the socket, if any; empty: not set */

    struct inner_frame *inner; /* owned; NULL: none was needed yet */

    struct script_wait *wait; /* a run that waits for the database; the connection is paused */
    struct frame_event *event; /* owned: what that is about */

    /* credentials of an AUTH, fetched before the script runs */
    struct db_cred cred;
    struct db_cred_req *fetch; /* under way; the connection is paused */
    bool fetched;             /* cred, or its absence, is for the AUTH that comes next */
    bool has_cred;
};

struct event_paths {
    struct msrp_uri to[MSRP_PATH_MAX], from[MSRP_PATH_MAX];
};

/* A frame in a script: the subject of its callbacks. */
struct frame_event {
    struct msrp_conn *m;
    const struct msrp_head *h; /* what the script sees */
    const struct msrp_head *outer; /* while h is that of orders.inner: the frame as it came; else NULL */
    struct sv bytes;          /* from its first octet, as far as it has arrived */
    struct orders *o;         /* of the connection */
    struct route *route;      /* owned reference: found by cmap_lookup() */
    bool relayed, replied, is_refused; /* replied with no 2xx */
    bool is_default;          /* the built-in routing is to have it */
    bool not_for_us;          /* cmap_lookup() says: for another relay */
    bool to_us;               /* relay() has come to the next hop that is this server, too */
    unsigned failed;          /* why the last relay() or forward() has found no way; 0: none has failed */
    bool waits;               /* no connection may be opened now: the frame comes again */
    bool acted;               /* cmap_save() has answered: it cannot be taken back */
    unsigned report;          /* as in orders */
    int64_t relay_flags, reply_flags;

    /* KSR.auth */
    bool authenticated;
    struct buf user, realm;   /* whose it is; realm: of the challenge, too */
    struct buf info;          /* Authentication-Info */
    struct buf challenge;     /* what answers the credentials that were judged last */

    /* the frame in parts, found when asked for */
    bool body_known, paths_known;
    struct sv body;
    struct event_paths *paths; /* borrowed: not even cleared before they are asked for */
    size_t n_to, n_from;
};

/* Credentials were wrong: counted, and the connection ends after the answer when there were too many. */
void script_auth_failed(struct frame_event *e, const struct authn_result *r);

/* The frame as it came. */
static inline const struct msrp_head *event_head(const struct frame_event *e)
{
    return e->outer ? e->outer : e->h;
}

static inline struct frame_event *event_of(const struct script_call *c)
{
    return c->subject;
}

/* The connection is known by its addresses from now on, until the other. */
void dst_enter(struct msrp_conn *m);
void dst_leave(struct msrp_conn *m);
/* The way to what set_dst() has said, as e->route: 200, or how to refuse. */
unsigned dst_look_up(struct frame_event *e);

/* Parse both paths, once. */
void event_paths(struct frame_event *e);
/* What of the body is there, once. */
struct sv event_body(struct frame_event *e);
/* The index-th header of that name, negative: from the end; p NULL: none. */
struct sv event_header(const struct frame_event *e, struct sv name, int index);

#define KSR_FN(module, name, kind, args, params, fn, text) void fn(struct script_call *c);
#define PV(class_, key, kind, get, set, param, text) \
    void get(struct script_call *c, const struct script_name *name, struct script_value *out);
#define TRANS(class_, name, n, fn, params, text) bool fn(struct script_call *c, struct script_value *v, const struct sv *p);
#include "msrp/script_tbl.h"
