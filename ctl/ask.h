/* The other end of the control socket: one question, one answer, for tandemctl. Blocking; one thread. */
#pragma once

#include <jansson.h>

#include "common/buf.h"

/* Connect. TD_ENOENT: no server runs there; TD_EPERM: the socket may not be used by us; why has the reason in one line. */
int ask_dial(int *fd, const char *path, struct buf *why);

/* Call a method; takes params (NULL: none). 0: *result is the caller's. Else why has the server's words, and *data, if
 * data is not NULL, what the error carried (or NULL; the caller's). TD_ECLOSED, TD_ETIMEOUT: no answer came;
 * TD_ENOENT: not found; TD_EINVAL: any other refusal. */
int ask_call(int fd, const char *method, json_t *params, json_t **result, json_t **data, struct buf *why);
