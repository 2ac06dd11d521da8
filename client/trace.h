/* Shows the frames of a link as text, for people and test logs.
 *
 * A tracer reads one direction of a link with a frame reader of its own, so what is shown is
 * what really went over the wire, and our own output is checked by the way. Long bodies are cut. */
#pragma once

#include "common/sv.h"

struct mc_link;
struct mc_net;
struct mc_tracer;

int mc_tracer_new(struct mc_tracer **out, struct mc_net *net, struct mc_link *l, bool is_sent);
void mc_tracer_free(struct mc_tracer **t);
void mc_tracer_feed(struct mc_tracer *t, struct sv bytes);
