/* Where msrpcat puts the messages it receives: their bodies, one after the other, on a descriptor.
 *
 * The first message under way streams straight through; what comes out of order, or
 * belongs to another message meanwhile, waits in a temporary file until its turn. */
#pragma once

#include "client/msrp_client.h"

struct cat_in {
    int fd;
    bool failed;             /* a write failed; errno has been told on stderr */
    struct mc_in *front;     /* streams; NULL: none */
    struct list done;        /* complete ones that wait for the front */
    uint64_t front_octets;   /* written of it */
};

void cat_in_init(struct cat_in *in, int fd);
void cat_in_fini(struct cat_in *in);

bool cat_in_begin(struct cat_in *in, struct mc_in *m); /* false: no memory */
void cat_in_body(struct cat_in *in, struct mc_in *m, uint64_t pos, struct sv bytes);
void cat_in_done(struct cat_in *in, struct mc_in *m, bool complete);
