/* Limits on connections: in all, and for each source address. Shared by all
 * workers; takes a lock, so it is asked once per accept and never per frame. */
#pragma once

#include "net/addr.h"

struct limits;

int limits_new(struct limits **out, uint64_t connections, uint64_t per_address);
void limits_free(struct limits **l);
void limits_set(struct limits *l, uint64_t connections, uint64_t per_address);

/* May this address open one more connection? If so it is counted. */
bool limits_enter(struct limits *l, const struct addr *a);
void limits_leave(struct limits *l, const struct addr *a);
