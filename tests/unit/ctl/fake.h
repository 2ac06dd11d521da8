/* A server made of constants, for the tests of ctl/. */
#pragma once

#include "ctl/rpc.h"

struct fake {
    size_t n_sessions;
    uint64_t map_size;
    char kicked[64], banned[64], unbanned[64], user[64], domain[64];
    int64_t ban_seconds;
    int reload_err;
    bool reload_halves; /* with faults that do not stop it */
};

struct rpc_backend backend_of(struct fake *f);

/* Before the control thread is to see what the test wrote into a fake, and before the test reads what that thread wrote, when
 * the message between them went through another process. */
void fake_sync(void);

/* The same behind a real socket in a folder of its own. */
struct server {
    char folder[32], path[64];
    struct fake fake;
    struct rpc_backend back;
    struct rpc *rpc;
};

void server_start(struct server *s);
int server_listen(struct server *s); /* rpc_start() again, after rpc_stop() */
void server_stop(struct server *s);  /* removes the folder, which must be empty but for the socket */
