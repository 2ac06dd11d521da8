/* Failures in order. */
#include "sip/rank.h"

#include <sofia-sip/sip_status.h>

int status_rank(int status)
{
    if (status >= 600)
        return 0;
    switch (status) {
    case 401:
    case 407:
    case 415:
    case 420:
    case 484:
        return 4000;
    case 430: /* says nothing about the callee */
        return 4900;
    default:
        return status / 100 * 1000 + 500;
    }
}

const char *phrase_of_status(int status)
{
    return status == 430 ? "Flow Failed" : sip_status_phrase(status); /* RFC 5626 s.11.6 */
}
