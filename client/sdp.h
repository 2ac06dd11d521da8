/* The few lines of SDP that an MSRP session needs, read and written by hand.
 *
 * Reads the first usable m=message section and nothing else of a description. Slices
 * point into the text. Pure. RFC 4975 s.8, RFC 6135 s.4.2. */
#pragma once

#include "common/buf.h"

enum mc_setup { MC_SETUP_NONE, MC_SETUP_ACTIVE, MC_SETUP_PASSIVE, MC_SETUP_ACTPASS };

struct mc_sdp {
    uint16_t port; /* 0: the section was refused */
    bool is_tls;   /* TCP/TLS/MSRP */
    struct sv path;         /* valid MSRP URIs */
    struct sv accept_types; /* "*" when the line is missing */
    enum mc_setup setup;
};

/* False: no m=message over MSRP with a valid path; *fault says why (static). */
bool mc_sdp_read(struct sv text, struct mc_sdp *out, const char **fault);

/* Appends a whole description with one m=message section. host: an IP literal for o= and c=. */
void mc_sdp_write(struct buf *out, struct sv host, uint16_t port, bool is_tls, struct sv path, enum mc_setup setup);
