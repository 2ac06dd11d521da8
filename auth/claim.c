/* Digest credentials among header lines. */
#include "auth/claim.h"

#include "common/err.h"

/* The value of the next Authorization header; p NULL: there is none. */
static struct sv next_authorization(struct sv *rest)
{
    while (rest->n) {
        size_t end = sv_find(*rest, '\n'), colon;
        struct sv line = sv_upto(*rest, end);

        *rest = sv_from(*rest, end + 1);
        if (sv_lower(line.n ? line.p[0] : ' ') != 'a')
            continue;
        if (line.p[line.n - 1] == '\r')
            line.n--;
        colon = sv_find(line, ':');
        if (sv_eq_nocase(sv_trim(sv_upto(line, colon)), SV("Authorization")))
            return sv_trim(sv_from(line, colon + 1));
    }
    return sv_make(NULL, 0);
}

int claim_next(struct claims *c, struct digest_cred *cred)
{
    struct sv value;

    while ((value = next_authorization(&c->rest)).p) {
        if (++c->n > CLAIMS_MAX)
            return TD_ELIMIT;
        switch (digest_parse(cred, value)) {
        case DIGEST_OTHER: /* no credentials of ours, hence none */
            continue;
        case DIGEST_BROKEN:
            return TD_EINVAL;
        case DIGEST_PARSED:
            if (cred->realm.p)
                return 1;
        }
    }
    return 0;
}

bool claim_first(struct digest_cred *cred, struct sv headers)
{
    struct sv value;

    while ((value = next_authorization(&headers)).p)
        if (digest_parse(cred, value) == DIGEST_PARSED && cred->username.n && cred->realm.n)
            return true;
    return false;
}
