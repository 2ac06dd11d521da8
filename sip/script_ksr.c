/* Functions of scripts for SIP: what they say about a message, and what they order. */
#include <regex.h>
#include <stdlib.h>

#include "sip/fork.h"
#include "sip/script_private.h"

static void boolean(struct script_call *c, bool is_true)
{
    c->result = (struct script_value){ .type = SCRIPT_BOOL, .i = is_true };
}

static const char *method_of(const struct sip_event *e)
{
    if (e->sip->sip_request)
        return e->sip->sip_request->rq_method_name;
    return e->sip->sip_cseq ? e->sip->sip_cseq->cs_method_name : "";
}

/* ---- the method ---- */

void ksip_is_method(struct script_call *c)
{
    struct sv rest = c->arg[0].s, method = sv_of(method_of(event_of(c)));
    bool found = false;

    while (rest.n) {
        struct sv one = sv_upto(rest, sv_find(rest, '|'));

        found = found || sv_eq_nocase(one, method);
        rest = sv_from(rest, one.n + 1);
    }
    boolean(c, found);
}

void ksip_is_method_in(struct script_call *c)
{
    static const struct {
        char letter;
        const char *name;
    } methods[] = { { 'I', "INVITE" },  { 'A', "ACK" },       { 'B', "BYE" },     { 'C', "CANCEL" }, { 'R', "REGISTER" }, { 'M', "MESSAGE" },
                    { 'O', "OPTIONS" }, { 'S', "SUBSCRIBE" }, { 'P', "PUBLISH" }, { 'N', "NOTIFY" }, { 'U', "UPDATE" } };
    const char *method = method_of(event_of(c));
    bool found = false;

    for (size_t i = 0; i < TD_ARRAY_LEN(methods); i++)
        if (strcmp(methods[i].name, method) == 0)
            found = sv_find(c->arg[0].s, methods[i].letter) < c->arg[0].s.n;
    boolean(c, found);
}

/* KSR.is_NAME() */
void ksip_is_this_method(struct script_call *c)
{
    boolean(c, strcmp(method_of(event_of(c)), c->func->name + strlen("is_")) == 0);
}

/* ---- is that us? ---- */

static void is_us(struct script_call *c, const url_t *url)
{
    boolean(c, url && url->url_host && stack_is_us(event_of(c)->r->d->stack, url));
}

void ksip_is_myself(struct script_call *c)
{
    char *text = sipscript_text(c, c->arg[0].s);

    is_us(c, text ? url_make(home_of(event_of(c)), text) : NULL);
}

void ksip_is_myself_ruri(struct script_call *c)
{
    is_us(c, sipscript_uri(event_of(c)->r));
}

void ksip_is_myself_furi(struct script_call *c)
{
    is_us(c, event_of(c)->r->sip->sip_from->a_url);
}

void ksip_is_myself_turi(struct script_call *c)
{
    is_us(c, event_of(c)->r->sip->sip_to->a_url);
}

void ksip_is_myself_suri(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    char at[ADDR_TEXT_MAX];

    is_us(c, sipscript_take(c, sizeof at) ? url_format(home_of(e), "sip:%s", addr_text(&e->r->source, at)) : NULL);
}

/* ---- how it came ---- */

static const struct script_name no_name = { .text = { "", 0 } };

/* KSR.is_NAME() */
void ksip_is_transport(struct script_call *c)
{
    struct sv name = sv_of(c->func->name + strlen("is_"));
    struct script_value v = { 0 };

    ksip_get_pr(c, &no_name, &v);
    if (sv_eq(name, SV("WSX")))
        boolean(c, v.type == SCRIPT_STR && sv_starts(v.s, SV("ws")));
    else
        boolean(c, v.type == SCRIPT_STR && sv_eq_nocase(v.s, name));
}

static void is_number(struct script_call *c, void (*get)(struct script_call *c, const struct script_name *name, struct script_value *out))
{
    struct script_value v = { 0 };

    get(c, &no_name, &v);
    boolean(c, v.type == SCRIPT_INT && v.i == c->arg[0].i);
}

void ksip_is_src_port(struct script_call *c)
{
    is_number(c, ksip_get_sp);
}

void ksip_is_dst_port(struct script_call *c)
{
    is_number(c, ksip_get_Rp);
}

/* ---- flags ---- */

static uint32_t flag_bit(struct script_call *c)
{
    if (c->arg[0].i < 0 || c->arg[0].i > 31)
        c->fault = "a flag is a number from 0 to 31";
    return c->fault ? 0 : (uint32_t)1 << c->arg[0].i;
}

void ksip_setflag(struct script_call *c)
{
    event_of(c)->g->flags |= flag_bit(c);
    boolean(c, true);
}

void ksip_resetflag(struct script_call *c)
{
    event_of(c)->g->flags &= ~flag_bit(c);
    boolean(c, true);
}

void ksip_isflagset(struct script_call *c)
{
    boolean(c, event_of(c)->g->flags & flag_bit(c));
}

/* The branch that is meant; -1: all that have no flags of their own. */
static int branch_of(struct script_call *c)
{
    const struct sip_event *e = event_of(c);
    int64_t branch = c->n > 1 ? c->arg[1].i : e->route == ROUTE_REQUEST || e->route == ROUTE_FAILURE ? -1 : (int64_t)e->branch;

    if (c->n > 1 && (branch < 0 || branch >= SCRIPT_BRANCHES_MAX))
        c->fault = "a branch is a number from 0 to 31";
    return branch < SCRIPT_BRANCHES_MAX ? (int)branch : -1;
}

static uint32_t branch_flags(const struct routing *g, int branch)
{
    return branch >= 0 && g->has_own & (uint32_t)1 << branch ? g->own_flags[branch] : g->branch_flags;
}

static void change_branch(struct script_call *c, bool on)
{
    struct routing *g = event_of(c)->g;
    int branch = branch_of(c);
    uint32_t bit = flag_bit(c), flags = on ? branch_flags(g, branch) | bit : branch_flags(g, branch) & ~bit;

    boolean(c, true);
    if (c->fault)
        return;
    if (branch < 0) {
        g->branch_flags = flags;
        return;
    }
    g->own_flags[branch] = flags;
    g->has_own |= (uint32_t)1 << branch;
}

void ksip_setbflag(struct script_call *c)
{
    change_branch(c, true);
}

void ksip_resetbflag(struct script_call *c)
{
    change_branch(c, false);
}

void ksip_isbflagset(struct script_call *c)
{
    boolean(c, branch_flags(event_of(c)->g, branch_of(c)) & flag_bit(c));
}

/* ---- what needs nothing done ---- */

void ksip_true(struct script_call *c)
{
    boolean(c, true);
}

void ksip_one(struct script_call *c)
{
    script_truth(c, true);
}

void ksip_minus_one(struct script_call *c)
{
    script_truth(c, false);
}

/* ---- the destination ---- */

void ksip_drop(struct script_call *c)
{
    event_of(c)->is_dropped = true;
    script_truth(c, true);
}

void ksip_x_drop(struct script_call *c)
{
    ksip_drop(c);
    c->exit = true;
}

void ksip_seturi(struct script_call *c)
{
    script_assign(c, SV("$ru"), &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[0].s });
    boolean(c, true);
}

void ksip_setuser(struct script_call *c)
{
    script_assign(c, SV("$rU"), &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[0].s });
    boolean(c, true);
}

void ksip_sethost(struct script_call *c)
{
    script_assign(c, SV("$rd"), &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[0].s });
    boolean(c, true);
}

void ksip_setdsturi(struct script_call *c)
{
    script_assign(c, SV("$du"), &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[0].s });
    boolean(c, true);
}

void ksip_resetdsturi(struct script_call *c)
{
    event_of(c)->g->next = NULL;
    boolean(c, true);
}

void ksip_isdsturiset(struct script_call *c)
{
    boolean(c, event_of(c)->g->next != NULL);
}

/* ---- transactions ---- */

/* May something be ordered for the request here, and is nothing yet? */
static bool may_order(const struct sip_event *e)
{
    return (e->route == ROUTE_REQUEST || e->route == ROUTE_FAILURE) && !e->r->answered && !e->g->answer.status && !e->g->is_relayed;
}

void ksip_t_relay(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    bool may = may_order(e);

    if (may)
        e->g->is_relayed = true;
    script_truth(c, may);
}

void ksip_t_newtran(struct script_call *c)
{
    struct sip_event *e = event_of(c);

    script_truth(c, e->route == ROUTE_FAILURE || (may_order(e) && e->r->sip->sip_request->rq_method != sip_method_ack && request_hold(e->r)));
}

void ksip_t_is_set(struct script_call *c)
{
    const struct routing *g = event_of(c)->g;

    if (sv_eq(c->arg[0].s, SV("branch_route")))
        script_truth(c, g->on_branch != NULL);
    else if (sv_eq(c->arg[0].s, SV("failure_route")))
        script_truth(c, g->on_failure != NULL);
    else if (sv_eq(c->arg[0].s, SV("onreply_route")))
        script_truth(c, g->on_reply != NULL);
    else
        c->fault = "there is branch_route, failure_route and onreply_route";
}

static void name_route(struct script_call *c, const char **route)
{
    *route = c->arg[0].s.n ? sipscript_text(c, c->arg[0].s) : NULL;
    script_truth(c, true);
}

void ksip_t_on_branch(struct script_call *c)
{
    name_route(c, &event_of(c)->g->on_branch);
}

void ksip_t_on_reply(struct script_call *c)
{
    name_route(c, &event_of(c)->g->on_reply);
}

void ksip_t_on_failure(struct script_call *c)
{
    name_route(c, &event_of(c)->g->on_failure);
}

void ksip_t_is_canceled(struct script_call *c)
{
    script_truth(c, event_of(c)->is_cancelled);
}

/* How often its counts, as {2,9}, repeat what stands before them, at most. */
static uint64_t repeats(const char *pattern)
{
    uint64_t all = 1;

    while ((pattern = strchr(pattern, '{')) && all < UINT32_MAX) {
        char *end;
        unsigned long least = strtoul(pattern + 1, &end, 10), most = *end == ',' ? strtoul(end + 1, NULL, 10) : 0;

        most = TD_MAX(least, most);
        if (most > 1)
            all *= TD_MIN(most, (unsigned long)RE_DUP_MAX); /* more is refused by regcomp() */
        pattern++;
    }
    return all;
}

/* A back-reference, which POSIX does not have there, would make libc try for hours. */
static bool refers_back(const char *pattern)
{
    for (; (pattern = strchr(pattern, '\\')) && pattern[1]; pattern += 2)
        if (pattern[1] >= '1' && pattern[1] <= '9')
            return true;
    return false;
}

/* libc writes out what is repeated, and may look from each character of the text at all behind it. */
static bool matches(struct script_call *c, struct sv pattern, const char *text)
{
    uint64_t n = strlen(text);
    char copy[256];
    regex_t re;
    bool found;

    if (!sv_copy(pattern, copy, sizeof copy) || refers_back(copy)) {
        c->fault = "that is no regular expression";
        return false;
    }
    if (!script_spend(c, 100 + pattern.n * repeats(copy) * 16 + n * n / 16))
        return false;
    if (regcomp(&re, copy, REG_EXTENDED | REG_NOSUB) != 0) {
        c->fault = "that is no regular expression";
        return false;
    }
    found = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

void ksip_t_check_status(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    char status[8];

    snprintf(status, sizeof status, "%d", e->status);
    script_truth(c, matches(c, c->arg[0].s, status) && e->status);
}

void ksip_t_status(struct script_call *c)
{
    script_return(c, event_of(c)->status ? event_of(c)->status : -1);
}

void ksip_is_route(struct script_call *c)
{
    static const struct {
        const char *name;
        enum route_kind first, last;
    } routes[] = { { "t_is_request_route", ROUTE_REQUEST, ROUTE_REQUEST }, { "t_is_branch_route", ROUTE_BRANCH, ROUTE_BRANCH },
                   { "t_is_failure_route", ROUTE_FAILURE, ROUTE_FAILURE }, { "t_is_reply_route", ROUTE_REPLY, ROUTE_ONREPLY } };
    enum route_kind route = event_of(c)->route;

    script_truth(c, false);
    for (size_t i = 0; i < TD_ARRAY_LEN(routes); i++)
        if (strcmp(routes[i].name, c->func->name) == 0)
            script_truth(c, route >= routes[i].first && route <= routes[i].last);
}

/* ---- answers ---- */

void ksip_send_reply(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    int64_t code = c->arg[0].i;
    char *phrase = sipscript_text(c, c->arg[1].s);

    if (code == 100) {
        script_truth(c, true);
        return;
    }
    script_truth(c, false);
    if (!may_order(e) || code < 101 || code > 699 || !phrase || e->r->sip->sip_request->rq_method == sip_method_ack)
        return;
    if (code < 200) { /* other requests than INVITE have no other provisional answer than 100: RFC 4320 */
        if (e->route != ROUTE_REQUEST || e->r->sip->sip_request->rq_method != sip_method_invite || !request_hold(e->r))
            return;
        fork_provisional(e->r->fork, (int)code, phrase, e->g->reply_lines);
        script_truth(c, true);
        return;
    }
    e->g->answer = (struct script_answer){ (int)code, phrase, e->g->reply_lines };
    script_truth(c, true);
}

void ksip_sl_reply_error(struct script_call *c)
{
    struct sip_event *e = event_of(c);

    if (e->r->answered || e->g->answer.status) {
        script_truth(c, true);
        return;
    }
    e->g->is_relayed = false;
    e->g->answer = (struct script_answer){ 500, "Server Internal Error", e->g->reply_lines };
    script_truth(c, true);
}

void ksip_default(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    bool may = e->route == ROUTE_REQUEST && !e->r->answered;

    e->g->is_default |= may;
    script_truth(c, may);
}

/* ---- Route ---- */

void ksip_record_route(struct script_call *c)
{
    event_of(c)->g->is_recorded = true;
    script_truth(c, true);
}

void ksip_loose_route(struct script_call *c)
{
    struct request *r = event_of(c)->r;

    route_find(r);
    script_truth(c, r->in_dialog);
}

void ksip_check_route_param(struct script_call *c)
{
    struct request *r = event_of(c)->r;

    route_find(r);
    script_truth(c, matches(c, c->arg[0].s, r->route_params ? r->route_params : "") && r->route_params);
}

/* ;NAME=VALUE;NAME: what may stand in a URI, and nothing that ends it. */
static bool are_params(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= ' ' || (uint8_t)s.p[i] > '~' || strchr("<>\"?@,", s.p[i]))
            return false;
    return s.n > 1 && s.p[0] == ';';
}

void ksip_add_rr_param(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct sv more = c->arg[0].s;
    size_t n = strlen(e->g->record_params) + more.n;
    char *text = NULL;

    if (!are_params(more) || n > SCRIPT_LINE_MAX)
        c->fault = "URI parameters are written ;NAME=VALUE";
    else if (sipscript_take(c, n))
        text = su_sprintf(home_of(e), "%s%.*s", e->g->record_params, (int)more.n, more.p);
    if (text)
        e->g->record_params = text;
    else if (!c->fault)
        c->fault = "out of memory";
    script_truth(c, true);
}

void ksip_record_route_params(struct script_call *c)
{
    ksip_add_rr_param(c);
    event_of(c)->g->is_recorded = true;
}

/* ---- checks ---- */

void ksip_allow_source_address(struct script_call *c)
{
    const struct request *r = event_of(c)->r;

    script_truth(c, reach_allows(&r->d->trusted, &r->source));
}

void ksip_maxfwd(struct script_call *c)
{
    const sip_max_forwards_t *mf = event_of(c)->r->sip->sip_max_forwards;

    script_truth(c, !mf || mf->mf_count > 0);
}

void ksip_is_maxfwd_lt(struct script_call *c)
{
    const sip_max_forwards_t *mf = event_of(c)->r->sip->sip_max_forwards;

    script_truth(c, (mf ? (int64_t)mf->mf_count : 70) < c->arg[0].i);
}

void ksip_sanity_check(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct request *r = e->r;

    script_truth(c, e->route == ROUTE_REQUEST && !r->answered && step_sanity(r) == STEP_NEXT && step_require(r) == STEP_NEXT);
}

void ksip_has_totag(struct script_call *c)
{
    const sip_to_t *to = event_of(c)->sip->sip_to;

    script_truth(c, to && to->a_tag);
}

void ksip_is_request(struct script_call *c)
{
    script_truth(c, event_of(c)->sip->sip_request != NULL);
}

void ksip_is_reply(struct script_call *c)
{
    script_truth(c, event_of(c)->sip->sip_status != NULL);
}

void ksip_is_first_hop(struct script_call *c)
{
    const sip_t *sip = event_of(c)->r->sip;

    script_truth(c, !sip->sip_via->v_next && !sip->sip_record_route);
}

void ksip_has_ruri_user(struct script_call *c)
{
    const url_t *u = sipscript_uri(event_of(c)->r);

    script_truth(c, u && u->url_user && *u->url_user);
}

void ksip_has_user_agent(struct script_call *c)
{
    script_truth(c, event_of(c)->sip->sip_user_agent != NULL);
}

/* ---- NAT ---- */

static bool is_private(const char *host)
{
    struct addr a;

    return addr_from_host(&a, sv_of(host), 0) && addr_kind(&a) == ADDR_PRIVATE;
}

static bool is_elsewhere(const struct request *r, const char *host)
{
    struct addr a;

    return addr_from_host(&a, sv_of(host), 0) && !addr_host_eq(&a, &r->source);
}

void ksip_is_rfc1918(struct script_call *c)
{
    char *host = sipscript_text(c, c->arg[0].s);

    script_truth(c, host && is_private(host));
}

void ksip_nat_uac_test(struct script_call *c)
{
    enum { CONTACT_PRIVATE = 1, VIA_ELSEWHERE = 2, VIA_PRIVATE = 4, VIA_PORT = 16, CONTACT_ELSEWHERE = 32, WEBSOCKET = 64 };
    const struct request *r = event_of(c)->r;
    const sip_via_t *via = r->sip->sip_via;
    const char *contact = r->sip->sip_contact ? r->sip->sip_contact->m_url->url_host : NULL;
    int64_t found = 0;

    if (contact && is_private(contact))
        found |= CONTACT_PRIVATE;
    if (contact && is_elsewhere(r, contact))
        found |= CONTACT_ELSEWHERE;
    if (is_elsewhere(r, via->v_host))
        found |= VIA_ELSEWHERE;
    if (is_private(via->v_host))
        found |= VIA_PRIVATE;
    if (addr_port_of_text(via->v_port, 5060) != addr_port(&r->source))
        found |= VIA_PORT;
    if (request_is_websocket(r))
        found |= WEBSOCKET;
    script_truth(c, found & c->arg[0].i);
}

/* ---- headers ---- */

/* `Name: value`, perhaps with the CRLF that Kamailio wants; in the request's memory. NULL: c->fault says why. */
static char *header_line(struct script_call *c, struct sv *name)
{
    struct sv line = c->arg[0].s;
    char *text;

    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    line = sv_trim(line);
    *name = sv_trim(sv_upto(line, sv_find(line, ':')));
    text = name->n && name->n < line.n && line.n <= SCRIPT_LINE_MAX ? sipscript_text(c, line) : NULL;
    for (size_t i = 0; text && i < name->n; i++)
        if ((uint8_t)name->p[i] <= ' ' || (uint8_t)name->p[i] > '~' || strchr("()<>@,;:\\\"/[]?={}", name->p[i]))
            text = NULL;
    if (!text && !c->fault)
        c->fault = "a header line is written NAME: VALUE";
    return text;
}

/* What a message has once, and cannot do without, stays. */
static bool is_changeable(struct sv name)
{
    static const char *const kept[] = { "Via", "v", "From", "f", "To", "t", "Call-ID", "i", "CSeq", "Max-Forwards", "Content-Length", "l" };

    for (size_t i = 0; i < TD_ARRAY_LEN(kept); i++)
        if (sv_eq_nocase(name, sv_of(kept[i])))
            return false;
    return true;
}

static void edit(struct script_call *c, const char *name, const char *line)
{
    if (!c->fault && (!name || !sipscript_event_edit(event_of(c), name, line)))
        c->fault = "too many changes, or not a header";
    script_truth(c, true);
}

void ksip_hdr_append(struct script_call *c)
{
    struct sv name;
    char *line = header_line(c, &name);

    if (line && !is_changeable(name))
        c->fault = "a script does not add that header";
    else if (line)
        edit(c, "", line);
}

void ksip_hdr_remove(struct script_call *c)
{
    if (!is_changeable(c->arg[0].s))
        c->fault = "no message is sent without that header";
    else
        edit(c, sipscript_text(c, c->arg[0].s), NULL);
}

void ksip_hdr_is_present(struct script_call *c)
{
    script_truth(c, sipscript_event_header(event_of(c), c->arg[0].s, 0) != NULL);
}

void ksip_hdr_get(struct script_call *c)
{
    ksip_get_hdr(c, &(struct script_name){ .text = c->arg[0].s, .index = script_index(c, 1) }, &c->result);
    script_otherwise(c);
}

void ksip_append_to_reply(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct sv name;
    char *line = header_line(c, &name), *all = NULL;
    const char *lines = e->g->reply_lines ? e->g->reply_lines : "";

    if (!line)
        return;
    if (is_changeable(name) && strlen(lines) + strlen(line) + 2 <= SCRIPT_LINE_MAX && sipscript_take(c, strlen(lines) + strlen(line)))
        all = su_sprintf(home_of(e), "%s%s\r\n", lines, line);
    if (all)
        e->g->reply_lines = all;
    else if (!c->fault)
        c->fault = "not for an answer";
    script_truth(c, true);
}
