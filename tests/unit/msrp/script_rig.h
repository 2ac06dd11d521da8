/* The relay of a rig with a script, for the tests of scripts: each of their files includes this once and has a rig of its own. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "msrp/private.h"
#include "msrp/script.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct script_shared *shared;

/* C has the token U, F listens; no script yet. */
static inline struct peer *start(const char *option)
{
    static const struct script_api *const apis[] = { &msrp_script_api };
    struct buf faults = BUF_INIT;
    struct peer *c;

    rig_start(&r, option);
    CHECK_FATAL(script_shared_new(&shared, r.conf, apis, 1, &faults) == 0);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    rig_listen(&r, 'F', 0);
    buf_fini(&faults);
    return c;
}

static inline void stop(void)
{
    rig_stop(&r);
    script_shared_free(&shared);
}

static inline bool use_file(const char *path)
{
    struct buf faults = BUF_INIT;
    bool good = true;

    free(r.conf->script.file);
    r.conf->script.file = sv_dup(sv_of(path));
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        struct script *s;

        good &= script_new(&s, shared, r.conf, &r.workers[i].stats, 1000, &faults) == 0;
        if (good) {
            script_use_db(s, (struct db *)(void *)&r, NULL); /* rig.c is the database */
            relay_set_script(r.relays[i], s, "event");
        }
    }
    if (!good)
        fprintf(stderr, "%s", faults.p ? faults.p : "");
    buf_fini(&faults);
    return good;
}

/* The body of the function that is run for each frame, in two parts. */
static inline bool use_with(const char *first, const char *code)
{
    char path[] = "/tmp/tandem-script-XXXXXX";
    int fd = mkstemp(path);
    bool good;

    CHECK_FATAL(fd >= 0);
    dprintf(fd, "function event(name)\nassert(name == 'msrp:frame-in')\n%s\n%s\nend\n", first, code);
    close(fd);
    good = use_file(path);
    unlink(path);
    return good;
}

static inline bool use(const char *code)
{
    return use_with("", code);
}

#define HEADERS "Message-ID: m-0001\nX-Two: a\nX-Two: b\nByte-Range: 1-5/5\nContent-Type: text/plain\n"
#define SEND "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0001$\n"
#define AUTH "MSRP a0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n" \
             "Authorization: Digest username=\"ali\\\"ce\", realm=\"tandem.example\", nonce=\"n\", response=\"r\"\n-------a0001$\n"
#define AUTH_NOTHING "MSRP a0001 AUTH\nTo-Path: %N\nFrom-Path: %C\n-------a0001$\n"
#define RESPONSE "MSRP r0001 200 All good\nTo-Path: %U %C\nFrom-Path: msrp://far.invalid:9/1;tcp msrp://far.invalid:9/2;tcp\n-------r0001$\n"
#define OK_SEND "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n"
#define FORWARDED "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HEADERS "\nhello\n-------%1$\n"
