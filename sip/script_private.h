/* What the files of SIP scripts share. */
#pragma once

#include "sip/script.h"

enum {
    SCRIPT_EDITS_MAX = 64,
    SCRIPT_LINE_MAX = 4096,
    SCRIPT_BRANCHES_MAX = 32,         /* with flags of their own */
    SCRIPT_TEXTS_MAX = 1024 * 1024,   /* bytes of a request's memory, for what all its runs have made */
    SCRIPT_TEXT_COST = 512,           /* of these, for what becomes of a text beside copies of it */
};

enum route_kind { ROUTE_REQUEST, ROUTE_REPLY, ROUTE_ONREPLY, ROUTE_BRANCH, ROUTE_FAILURE };

/* What a run of the script is about. */
struct sip_event {
    enum route_kind route;
    struct request *r;
    struct routing *g;
    msg_t *msg;               /* the request, a branch's copy, or a response */
    sip_t *sip;
    int status;               /* of the response or failure */
    unsigned branch;
    bool is_cancelled, is_dropped;
};

/* A line to add, or a header to take off. */
struct edit {
    struct edit *next;
    const char *name;
    const char *line;         /* NULL: take off all with that name */
};

/* What a script has said about a request; in the message's memory, as all it points to. */
struct routing {
    struct sip_event event;   /* of the request route, which may wait */
    struct script_wait *wait; /* NULL: it does not */
    const char *uri;          /* Request-URI set by the script; NULL: as it came, or as the bindings say */
    const url_t *url;         /* the same */
    const char *next;         /* $du; NULL: not set */
    const url_t *next_url;    /* the same */
    const char *asked;        /* is_located: uri and url as they were before lookup() */
    const url_t *asked_url;
    struct edit *edits, **edits_end;
    unsigned n_edits;
    const char *on_branch, *on_reply, *on_failure; /* functions; NULL: none */
    const char *reply_lines;  /* for the next answer; NULL: none */
    const char *record_params; /* "" or ;NAME=VALUE... */
    uint32_t flags, branch_flags; /* branch_flags: of all branches that have none of their own */
    uint32_t own_flags[SCRIPT_BRANCHES_MAX], has_own; /* a bit for each */
    struct unregistration *unregistration; /* under way or done; NULL: none */
    bool is_located;          /* the targets are a user's bindings */
    bool is_recorded, is_relayed;
    bool is_default;          /* the built-in steps have it, as it is now */
    bool is_known, user_exists; /* what KSR.uri_db has found */
    struct script_answer answer; /* ordered; status 0: none */
    size_t texts;             /* of SCRIPT_TEXTS_MAX, taken */
};

static inline struct sip_event *event_of(const struct script_call *c)
{
    return c->subject;
}

static inline su_home_t *home_of(const struct sip_event *e)
{
    return msg_home(e->r->msg);
}

/* Memory of the request, which stays until that has ended, for a text of n bytes and what is made of it. False: its runs have no more,
 * and c->fault says so. */
bool sipscript_take(struct script_call *c, size_t n);
/* A text of a script that Sofia is to see: in the request's memory; NULL: NUL or control characters in it, or no memory. */
char *sipscript_text(struct script_call *c, struct sv s);
/* The URI as a text, there, too. */
char *sipscript_uri_text(struct script_call *c, const url_t *url);
bool sipscript_event_set_uri(struct sip_event *e, const char *text);
/* The header of that name and index in the message of the event; negative: from the end. */
msg_header_t *sipscript_event_header(const struct sip_event *e, struct sv name, int index);
bool edit_make(msg_t *msg, const struct edit *edit);
/* False: too many, or no memory. */
bool sipscript_event_edit(struct sip_event *e, const char *name, const char *line);

#define KSR_FN(module, name, kind, args, params, fn, text) void fn(struct script_call *c);
#define PV(class_, key, kind, get, set, param, text) \
    void get(struct script_call *c, const struct script_name *name, struct script_value *out);
#include "sip/script_tbl.h"

bool ksip_set_ru(struct script_call *c, const struct script_name *name, const struct script_value *v);
bool ksip_set_rU(struct script_call *c, const struct script_name *name, const struct script_value *v);
bool ksip_set_rd(struct script_call *c, const struct script_name *name, const struct script_value *v);
bool ksip_set_du(struct script_call *c, const struct script_name *name, const struct script_value *v);
