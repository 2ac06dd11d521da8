/* The edge: every TCP port, every connection, the MSRP relay, and the parents of all other parts.
 *
 * The calling thread becomes the control thread: it starts the workers and the SIP process, handles signals and
 * operators' requests, and takes everything down again. */
#pragma once

#include "common/conf.h"

struct edge_start {
    const char *file;     /* for reloads */
    char **overrides;
    size_t n_overrides;
    struct conf *conf;    /* owned by edge_run() */
};

/* Runs until a signal says stop. 0, or an error that was logged with its reason. */
int edge_run(const struct edge_start *start);
