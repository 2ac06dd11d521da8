/* Scripts for tests. */
#include "tests/unit/script/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mailbox.h"
#include "db/query.h"
#include "tests/unit/db/dbtest.h"

static void note(struct script_call *c)
{
    struct subject *s = c->subject;

    sv_copy(c->arg[0].s, s->noted, sizeof s->noted);
    script_return(c, (int64_t)c->arg[0].s.n);
}

static void wait_for(struct script_call *c)
{
    const struct subject *s = c->subject;

    c->wait = !s->is_ready && c->may_wait;
    script_return(c, c->may_wait ? 1 : -1);
}

static void get_si(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct subject *s = c->subject;

    script_set_str(out, sv_of(s->si));
}

static void get_code(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    *out = (struct script_value){ .type = SCRIPT_STR, .s = SV("200"), .has_int = true, .i = 200 };
}

static const struct script_func funcs[] = { { "test", "note", SCRIPT_MSRP, "s", note, "text", "Take a note." },
                                            { "test", "wait", SCRIPT_MSRP, "", wait_for, "", "Wait." } };
static const struct script_var vars[] = {
    { "si", "", SCRIPT_MSRP, get_si, NULL, "", "The source." },
    { "fake", "code", SCRIPT_MSRP, get_code, NULL, "", "A text that is a number, too." },
};
static const struct script_api test_api = { funcs, 2, vars, 2, NULL, 0 };

void scripts_start(struct scripts *t, const char *option)
{
    static const struct script_api *const apis[] = { &test_api };
    static char tables[] = "script.htable=t=>size=4;autoexpire=100 n=>initval=7 tiny=>size=1";
    char *overrides[] = { tables, (char *)option };
    int fd;

    memset(t, 0, sizeof *t);
    t->now_ms = 1000000;
    t->subject.si = "192.0.2.7";
    snprintf(t->path, sizeof t->path, "/tmp/tandem-script-XXXXXX");
    fd = mkstemp(t->path);
    CHECK_FATAL(fd >= 0);
    close(fd);
    CHECK_FATAL(conf_load(&t->conf, NULL, overrides, option ? 2 : 1, &t->faults) == 0);
    free(t->conf->script.file);
    t->conf->script.file = sv_dup(sv_of(t->path));
    CHECK_FATAL(script_shared_new(&t->shared, t->conf, apis, 1, &t->faults) == 0);
}

bool scripts_load(struct scripts *t, const char *text)
{
    struct script *fresh;
    FILE *f = fopen(t->path, "we");

    CHECK_FATAL(f != NULL);
    fputs(text, f);
    fclose(f);
    buf_clear(&t->faults);
    if (script_new(&fresh, t->shared, t->conf, &t->stats, t->now_ms, &t->faults) != 0)
        return false;
    if (t->db)
        script_use_db(fresh, t->db, t->mb);
    script_free(&t->script);
    t->script = fresh;
    return true;
}

static bool hold(void *subject)
{
    return !((struct subject *)subject)->cannot_wait;
}

static void ready(void *subject)
{
    ((struct subject *)subject)->answered++;
}

/* The same text, for as long as there are scripts. */
static const char *kept(struct scripts *t, const char *name)
{
    size_t i = 0;

    while (i < TD_ARRAY_LEN(t->names) && t->names[i] && strcmp(t->names[i], name) != 0)
        i++;
    CHECK_FATAL(i < TD_ARRAY_LEN(t->names));
    if (!t->names[i])
        t->names[i] = strdup(name);
    CHECK_FATAL(t->names[i] != NULL);
    return t->names[i];
}

enum script_end scripts_run(struct scripts *t, const char *function)
{
    static const struct script_host host = { hold, ready };
    struct script_wait *w;
    enum script_end end = script_start(&w, t->script, kept(t, function), "test:event", SCRIPT_MSRP, &host, &t->subject, t->now_ms);

    while (end == SCRIPT_WAITS && t->db) {
        t->waited++;
        t->subject.answered = 0;
        CHECK_FATAL(mail_until(t->mb, &t->subject.answered));
        end = script_resume(&w, t->now_ms);
    }
    return end;
}

void scripts_open_db(struct scripts *t)
{
    scratch_begin();
    t->db = open_started();
    CHECK_FATAL(mailbox_new(&t->mb) == 0 && db_query_open(t->db) == 0);
}

void scripts_stop(struct scripts *t)
{
    script_free(&t->script);
    if (t->db) {
        db_stop(t->db);
        mailbox_free(&t->mb);
        db_close(&t->db);
        scratch_end();
    }
    script_shared_free(&t->shared);
    conf_free(&t->conf);
    buf_fini(&t->faults);
    for (size_t i = 0; i < TD_ARRAY_LEN(t->names); i++)
        free(t->names[i]);
    unlink(t->path);
}
