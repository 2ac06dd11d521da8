/* Where we connect or send to because a peer has named it: the next hops that msrp.forward_to and sip.forward_to allow.
 *
 * A client can name any host; on our behalf it must not reach what only we can (M-SEC-02, S-SEC-05). Ask with the
 * resolved address, never with a name. Read-only once made; any thread. */
#pragma once

#include "common/conf.h"
#include "net/addr.h"

struct reach {
    struct cidr *cidrs; /* owned */
    size_t n_cidrs;
    bool has_public, has_private, has_loopback;
};

/* words: conf->msrp.forward_to or conf->sip.forward_to, or the addresses of conf->sip.trusted; key is its name.
 * TD_EINVAL: fault has a line for the operator. */
int reach_init(struct reach *r, const char *key, const struct conf_list *words, struct buf *fault);
/* For SIP: sip.forward_to, or msrp.forward_to where that is empty. */
int reach_init_sip(struct reach *r, const struct conf *conf, struct buf *fault);
void reach_fini(struct reach *r);

bool reach_allows(const struct reach *r, const struct addr *a);
