/* What other processes cost: their CPU time and memory, from the kernel. */
#include "config.h"

#include "client/procstat.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 4096 };

struct entry {
    pid_t pid, parent;
    unsigned long user, sys; /* ticks */
    bool counts;
};

/* "PID (NAME) STATE PPID ..."; the name may hold anything, so the last bracket decides. */
static bool read_stat(pid_t pid, struct entry *e)
{
    char path[32], line[1024], *at;
    FILE *f;
    bool ok;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    at = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    ok =
        at && sscanf(at + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &e->parent, &e->user, &e->sys) == 3;
    e->pid = pid;
    e->counts = false;
    return ok;
}

static size_t read_all(struct entry *e, size_t max)
{
    DIR *d = opendir("/proc");
    struct dirent *de;
    size_t n = 0;

    if (!d)
        return 0;
    while (n < max && (de = readdir(d))) {
        char *end;
        long pid = strtol(de->d_name, &end, 10);

        if (*end == '\0' && pid > 0 && read_stat((pid_t)pid, &e[n]))
            n++;
    }
    closedir(d);
    return n;
}

static uint64_t kilobytes(const char *line, const char *name)
{
    size_t n = strlen(name);

    return strncmp(line, name, n) == 0 ? strtoull(line + n, NULL, 10) * 1024 : 0;
}

static void add_memory(pid_t pid, struct proc_cost *out)
{
    char path[48], line[256];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        out->rss += kilobytes(line, "Rss:");
        out->pss += kilobytes(line, "Pss:");
    }
    fclose(f);
}

static void add(const struct entry *e, bool with_memory, struct proc_cost *out)
{
    double tick = (double)sysconf(_SC_CLK_TCK);
    struct timespec ts;
    clockid_t clock;

    out->user_s += (double)e->user / tick;
    out->sys_s += (double)e->sys / tick;
    if (clock_getcpuclockid(e->pid, &clock) == 0 && clock_gettime(clock, &ts) == 0)
        out->cpu_s += (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
    else
        out->cpu_s += (double)(e->user + e->sys) / tick;
    if (with_memory)
        add_memory(e->pid, out);
    out->processes++;
}

bool proc_cost(const pid_t *roots, size_t n_roots, bool with_memory, struct proc_cost *out)
{
    struct entry *e = calloc(PROCESSES_MAX, sizeof *e);
    size_t n = e ? read_all(e, PROCESSES_MAX) : 0, found = 0;
    bool grew = true;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < n_roots; r++)
            if (e[i].pid == roots[r] && !e[i].counts) {
                e[i].counts = true;
                found++;
            }
    while (grew) {
        grew = false;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n && !e[i].counts; k++)
                if (e[k].counts && e[k].pid == e[i].parent)
                    e[i].counts = grew = true;
    }
    for (size_t i = 0; i < n; i++)
        if (e[i].counts)
            add(&e[i], with_memory, out);
    free(e);
    return found == n_roots;
}
