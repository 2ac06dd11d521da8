/* The command line of msrpcat: see msrpcat(1).
 *
 * Strings are borrowed from argv but for those marked. */
#pragma once

#include "client/cat_out.h"

enum { ITEMS_MAX = 64 };

enum mode { MODE_LISTEN, MODE_SEND, MODE_CALL, MODE_ANSWER };

struct cat_opts {
    enum mode mode;
    const char *relay, *user, *password; /* NULL: not given */
    const char *target;                  /* of send: a path; of call: a SIP URI */
    const char *type, *listen_at, *proxy;
    char *aor;                           /* owned: of --sip, without port and parameters */
    char *sip_hop;                       /* owned: where SIP goes, as a URI */
    char sip_host[256];                  /* its host */
    bool sip_tls, wants_report, no_failure_report, do_register, trace;
    uint64_t chunk;
    unsigned long count;                 /* messages to receive; 0: no matter */
    uint64_t grace_ms;
    struct mc_tls_opts tls;
    struct mc_opts mc_opts;
    struct cat_item items[ITEMS_MAX];    /* opened */
    size_t n_items;
};

/* Ends the program with 2, and the reason on stderr, when the command line makes no sense. */
void cat_opts_read(struct cat_opts *o, int argc, char **argv);
void cat_opts_fini(struct cat_opts *o);
