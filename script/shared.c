/* What all scripts of a process share. */
#include <stdlib.h>

#include "common/err.h"
#include "script/private.h"

static int make_pike(struct script_shared *s, const struct conf *conf, struct buf *fault)
{
    char def[96];
    char *defs[1] = { def };
    struct buf text = BUF_INIT;
    bool fits;

    /* A source's count begins with its first request and ends with the sampling time, however often it comes. */
    buf_printf(&text, "pike=>size=%d;autoexpire=%lld;updateexpire=0", PIKE_SOURCES_LOG2, (long long)conf->script.pike_sampling_time_unit);
    fits = sv_copy(buf_sv(&text), def, sizeof def);
    buf_fini(&text);
    s->pike_density = conf->script.pike_reqs_density_per_unit;
    return fits ? htables_new(&s->pike, &(struct conf_list){ defs, 1 }, fault) : TD_ENOMEM;
}

int script_shared_new(struct script_shared **out, const struct conf *conf, const struct script_api *const *apis, size_t n,
                      struct buf *fault)
{
    struct script_shared *s = calloc(1, sizeof *s);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!s)
        return err;
    s->apis[s->n_apis++] = &script_core_api;
    for (size_t i = 0; i < n && s->n_apis < APIS_MAX; i++)
        s->apis[s->n_apis++] = apis[i];
    err = htables_new(&s->tables, &conf->script.htable, fault);
    if (!err)
        err = make_pike(s, conf, fault);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    script_shared_free(&s);
    return err;
}

void script_shared_free(struct script_shared **sp)
{
    struct script_shared *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    htables_free(&s->tables);
    htables_free(&s->pike);
    free(s);
}

const struct script_func *api_func(const struct script_shared *shared, struct sv module, struct sv name)
{
    for (size_t a = 0; a < shared->n_apis; a++)
        for (size_t i = 0; i < shared->apis[a]->n_funcs; i++) {
            const struct script_func *f = &shared->apis[a]->funcs[i];

            if (sv_eq(sv_of(f->module), module) && sv_eq(sv_of(f->name), name))
                return f;
        }
    return NULL;
}
