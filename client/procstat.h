/* What other processes cost: their CPU time and memory, from the kernel.
 *
 * A process counts with all its threads and its descendants, as of the moment of asking. */
#pragma once

#include <sys/types.h>

#include "common/defs.h"

struct proc_cost {
    double cpu_s;         /* user and system, from the processes' CPU clocks */
    double user_s, sys_s; /* the same from /proc/PID/stat, in ticks */
    uint64_t rss, pss;    /* bytes; pss shares what is shared among those who map it */
    size_t processes;
};

/* False: one of the roots does not exist. with_memory: fill in rss and pss too (costs the kernel a walk). */
bool proc_cost(const pid_t *roots, size_t n, bool with_memory, struct proc_cost *out);
