/* Room for new connections (M-CON-04): when there are as many as may be, or no descriptor is left, those that nobody
 * needs are closed first, the one that was used longest ago at their head.
 *
 * A worker has a list of connections that may go: accepted ones until their protocol says that they are to be kept, and
 * those dialled. Whether one may really go is asked of its protocol (conn_proto.idle) when its turn comes. Every step
 * is O(1). Of the worker's thread, but for what idle.c asks of other workers. */
#pragma once

#include "net/conn.h"

/* It may be closed when room is needed; it was used just now. */
void idle_add(struct conn *c);
/* It is to be kept. */
void idle_remove(struct conn *c);

static inline void idle_touch(struct conn *c)
{
    if (!list_is_empty(&c->idle_node)) {
        list_remove(&c->idle_node);
        list_append(&c->worker->idle, &c->idle_node);
    }
}

/* Close one: at once, or at the end of the turn (up the stack others may hold it). ELSEWHERE: another worker will
 * soon. */
enum idle_room { IDLE_NO_ROOM, IDLE_ROOM, IDLE_ROOM_ELSEWHERE };
enum idle_room idle_make_room(struct worker *w, bool at_once);
/* One has just been counted beyond the limit. May it stay, in the place of another? Other workers are asked for
 * IDLE_OWED_MAX places. */
enum { IDLE_OWED_MAX = 64 };
bool idle_may_stay(struct worker *w, bool at_once);
