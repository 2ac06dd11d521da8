/* What msrpcat sends: texts, files, standard input; each is one message. */
#pragma once

#include "client/msrp_client.h"

struct cat_item {
    const char *name;       /* borrowed: for people */
    const char *text;       /* borrowed: sent from memory; NULL: from fd */
    const char *type;       /* borrowed */
    int fd;
    uint64_t size;          /* MC_UNKNOWN: a pipe or terminal */
    struct mc_session *s;   /* back: while it is being sent */
    struct mc_out *out;     /* borrowed: until its fate is known */
    struct loop_io wait;    /* a pipe that has nothing yet */
};

void cat_item_text(struct cat_item *it, const char *text, const char *type);
/* "-" is standard input. False: not readable; said on stderr. */
bool cat_item_file(struct cat_item *it, const char *path, const char *type);
void cat_item_close(struct cat_item *it, struct loop *loop);

/* For mc_ops.out_pull. */
long cat_item_pull(struct cat_item *it, struct loop *loop, char *p, size_t n);
