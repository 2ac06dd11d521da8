/* What the commands of tandemctl share. */
#pragma once

#include <jansson.h>

#include "common/buf.h"
#include "common/conf.h"

enum { CTL_OK, CTL_FAILED, CTL_USAGE, CTL_NO_SERVER }; /* exit statuses: tandemctl(8) */

struct ctl {
    const char *config; /* -c; NULL: the default file, if it is there */
    const char *socket; /* -s; NULL: server.control */
    bool json;
    struct conf *conf; /* owned; see ctl_need_conf() */
};

/* One line on standard error, after the program's name. */
void ctl_complain(const char *fmt, ...) TD_PRINTF(1, 2);

/* Read the configuration, once. False: its faults were shown. */
bool ctl_need_conf(struct ctl *x);

/* The path of the control socket; NULL: the configuration has faults, which were shown. */
const char *ctl_socket(struct ctl *x);

/* Print to standard output. Both return an exit status; print_json takes the value. */
int ctl_print(struct buf *out);
int ctl_print_json(json_t *value);

/* `tandemctl user ...`; argv[0] is the word after "user". */
int ctl_user(struct ctl *x, int argc, char **argv);
