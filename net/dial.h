/* Opening connections: name resolution, every address in turn, TLS.
 *
 * dial() returns a conn at once, in the state `connecting`; frames may be queued on it. The protocol's
 * up() follows, or down() with CONNECT_FAILED, CONNECT_TIMEOUT, DNS, CERTIFICATE or TLS_*. */
#pragma once

#include "common/conf.h"
#include "net/conn.h"

struct resolver; /* one per worker, c-ares underneath */

int resolver_new(struct resolver **out, struct loop *l, const struct conf *conf);
void resolver_free(struct resolver **r);

/* A and AAAA of a host name, or the literal itself; done is called exactly once, perhaps before the call returns;
 * n 0: no address. The query's handle may be cancelled until then. */
struct resolve_query;
typedef void resolve_done(void *arg, const struct addr *addrs, size_t n);
struct resolve_query *resolve_host(struct resolver *r, const char *host, uint16_t port, resolve_done *done, void *arg);
void resolve_cancel(struct resolve_query *q);
