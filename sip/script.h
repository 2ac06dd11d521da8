/* Scripts for SIP: the function sip.event_callback of the operator's script is run for every request, and functions that it names with
 * KSR.tm.t_on_branch(), t_on_reply() and t_on_failure() for what follows.
 *
 * The steps of sip/request.c are what the script's functions are made of. What a script orders is done when it has ended: a script that
 * fails has sent nothing (unless it had a registration stored), and the built-in steps have the request as it came. A function that needs the
 * database lets the script wait, and with it that request alone. Changes of headers and of the Request-URI are kept beside the
 * message and made on each copy that goes out, as Kamailio does. The SIP process's thread. */
#pragma once

#include "script/script.h"
#include "sip/request.h"

/* KSR.tm, KSR.rr, KSR.registrar and so on (script_tbl.h). */
extern const struct script_api sipscript_api;

/* Make the script of this configuration; what is there stays when that fails (faults says why). conf is not kept. */
int sipscript_configure(struct sipd *d, const struct conf *conf, struct buf *faults);
void sipscript_fini(struct sipd *d);

/* A request ends: so does a script that waits for it. */
void sipscript_forget(struct request *r);

/* Does it wait in its script? */
bool sipscript_waits(const struct request *r);

/* ---- for the steps, sip/fork.c and sip/forward.c; without a script all say what is so without one ---- */

/* The Request-URI to route by: the script's, else as it came. */
const url_t *sipscript_uri(const struct request *r);
/* Send to that URI, and to $du, in place of what the message itself says. */
void sipscript_direct(const struct request *r, struct target *t);

/* Make the script's changes on a copy that goes out. False: no memory. */
bool sipscript_edit(const struct request *r, msg_t *copy);
/* Should Record-Route be put on it? otherwise: what the built-in routing would do. params: URI parameters for it, or "". */
bool sipscript_records(const struct request *r, bool otherwise, const char **params);

/* A copy is about to go out as the branch of that index. False: the script drops it. */
bool sipscript_on_branch(const struct request *r, msg_t *copy, unsigned index);
/* A response has come for a branch. False: the script drops it; never so for a final one. */
bool sipscript_on_reply(const struct request *r, msg_t *reply, unsigned index);

enum script_failure { FAILURE_GOES_UP, FAILURE_ANSWERED /* *answer is to go up instead */, FAILURE_RELAYED /* r has other targets */ };

struct script_answer {
    int status;
    const char *phrase, *headers; /* in the request's memory */
};

/* All branches have failed, and that status would go up. */
enum script_failure sipscript_on_failure(struct request *r, int status, bool is_cancelled, struct script_answer *answer);
