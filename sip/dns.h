/* Name resolution in the SIP process: the resolver of net/resolve on a loop of its own inside Sofia's.
 *
 * Sofia's own resolver is never asked: what nta gets to send is always an IP address that passed through here and through
 * the policy of net/reach. Nothing blocks. One thread: that of the Sofia loop. */
#pragma once

#include "common/conf.h"
#include "sip/locate.h"
#include "sip/sofia.h"

struct dns;

int dns_new(struct dns **out, su_root_t *root, const struct conf *conf);
/* Cancels what is running: no callback comes. */
void dns_free(struct dns **d);

/* For locate_new(); lives as long as d. */
const struct locate_dns *dns_table(const struct dns *d);
