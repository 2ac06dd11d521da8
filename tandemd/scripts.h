/* The operator's script: checked with the configuration, made for each worker, replaced by a reload. */
#pragma once

#include "common/buf.h"
#include "common/conf.h"

struct edge;
struct script_api;

/* What scripts are offered, whatever process they run in: one file may serve both protocols. */
enum { SCRIPTS_APIS = 2 };
extern const struct script_api *const scripts_apis[SCRIPTS_APIS];

/* Is the script of this configuration sound, and are the functions there that it names? A line for each fault. */
int scripts_check(const struct conf *conf, struct buf *faults);

/* Before the workers run. What is wrong is logged. */
int scripts_start(struct edge *e);

/* Control thread: new scripts for all workers, which take them between two frames. When one cannot be made the old ones stay, and
 * faults says why. conf must stay in memory. */
int scripts_reload(struct edge *e, const struct conf *conf, struct buf *faults);
