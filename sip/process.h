/* The SIP process: what `tandemd --sip FD` runs.
 *
 * One thread with a Sofia event loop, and the database's writer thread. Returns the exit status when the control socket
 * closes (0), when the edge asks for it, or when it cannot work (2; the reason went to the edge first). */
#pragma once

#include "common/conf.h"

struct script_api;

/* Of Sofia-SIP. */
const char *sip_process_library_version(void);

/* control_fd: SOCK_SEQPACKET, speaks net/pump_proto.h; owned by the process from here on. apis: what scripts are offered, in this process or another. */
int sip_process_main(const struct conf *conf, int control_fd, const struct script_api *const *apis, size_t n_apis);
