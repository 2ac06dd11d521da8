/* Opening connections: name resolution, every address in turn, TLS.
 *
 * dial() returns a conn at once, in the state `connecting`; frames may be queued on it. The protocol's
 * up() follows, or down() with CONNECT_FAILED, CONNECT_TIMEOUT, DNS, CERTIFICATE or TLS_*. */
#pragma once

#include "common/conf.h"
#include "net/conn.h"
#include "net/resolve.h"
