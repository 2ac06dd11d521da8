/* Error codes: 0 is good, negative is one of err_tbl.h.
 *
 * A function that can fail because of the world (memory, files, sockets)
 * returns one of these; what a peer did wrong is an outcome of its own kind
 * (a status code, a close reason), never an error. Thread-safe. */
#pragma once

enum td_err {
    TD_OK = 0,
    TD_ERR_BASE_ = -1000,
#define TD_ERR(name, num, text) TD_E##name,
#include "common/err_tbl.h"
#undef TD_ERR
};

/* A static text for an error of ours or a negative errno value. */
const char *td_err_text(int err);

/* The error for an errno value; what has no name of its own becomes TD_EIO. */
int td_err_from_errno(int num);
