/* Writes what happens on the workers into the database: connections, sessions, accounting. */
#pragma once

#include "db/feed.h"
#include "msrp/relay.h"
#include "net/worker.h"

extern const struct relay_observer observer_relay;

/* Watch a worker's connections; the feed is that worker's own. */
void observer_attach(struct worker *w, struct db_feed *feed);
