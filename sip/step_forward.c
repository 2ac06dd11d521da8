/* The last step: off it goes. */
#include "sip/errand.h"
#include "sip/fork.h"
#include "sip/request.h"

enum verdict step_forward(struct request *r)
{
    if (r->sip->sip_request->rq_method == sip_method_ack) {
        errand_ack(r);
        return STEP_DONE;
    }
    if (request_hold(r))
        fork_start(r->fork, r);
    return STEP_DONE;
}
