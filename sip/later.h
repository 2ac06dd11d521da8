/* A call in the next round of the Sofia loop: what must not happen inside a callback of nta (destroying
 * its objects, above all) is put off with this. */
#pragma once

#include "common/defs.h"
#include "sip/sofia.h"

/* arg is borrowed and must live until then. False: out of memory, the call will not happen. */
bool later(su_root_t *root, void (*fn)(void *arg), void *arg);

/* Before the root goes: what is due will not happen. A call that waits would keep the root's memory for good. Nothing else may be registered with it. */
void later_forget(su_root_t *root);
