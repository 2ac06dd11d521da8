/* The log: one event, one line.
 *
 *     log_warn("msrp", conn_id, "malformed frame: peer=%s rule=%s", ...);
 *
 * A line is `time level area [id] text`; on the journal and syslog the time is
 * left to them. Operators get info and above; what peers cause is debug, or
 * notice when it costs somebody data. Never log passwords, nonces, bodies or
 * whole tokens; escape what a peer sent with buf_add_escaped().
 * Thread-safe. A line goes out with one write(2), so lines never mix. */
#pragma once

#include "common/defs.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_JOURNAL };

/* ident: the program's name; static. */
void log_init(const char *ident, enum log_target to);
void log_set_level(enum log_level level);

extern enum log_level log_level_; /* read it through log_enabled() */

static inline bool log_enabled(enum log_level level)
{
    return level <= __atomic_load_n(&log_level_, __ATOMIC_RELAXED);
}

/* id 0: the event belongs to no connection. */
void log_write(enum log_level level, const char *area, uint64_t id, const char *fmt, ...) TD_PRINTF(4, 5);
/* An error for each line of this text, with what in front; at least one. */
void log_faults(const char *area, const char *what, const char *lines);

/* Of what peers cause there are at most LOG_A_SECOND lines of a kind a second; how many more there would have been is said when there is one again.
 * Of one thread. */
enum { LOG_A_SECOND = 20 };
struct log_quota {
    uint64_t second;
    unsigned n; /* asked for in it */
};
/* what: they were, as "requests were denied"; now_s: any clock. True: it may be written. */
bool log_may(struct log_quota *q, const char *area, const char *what, uint64_t now_s);

#define LOG_AT_(level, area, id, ...)                    \
    do {                                                 \
        if (log_enabled(level))                          \
            log_write(level, area, id, __VA_ARGS__);     \
    } while (0)
#define log_error(area, id, ...) LOG_AT_(LOG_LEVEL_ERROR, area, id, __VA_ARGS__)
#define log_warn(area, id, ...) LOG_AT_(LOG_LEVEL_WARNING, area, id, __VA_ARGS__)
#define log_notice(area, id, ...) LOG_AT_(LOG_LEVEL_NOTICE, area, id, __VA_ARGS__)
#define log_info(area, id, ...) LOG_AT_(LOG_LEVEL_INFO, area, id, __VA_ARGS__)
#define log_debug(area, id, ...) LOG_AT_(LOG_LEVEL_DEBUG, area, id, __VA_ARGS__)
