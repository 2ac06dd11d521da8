/* Request lines with methods that Sofia does not know. */
#include "sip/method.h"

#include <sofia-sip/bnf.h>
#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip_parser.h>
#include <stdlib.h>
#include <string.h>

#include "common/defs.h"
#include "sip/display.h"

/* Methods that Sofia has a code for; it reads these itself. CANCEL is one in responses alone: see method_reveal(). */
static bool is_known(const char *name, bool is_request)
{
    static const char *const known[] = { "INVITE", "ACK",     "BYE",       "OPTIONS", "REGISTER", "INFO",   "PRACK",
                                         "UPDATE", "MESSAGE", "SUBSCRIBE", "NOTIFY",  "REFER",    "PUBLISH" };

    for (size_t i = 0; i < TD_ARRAY_LEN(known); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return !is_request && strcmp(name, "CANCEL") == 0;
}

/* Cut a method that Sofia does not know off the front; NULL: it knows it, or there is none. *s is then behind it. */
static char *take_unknown(char **s, char behind, bool is_request)
{
    char *name = *s;
    size_t n = (size_t)span_token(name);

    if (n == 0 || name[n] != behind)
        return NULL;
    name[n] = '\0';
    if (is_known(name, is_request)) {
        name[n] = behind;
        return NULL;
    }
    *s += n + (behind ? 1 : 0);
    return name;
}

static issize_t request_d(su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    sip_request_t *rq = (sip_request_t *)h;
    char *name = take_unknown(&s, ' ', true);
    size_t url_n;

    if (!name)
        return sip_request_class->hc_parse(home, h, s, n);
    rq->rq_method = sip_method_unknown;
    rq->rq_method_name = name;
    url_n = strcspn(s, " \t\r\n");
    if (s[url_n] != ' ')
        return -1;
    s[url_n] = '\0';
    if (url_d(rq->rq_url, s) < 0)
        return -1;
    s += url_n + 1;
    return sip_version_d(&s, &rq->rq_version) < 0 || *s ? -1 : 0;
}

static issize_t cseq_d(su_home_t *home, msg_header_t *h, char *s, isize_t n)
{
    sip_cseq_t *cs = (sip_cseq_t *)h;
    size_t digits = strspn(s, "0123456789"), blanks = strspn(s + digits, " \t");
    char *method = s + digits + blanks, *name;
    const sip_t *sip = sip_object((msg_t *)home); /* the start line has been read */

    name = digits && digits <= 10 && blanks ? take_unknown(&method, '\0', sip && sip->sip_request) : NULL;
    if (!name || strtoull(s, NULL, 10) > UINT32_MAX)
        return sip_cseq_class->hc_parse(home, h, s, n);
    cs->cs_seq = (uint32_t)strtoull(s, NULL, 10);
    cs->cs_method = sip_method_unknown;
    cs->cs_method_name = name;
    return 0;
}

/* Headers are found by name when a message is read, and by class when one is added: ours comes first in the table's
 * chain and is found by name, Sofia's moves to the next free place and is still found by class. */
static void put_in_front(msg_mclass_t *mc, msg_hclass_t *theirs, msg_hclass_t *ours)
{
    msg_href_t found = { 0 };
    int at = -1;

    for (int i = 0; i < mc->mc_hash_size && at < 0; i++)
        if (mc->mc_hash[i].hr_class == theirs)
            at = i;
    if (at < 0 || mc->mc_hash_used + 1 >= mc->mc_hash_size)
        return;
    found = mc->mc_hash[at];
    mc->mc_hash[at].hr_class = ours;
    while (mc->mc_hash[at].hr_class)
        at = (at + 1) % mc->mc_hash_size;
    mc->mc_hash[at] = found;
    mc->mc_hash_used++;
    if (ours->hc_short[0])
        ((msg_href_t *)(uintptr_t)mc->mc_short)[ours->hc_short[0] - 'a'].hr_class = ours; /* a table of the clone's own */
}

msg_mclass_t const *method_mclass(void)
{
    static struct msg_hclass_s request_class[1], cseq_class[1]; /* Sofia's, but for the parser */
    static msg_mclass_t *mc;

    if (mc)
        return mc;
    mc = msg_mclass_clone(sip_default_mclass(), 0, 0);
    if (!mc)
        return NULL;
    memcpy(request_class, sip_request_class, sizeof request_class);
    request_class->hc_parse = request_d;
    mc->mc_request->hr_class = request_class;
    memcpy(cseq_class, sip_cseq_class, sizeof cseq_class);
    cseq_class->hc_parse = cseq_d;
    put_in_front(mc, sip_cseq_class, cseq_class);
    put_in_front(mc, sip_from_class, display_from_class());
    put_in_front(mc, sip_to_class, display_to_class());
    put_in_front(mc, sip_contact_class, display_contact_class());
    return mc;
}

void method_reveal(sip_t *sip)
{
    if (sip->sip_request->rq_method == sip_method_unknown && strcmp(sip->sip_request->rq_method_name, "CANCEL") == 0) {
        sip->sip_request->rq_method = sip_method_cancel;
        if (sip->sip_cseq)
            sip->sip_cseq->cs_method = sip_method_cancel;
    }
}

sip_request_t *method_request_line(su_home_t *home, const sip_request_t *rq, const url_string_t *uri)
{
    sip_request_t *line = sip_request_create(home, rq->rq_method, rq->rq_method_name, uri, NULL);

    if (line)
        line->rq_method =
            rq->rq_method; /* of an unknown one Sofia makes an invalid one here, and finds no transaction then */
    return line;
}
