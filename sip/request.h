/* A request on its way through the proxy: a list of steps, each in a step_*.c.
 *
 * A step lets the request go on, ends it (answered or dropped), or waits for the database; then request_run()
 * is called again when the answer is there. Up to the first wait, or to forwarding, there is no transaction: an answer
 * before that leaves no state behind. RFC 3261 s.16.3 to s.16.6. */
#pragma once

#include "sip/mark.h"
#include "sip/sipd.h"

struct authn_req;
struct db_cred_req;
struct db_location;
struct routing;

enum verdict { STEP_NEXT, STEP_DONE, STEP_WAIT };

/* One place to send the request to. Texts live as long as the request's message. */
struct target {
    const char *uri;        /* new Request-URI; NULL: as it is */
    const char *path;       /* Route values to put in front; NULL: none */
    double q;               /* 0..1 */
    int64_t modified;       /* when the binding was made or refreshed, UNIX seconds */
    struct mark hop;        /* FLOW or UDP: where exactly; PLAIN: as the URI or the Route says */
    bool must_tls;          /* its Contact is sips, the request is not: S-TLS-03 */
    const url_t *next;      /* a URI to send to instead of Route and Request-URI; NULL: none */
    const char *instance;   /* "" or the device's name: its bindings are tried one at a time */
};

enum { TARGETS_MAX = 32 };

struct request {
    struct sipd *d;
    msg_t *msg;             /* counted */
    sip_t *sip;             /* in it */
    tport_t *tport;         /* counted: it came on */
    uint64_t flow_id;       /* the flow it came on; 0: UDP */
    struct addr source;
    struct fork *fork;      /* its transaction; NULL: none yet */
    unsigned step;          /* the next one */
    bool is_waiting;        /* inside a wait: an answer must call request_run() */
    int answered;           /* the final status that was given; 0: none yet */
    struct routing *routing; /* script.c's, in the message's memory; NULL: the built-in steps alone */

    /* step_route */
    bool is_routed;         /* what follows is known */
    bool was_routed_by_us;  /* a Route value was ours, whatever its mark */
    const char *route_params; /* URI parameters of the last one of ours; NULL: none */
    bool in_dialog;         /* a Route value of ours with a good mark was on top */
    bool is_forged;         /* a Route value of ours with ob has no mark that we made */
    bool by_token;          /* it had a flow token of a Path of ours: it goes to the client behind it (S-OUT-07) */
    struct mark hop;        /* what it said */
    bool for_us;            /* no Route left and the Request-URI's host is ours */
    char loop[17];          /* digest of all that decides where it goes */

    /* step_auth */
    struct authn_req *auth;
    const char *auth_domain; /* that was asked for; NULL: not asked */
    int auth_status;        /* 0: not asked, 200: good, else the answer to give */
    bool auth_stale, auth_claimed; /* not good: the nonce was too old; there were credentials */
    const char *auth_phrase, *auth_headers, *auth_user;
    bool must_match_from, is_trusted;
    bool to_edge;           /* it goes to a domain of sip.edge_for */
    bool is_admitted;       /* policy has let it in: what becomes of it is accounted */

    struct registration *registration; /* registrar.c's */

    /* step_locate */
    struct db_cred_req *cred;
    bool user_known;
    const char *warning;    /* a Warning line for the 480: what binding there is fits not with sip or sips; NULL: none */
    struct target *targets; /* in the message's memory */
    size_t n_targets;
};

/* A request from nta's message callback; takes msg. */
void request_start(struct sipd *d, msg_t *msg, sip_t *sip);
void request_run(struct request *r);

/* Does this CANCEL come from who has sent the request r? By the same connection; or by another one like it, when the same host
 * has come back after the first one ended, or the same registered device has moved there, perhaps before the end of the first one was seen
 * (device: mark_device() of it; 0: none). By UDP: from the same host, and from the same port unless a NAT may have changed it. S-CAN-03. */
bool request_is_by_sender_of(const struct request *cancel, const struct request *r, uint64_t device);

/* nta's server transaction for a request; the message is counted. NULL: it could not be made. */
nta_incoming_t *request_incoming(struct sipd *d, msg_t *msg, sip_t *sip, tport_t *tport);

/* What a request, its repetitions and its CANCEL have in common, as a hash: for tables that forget. */
uint64_t request_hash(const sip_t *sip);

/* Where a Via sends responses, and its branch, as a hash: the same of a request and of each response to it, unless somebody has changed it. */
uint64_t via_hash(const sip_via_t *v);

/* Make the transaction, so that retransmissions and CANCEL find it. False: it could not be made; the request is
 * finished then. */
bool request_hold(struct request *r);

/* Is this the ACK of an answer that request_reply() gave without a transaction? */
bool request_is_ack_of_ours(const struct request *r);

/* Answer, with or without a transaction; headers: NULL or lines each with CRLF. Returns STEP_DONE. */
enum verdict request_reply(struct request *r, int status, const char *phrase, const char *headers);

/* The same for a request that policy or a rule refuses: the log says why. Not for a challenge. */
enum verdict request_deny(struct request *r, int status, const char *phrase, const char *headers);

/* May one more line be logged about what strangers cause? A notice for each, but no flood of them. */
bool request_may_note(struct sipd *d);

/* Did it come on a WebSocket? */
bool request_is_websocket(const struct request *r);

/* Is the sender of a datagram to be reached where it came from, rather than where he says? That is so when he believes to be in another
 * place (not known of one who calls himself by name), and when we do not send to his address on anybody's word. */
bool request_is_behind_nat(const struct request *r);

/* The steps. What must hold for every request, whoever routes it, is in the first two. */
enum verdict step_admit(struct request *r);
enum verdict step_overload(struct request *r);
enum verdict step_script(struct request *r); /* script.c */
enum verdict step_sanity(struct request *r);
enum verdict step_max_forwards(struct request *r);
enum verdict step_require(struct request *r);
enum verdict step_route(struct request *r);
void route_find(struct request *r); /* its reading alone, once for each request */
enum verdict step_loop(struct request *r);
enum verdict step_cancel(struct request *r); /* answers a CANCEL */
void cancel_expect(const struct request *r); /* one may come for this request, which has a transaction now */
enum verdict step_own(struct request *r);
enum verdict step_auth_ask(struct request *r);
enum verdict step_auth_judge(struct request *r);
enum verdict step_path(struct request *r);
enum verdict step_locate(struct request *r);
enum verdict step_locate_judge(struct request *r);
/* Put the bindings of the user of this URI into r->targets: how many can be reached; -1: no bindings. */
int locate_user(struct request *r, const url_t *url);
enum verdict locate_self(struct request *r); /* one target: where the message itself says */
enum verdict step_forward(struct request *r);

/* step_locate.c: the device of the sender that is registered on the flow that the request came on; 0: none. */
uint64_t locate_device(const struct request *r, uint64_t flow_id);

/* step_path.c: the token of a Path value of ours; false: it is none. */
bool path_token_parse(const struct request *r, const char *text, struct mark *m);

/* step_auth.c, for the registrar, too: ask whether the request is from a user of the domain; r->auth_* and then
 * request_run(). STEP_NEXT: answered at once. */
enum verdict auth_ask(struct request *r, const char *domain, bool is_proxy);
/* The answer to give when r->auth_status is not 200. */
enum verdict auth_refuse(struct request *r);

/* The user and domain of a URI as the tables have them: unescaped (%00 stays), the domain in lower case. In the
 * message's memory; false: no user. */
bool uri_aor(su_home_t *home, const url_t *url, struct sv *user, struct sv *domain);

/* Make a message fit to go on: take off what Sofia could not parse (the name of the first such header that matters, or NULL), unfold lines. */
const char *drop_errors(msg_t *msg, sip_t *sip);

/* Answer an OPTIONS that is meant for this server. */
enum verdict own_options(struct request *r);

/* What we say we take, in answers of our own. */
#define OWN_ALLOW "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE\r\nSupported: path\r\nAccept: */*\r\n"
