/* Limits on connections: in all, and for each source, which is an IPv4 address or an IPv6 /64. Shared by all
 * workers, thread-safe; takes a lock, so it is asked once per accept and never per frame. */
#pragma once

#include "net/addr.h"

struct limits;

int limits_new(struct limits **out, uint64_t connections, uint64_t per_address);
void limits_free(struct limits **l);
/* For connections that come from now on. */
void limits_set(struct limits *l, uint64_t connections, uint64_t per_address);

/* May this address open one more connection? If so it is counted, until limits_leave() with the same address. */
bool limits_enter(struct limits *l, const struct addr *a);
void limits_leave(struct limits *l, const struct addr *a);
