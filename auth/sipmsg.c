/* An MSRP AUTH as a SIP request. */
#include "auth/sipmsg.h"

#include <sofia-sip/sip.h>
#include <sofia-sip/sip_parser.h>

#include "auth/digest.h"

static const char prefix[] = "AUTH sip:relay@msrp.invalid SIP/2.0\r\n"
                             "Via: SIP/2.0/TCP msrp.invalid;branch=z9hG4bKmsrp\r\n"
                             "From: <sip:msrp.invalid>;tag=msrp\r\n"
                             "To: <sip:msrp.invalid>\r\n"
                             "Call-ID: msrp\r\n"
                             "CSeq: 1 AUTH\r\n";

/* The next line, without its CRLF. */
static bool next_line(struct sv *rest, struct sv *line)
{
    size_t end;

    if (!rest->n)
        return false;
    end = sv_find(*rest, '\n');
    *line = sv_upto(*rest, end);
    *rest = sv_from(*rest, end + 1);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

bool sipmsg_claim(struct digest_cred *cred, struct sv headers)
{
    struct sv line;

    while (next_line(&headers, &line)) {
        size_t colon = sv_find(line, ':');

        if (sv_eq_nocase(sv_trim(sv_upto(line, colon)), SV("Authorization")) &&
            digest_parse(cred, sv_trim(sv_from(line, colon + 1))) == DIGEST_PARSED && cred->username.n && cred->realm.n)
            return true;
    }
    return false;
}

/* Append the frame's Digest credentials as header lines. */
static enum sipmsg_result add_authorizations(struct buf *text, struct sv headers)
{
    struct digest_cred cred;
    struct sv line;
    int n = 0;

    while (next_line(&headers, &line)) {
        size_t colon = sv_find(line, ':');

        if (!sv_eq_nocase(sv_trim(sv_upto(line, colon)), SV("Authorization")))
            continue;
        if (++n > SIPMSG_AUTHORIZATIONS_MAX)
            return SIPMSG_BAD;
        switch (digest_parse(&cred, sv_trim(sv_from(line, colon + 1)))) {
        case DIGEST_OTHER: /* no credentials of ours, hence none */
            continue;
        case DIGEST_BROKEN:
            return SIPMSG_BAD;
        case DIGEST_PARSED:
            break;
        }
        if (!cred.realm.p)
            continue;
        buf_puts(text, "Authorization: ");
        digest_print(&cred, text);
        buf_puts(text, "\r\n");
    }
    return SIPMSG_MADE;
}

enum sipmsg_result sipmsg_make(msg_t **out, struct sv headers)
{
    struct buf text = BUF_INIT;
    enum sipmsg_result result;
    sip_t *sip;

    *out = NULL;
    buf_puts(&text, prefix);
    result = add_authorizations(&text, headers);
    if (result != SIPMSG_MADE)
        goto out;
    buf_puts(&text, "Content-Length: 0\r\n\r\n");
    result = SIPMSG_NOMEM;
    if (buf_failed(&text))
        goto out;
    *out = msg_make(sip_default_mclass(), 0, text.p, (ssize_t)text.n);
    sip = *out ? sip_object(*out) : NULL;
    if (!sip)
        goto out;
    /* What we wrote and Sofia does not understand (a value of kilobytes, say) was no sensible digest. */
    result = sip->sip_request && !sip->sip_error ? SIPMSG_MADE : SIPMSG_BAD;
out:
    if (result != SIPMSG_MADE && *out) {
        msg_destroy(*out);
        *out = NULL;
    }
    buf_fini(&text);
    return result;
}
