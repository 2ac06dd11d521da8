/* What the running server answered, as text for people. The results are those of the RPC methods of cmd_tbl.h;
 * what is missing in one shows as "-". */
#pragma once

#include <jansson.h>

#include "common/buf.h"

void show_sessions(const json_t *result, struct buf *out);      /* msrp.sessions */
void show_connections(const json_t *result, struct buf *out);   /* core.connections */
void show_registrations(const json_t *result, struct buf *out); /* ul.dump */
void show_cmaplist(const json_t *result, struct buf *out);      /* msrp.cmaplist */
void show_stats(const json_t *result, struct buf *out);         /* stats.get */
void show_bans(const json_t *result, struct buf *out);          /* core.ban list */
void show_reload(const json_t *result, struct buf *out);        /* core.reload */

/* Two results of stats.get taken some time apart: what moved, with its rate; gauges as they are. */
void show_rates(const json_t *before, const json_t *now, double seconds, struct buf *out);
