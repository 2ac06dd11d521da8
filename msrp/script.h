/* Scripts for MSRP frames: the function msrp.event_callback of the operator's script is run for every frame (K-EVT-01).
 *
 * What a script wants done with a frame is kept until it has ended, and then done by the relay as it would for the
 * built-in routing. So a script that fails has done nothing, the frame goes the built-in way, and a frame that must
 * wait (no room in its next hop) is not decided twice. Without msrp.event_callback none of this is reached. The relay's
 * own worker, but for the tables. */
#pragma once

#include "msrp/relay.h"
#include "script/script.h"

/* KSR.msrp, KSR.auth, KSR.hdr, $msrp() and so on (script_tbl.h). */
extern const struct script_api msrp_script_api;

/* Take this script, owned from now on, instead of the one there is; NULL: none. callback: borrowed: the function to
 * run. Not while a frame is in a script. */
void relay_set_script(struct relay *relay, struct script *script, const char *callback);
