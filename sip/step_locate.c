/* Steps: where is the user? RFC 3261 s.16.5. */
#include <stdlib.h>

#include "db/cred.h"
#include "sip/location.h"
#include "sip/registrar.h"
#include "sip/request.h"
#include "sip/script.h"

/* "sip:HOST:PORT" */
static bool parse_received(const char *text, struct addr *a)
{
    return strncmp(text, "sip:", 4) == 0 && addr_from_text(a, sv_of(text + 4));
}

static uint64_t device_of(const struct request *r, const struct aor *a, const struct binding *b)
{
    return mark_device(r->d, sv_of(a->user), sv_of(a->domain), b->instance, b->contact);
}

uint64_t locate_device(const struct request *r, uint64_t flow_id)
{
    struct sv user, domain;
    struct aor *a = uri_aor(msg_home(r->msg), r->sip->sip_from->a_url, &user, &domain) ? location_find(r->d->location, user, domain) : NULL;

    if (a)
        list_each(node, &a->bindings) {
            const struct binding *b = list_item(node, struct binding, node);

            if (b->conn_id == flow_id)
                return device_of(r, a, b);
        }
    return 0;
}

static bool is_open(const struct request *r, uint64_t conn_id)
{
    struct flow *f = conn_id ? flow_by_id(r->d->flows, conn_id) : NULL;

    return f && flow_tport(f);
}

/* The flow of the dialog has ended. The device that was on it may have connected again, and registered; and one that never was registered
 * may be where it says. */
static void find_again(struct request *r)
{
    struct sv user, domain;
    struct aor *a;

    if (!r->in_dialog || r->hop.kind != MARK_FLOW || is_open(r, r->hop.conn_id))
        return;
    if (!r->hop.device) {
        r->hop.kind = MARK_PLAIN;
        return;
    }
    a = uri_aor(msg_home(r->msg), r->sip->sip_to->a_url, &user, &domain) ? location_find(r->d->location, user, domain) : NULL;
    if (!a)
        return;
    list_each(node, &a->bindings) {
        const struct binding *b = list_item(node, struct binding, node);

        if (is_open(r, b->conn_id) && device_of(r, a, b) == r->hop.device)
            r->hop.conn_id = b->conn_id; /* the newest is the last */
    }
}

/* False: the binding cannot be reached now. */
static bool to_target(struct request *r, const struct aor *a, const struct binding *b, struct target *t)
{
    su_home_t *home = msg_home(r->msg);
    bool is_sips = su_casenmatch(b->contact, "sips:", 5);
    struct flow *f;

    *t = (struct target){ .uri = su_strdup(home, b->contact), .path = *b->path ? su_strdup(home, b->path) : NULL,
                          .q = b->q < 0 ? 1.0 : b->q, .instance = su_strdup(home, b->instance),
                          .modified = b->modified };
    if (sipscript_uri(r)->url_type == url_sips) {
        if (!is_sips) { /* S-TLS-02 */
            r->warning = "Warning: 380 tandem \"SIPS Not Allowed\"\r\n";
            return false;
        }
    } else if (is_sips && t->uri) { /* never turned into sips, and yet over TLS: S-TLS-03 */
        t->uri = su_sprintf(home, "sip%s", t->uri + strlen("sips"));
        t->must_tls = true;
    }
    if (b->conn_id) {
        f = flow_by_id(r->d->flows, b->conn_id);
        if (!f || !flow_tport(f)) /* S-OUT-05 */
            return false;
        if (is_sips && !flow_is_secure(f)) {
            r->warning = "Warning: 381 tandem \"SIPS Required\"\r\n";
            return false;
        }
        t->hop.kind = MARK_FLOW;
        t->hop.conn_id = b->conn_id;
        t->hop.device = device_of(r, a, b);
    } else if (is_sips) {
        return t->uri && t->instance; /* to be dialled */
    } else if (*b->received && parse_received(b->received, &t->hop.addr)) {
        tport_t *udp = stack_udp_for(r->d->stack, b->socket, t->hop.addr.sa.sa_family);

        if (!udp)
            return false;
        t->hop.kind = MARK_UDP;
        sv_copy(sv_of(tport_ident(udp)), t->hop.ident, sizeof t->hop.ident);
    }
    return t->uri && t->instance;
}

/* By q, then the newest first: of one device's bindings that is the one to try (S-OUT-06). */
static bool comes_before(const struct target *a, const struct target *b)
{
    return a->q != b->q ? a->q > b->q : a->modified > b->modified;
}

static void insert(struct request *r, const struct target *t)
{
    size_t at = r->n_targets++;

    for (; at > 0 && comes_before(t, &r->targets[at - 1]); at--)
        r->targets[at] = r->targets[at - 1];
    r->targets[at] = *t;
}

static void collect(struct request *r, const struct aor *a)
{
    int64_t now = sipd_time();

    r->targets = su_alloc(msg_home(r->msg), (isize_t)(sizeof *r->targets * TD_MIN(a->n, (size_t)TARGETS_MAX)));
    if (!r->targets)
        return;
    for (struct list *node = a->bindings.prev; node != &a->bindings; node = node->prev) { /* the newest is the last */
        const struct binding *b = list_item(node, struct binding, node);
        struct target t;

        if (r->n_targets == TARGETS_MAX)
            break;
        if (b->expires && b->expires <= now)
            continue;
        if (to_target(r, a, b, &t))
            insert(r, &t);
    }
}

static void on_cred(int err, const struct db_cred *cred, void *arg)
{
    struct request *r = arg;

    r->cred = NULL;
    r->user_known = !err && cred->found;
    if (r->is_waiting)
        request_run(r);
}

int locate_user(struct request *r, const url_t *url)
{
    struct sv user, domain;
    struct aor *a;

    r->n_targets = 0;
    if (!uri_aor(msg_home(r->msg), url, &user, &domain))
        return -1;
    a = location_find(r->d->location, user, domain);
    if (!a)
        return -1;
    collect(r, a);
    return (int)r->n_targets;
}

enum verdict locate_self(struct request *r)
{
    r->targets = su_zalloc(msg_home(r->msg), sizeof *r->targets);
    if (!r->targets)
        return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    r->targets->hop = r->hop;
    r->targets->q = 1;
    r->targets->instance = "";
    r->n_targets = 1;
    sipscript_direct(r, r->targets);
    return STEP_NEXT;
}

enum verdict step_locate(struct request *r)
{
    struct sv user, domain;
    struct db_cred cred;
    int got, found;

    find_again(r);
    if (!r->for_us || r->hop.kind != MARK_PLAIN) /* S-RT-05; in a dialog the mark has said it */
        return locate_self(r);
    if (!uri_aor(msg_home(r->msg), sipscript_uri(r), &user, &domain))
        return request_reply(r, SIP_404_NOT_FOUND, NULL);
    found = locate_user(r, sipscript_uri(r));
    if (found > 0)
        return STEP_NEXT;
    if (found == 0)
        return request_reply(r, SIP_480_TEMPORARILY_UNAVAILABLE, r->warning);
    if (r->sip->sip_request->rq_method == sip_method_ack)
        return STEP_DONE;
    r->user_known = false;
    got = db_cred_get(r->d->db, user, domain, &cred, r->d->mailbox, on_cred, r, &r->cred);
    if (got < 0)
        return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    if (got == 1) {
        r->user_known = cred.found;
        return STEP_NEXT;
    }
    if (!request_hold(r)) {
        db_cred_cancel(r->cred);
        r->cred = NULL;
        return STEP_DONE;
    }
    return STEP_WAIT;
}

enum verdict step_locate_judge(struct request *r)
{
    if (r->n_targets)
        return STEP_NEXT;
    if (r->user_known)
        return request_reply(r, SIP_480_TEMPORARILY_UNAVAILABLE, NULL);
    return request_reply(r, SIP_404_NOT_FOUND, NULL);
}
