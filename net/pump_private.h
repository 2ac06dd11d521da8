/* What the files of the pump share. */
#pragma once

#include "net/pump.h"

struct pump_link {
    int refs; /* atomic */
    int fd;   /* owned */
    uint16_t ports[PUMP_KIND_N][2];
};
