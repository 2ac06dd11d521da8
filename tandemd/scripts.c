/* The operator's script: checked with the configuration, made for each worker, replaced by a reload. */
#include "tandemd/scripts.h"

#include <stdlib.h>
#include <time.h>

#include "common/err.h"
#include "db/query.h"
#include "msrp/script.h"
#include "sip/script.h"
#include "tandemd/edge_private.h"

const struct script_api *const scripts_apis[SCRIPTS_APIS] = { &msrp_script_api, &sipscript_api };

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* One script, which has the functions that the configuration names. */
static int make(struct script **out, struct script_shared *shared, const struct conf *conf, struct stats *stats, struct buf *faults)
{
    const struct {
        const char *key, *function;
    } callbacks[] = { { "msrp.event_callback", conf->msrp.event_callback }, { "sip.event_callback", conf->sip.event_callback } };
    int err;

    *out = NULL;
    err = script_new(out, shared, conf, stats, now_ms(), faults);
    for (size_t i = 0; !err && i < TD_ARRAY_LEN(callbacks); i++)
        if (*callbacks[i].function && !script_has(*out, callbacks[i].function)) {
            buf_printf(faults, "%s: has no function %s (%s)\n", conf->script.file, callbacks[i].function, callbacks[i].key);
            err = TD_EINVAL;
        }
    if (err)
        script_free(out);
    return err;
}

int scripts_check(const struct conf *conf, struct buf *faults)
{
    struct script_shared *shared;
    struct script *script = NULL;
    size_t before = faults->n;
    int err = script_shared_new(&shared, conf, scripts_apis, SCRIPTS_APIS, faults);

    if (err && faults->n > before)
        buf_puts(faults, "\n");
    if (!err && *conf->script.file)
        err = make(&script, shared, conf, NULL, faults);
    script_free(&script);
    script_shared_free(&shared);
    return err;
}

/* All workers' or none. */
static int make_all(struct edge *e, const struct conf *conf, struct script ***out, struct buf *faults)
{
    struct script **all = calloc(e->n_workers, sizeof *all);
    int err = all ? TD_OK : TD_ENOMEM;

    *out = all;
    if (!err && *conf->msrp.event_callback)
        err = db_query_open(e->db);
    for (unsigned i = 0; !err && *conf->msrp.event_callback && i < e->n_workers; i++) {
        err = make(&all[i], e->script_shared, conf, &e->workers[i].worker.stats, faults);
        if (!err)
            script_use_db(all[i], e->db, loop_mailbox(e->workers[i].worker.loop));
    }
    for (unsigned i = 0; err && all && i < e->n_workers; i++)
        script_free(&all[i]);
    return err;
}

int scripts_start(struct edge *e)
{
    struct buf faults = BUF_INIT;
    struct script **all = NULL;
    int err = script_shared_new(&e->script_shared, e->conf, scripts_apis, SCRIPTS_APIS, &faults);

    if (!err)
        err = scripts_check(e->conf, &faults);
    if (!err)
        err = make_all(e, e->conf, &all, &faults);
    for (unsigned i = 0; !err && i < e->n_workers; i++)
        relay_set_script(e->workers[i].relay, all[i], e->conf->msrp.event_callback);
    if (err)
        log_faults("edge", "script not loaded", faults.n ? faults.p : td_err_text(err));
    buf_fini(&faults);
    free(all);
    return err;
}

/* On a worker: its frames go to the new script from now on. */
struct change {
    struct post post;
    struct relay *relay;      /* borrowed */
    struct script *script;    /* owned until then */
    const char *callback;     /* borrowed: of a configuration, which is kept */
};

static void on_change(struct post *p)
{
    struct change *c = TD_CONTAINER_OF(p, struct change, post);

    relay_set_script(c->relay, c->script, c->callback);
    free(c);
}

int scripts_reload(struct edge *e, const struct conf *conf, struct buf *faults)
{
    struct change **changes = calloc(e->n_workers, sizeof(struct change *));
    struct script **all = NULL;
    int err = changes ? scripts_check(conf, faults) : TD_ENOMEM; /* for both protocols or for none */

    if (!err)
        err = make_all(e, conf, &all, faults);

    for (unsigned i = 0; !err && i < e->n_workers; i++) {
        changes[i] = calloc(1, sizeof *changes[i]);
        if (!changes[i])
            err = TD_ENOMEM;
    }
    for (unsigned i = 0; i < e->n_workers; i++) {
        if (err) {
            if (changes)
                free(changes[i]);
            if (all)
                script_free(&all[i]);
            continue;
        }
        *changes[i] = (struct change){ { .fn = on_change }, e->workers[i].relay, all[i], conf->msrp.event_callback };
        mailbox_post(loop_mailbox(e->workers[i].worker.loop), &changes[i]->post);
    }
    free(changes);
    free(all);
    return err;
}
