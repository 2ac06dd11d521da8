/* The log: formats a line and hands it to stderr, syslog or the journal. */
#include "common/log.h"

#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

enum log_level log_level_ = LOG_LEVEL_INFO;
static enum log_target target = LOG_TO_STDERR;

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const int level_priorities[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

void log_init(const char *ident, enum log_target to)
{
    target = to;
    if (to == LOG_TO_SYSLOG)
        openlog(ident, LOG_PID, LOG_DAEMON);
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&log_level_, level, __ATOMIC_RELAXED);
}

static void to_stderr(enum log_level level, const char *text, size_t n)
{
    char line[1200];
    struct timespec ts;
    struct tm tm;
    int head;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    head = snprintf(line, sizeof line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ", tm.tm_year + 1900, tm.tm_mon + 1,
                    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000, level_names[level]);
    if (n > sizeof line - (size_t)head - 1)
        n = sizeof line - (size_t)head - 1;
    memcpy(line + head, text, n);
    line[(size_t)head + n] = '\n';
    while (write(STDERR_FILENO, line, (size_t)head + n + 1) < 0 && errno == EINTR)
        ;
}

void log_write(enum log_level level, const char *area, uint64_t id, const char *fmt, ...)
{
    char text[1024];
    size_t n;
    int len;
    va_list ap;

    if (id)
        len = snprintf(text, sizeof text, "%s [%" PRIu64 "] ", area, id);
    else
        len = snprintf(text, sizeof text, "%s ", area);
    n = (size_t)len;
    va_start(ap, fmt);
    len = vsnprintf(text + n, sizeof text - n, fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    n = TD_MIN(n + (size_t)len, sizeof text - 1);
    switch (target) {
    case LOG_TO_SYSLOG:
        syslog(level_priorities[level], "%s", text);
        return;
    case LOG_TO_JOURNAL:
#ifdef HAVE_SYSTEMD
        sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", level_priorities[level], "TANDEM_AREA=%s", area, NULL);
        return;
#endif
    case LOG_TO_STDERR:
        to_stderr(level, text, n);
    }
}

bool log_may(struct log_quota *q, const char *area, const char *what, uint64_t now_s)
{
    if (now_s != q->second) {
        if (q->n > LOG_A_SECOND)
            log_notice(area, 0, "%u more %s", q->n - LOG_A_SECOND, what);
        q->second = now_s;
        q->n = 0;
    }
    return ++q->n <= LOG_A_SECOND;
}

void log_faults(const char *area, const char *what, const char *lines)
{
    do {
        size_t n = strcspn(lines, "\n");

        log_error(area, 0, "%s: %.*s", what, (int)n, lines);
        lines += n + (lines[n] == '\n');
    } while (*lines);
}
