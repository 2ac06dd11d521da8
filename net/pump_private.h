/* What the files of the pump share. */
#pragma once

#include "net/pump.h"

struct pump_link {
    int refs; /* atomic */
    int fd;   /* owned */
    uint16_t ports[PUMP_KIND_N][2];
};

/* Send a record with a descriptor, or without one (-1), if it fits in the socket now. True when there is nobody to take it any more. */
bool pump_link_try(struct pump_link *l, const struct pump_rec *r, int file);
