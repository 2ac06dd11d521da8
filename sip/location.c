/* The location table in memory. */
#include "sip/location.h"

#include <stdlib.h>
#include <time.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/log.h"
#include "db/location.h"

enum { RUID_RANDOM = 20 };

struct location {
    struct db *db;      /* borrowed */
    struct mailbox *mb; /* borrowed */
    struct hash aors;
    struct list changes; /* being written: the oldest first */
};

/* ---- bindings ---- */

static void binding_texts(struct binding *b, char **out[8])
{
    out[0] = &b->contact;
    out[1] = &b->params;
    out[2] = &b->received;
    out[3] = &b->path;
    out[4] = &b->callid;
    out[5] = &b->user_agent;
    out[6] = &b->instance;
    out[7] = &b->socket;
}

struct binding *binding_new(void)
{
    struct binding *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    list_init(&b->node);
    b->q = -1;
    memcpy(b->ruid, "td-", 3);
    crypto_random_name(b->ruid + 3, RUID_RANDOM);
    return b;
}

void binding_free(struct binding **bp)
{
    struct binding *b = *bp;
    char **texts[8];

    if (!b)
        return;
    *bp = NULL;
    list_remove(&b->node);
    binding_texts(b, texts);
    for (size_t i = 0; i < TD_ARRAY_LEN(texts); i++)
        free(*texts[i]);
    free(b);
}

struct binding *binding_copy(const struct binding *from)
{
    struct binding *b = malloc(sizeof *b);
    char **texts[8];
    bool good = true;

    if (!b)
        return NULL;
    *b = *from;
    list_init(&b->node);
    binding_texts(b, texts);
    for (size_t i = 0; i < TD_ARRAY_LEN(texts); i++) {
        if (good && *texts[i])
            good = (*texts[i] = strdup(*texts[i])) != NULL;
        else
            *texts[i] = NULL;
    }
    if (!good)
        binding_free(&b);
    return b;
}

void bindings_free(struct list *bindings)
{
    while (!list_is_empty(bindings)) {
        struct binding *b = list_item(bindings->next, struct binding, node);

        binding_free(&b);
    }
}

/* ---- addresses ---- */

static uint64_t aor_hash(struct sv user, struct sv domain)
{
    return hash_bytes(user.p, user.n) ^ hash_bytes(domain.p, domain.n);
}

static struct aor *find(struct location *l, struct sv user, struct sv domain)
{
    for (struct hash_node *n = hash_first(&l->aors, aor_hash(user, domain)); n; n = hash_next(n)) {
        struct aor *a = TD_CONTAINER_OF(n, struct aor, node);

        if (sv_eq(sv_of(a->user), user) && sv_eq(sv_of(a->domain), domain))
            return a;
    }
    return NULL;
}

struct aor *location_find(struct location *l, struct sv user, struct sv domain)
{
    struct aor *a = find(l, user, domain);

    return a && a->n ? a : NULL;
}

static void aor_free(struct aor *a)
{
    hash_remove(&a->location->aors, &a->node);
    bindings_free(&a->bindings);
    free(a->user);
    free(a->domain);
    free(a);
}

static struct aor *find_or_make(struct location *l, struct sv user, struct sv domain)
{
    struct aor *a = find(l, user, domain);

    if (a)
        return a;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->location = l;
    a->user = sv_dup(user);
    a->domain = sv_dup(domain);
    list_init(&a->bindings);
    list_init(&a->waiting);
    if (!a->user || !a->domain) {
        free(a->user);
        free(a->domain);
        free(a);
        return NULL;
    }
    hash_insert(&l->aors, &a->node, aor_hash(user, domain));
    return a;
}

bool location_turn(struct location *l, struct sv user, struct sv domain, struct location_turn *t)
{
    struct aor *a = find_or_make(l, user, domain);

    if (!a)
        return false;
    list_init(&t->node);
    if (a->busy) {
        list_append(&a->waiting, &t->node);
        return true;
    }
    a->busy = true;
    t->run(t, a);
    return true;
}

/* A loop, as one turn may pass to the next at once, and there is no bound to those that wait. */
void location_pass(struct aor *a)
{
    a->busy = false;
    if (a->passing)
        return;
    a->passing = true;
    while (!a->busy && !list_is_empty(&a->waiting)) {
        struct location_turn *t = list_item(a->waiting.next, struct location_turn, node);

        list_remove(&t->node);
        a->busy = true;
        t->run(t, a);
    }
    a->passing = false;
    if (!a->busy && a->n == 0)
        aor_free(a);
}

/* ---- changes ---- */

struct change {
    struct list node;
    uint64_t since_ms;
    struct aor *aor;
    struct list bindings; /* the new ones */
    void (*done)(int err, struct aor *a, void *arg);
    void *arg;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t location_unwritten_ms(const struct location *l)
{
    return list_is_empty(&l->changes) ? 0 : now_ms() - list_item(l->changes.next, struct change, node)->since_ms;
}

static struct sv text(const char *s)
{
    return s && *s ? sv_of(s) : (struct sv){ NULL, 0 };
}

/* Was it in the list before, and is as it was? */
static bool is_unchanged(const struct binding *old, const struct binding *b)
{
    const char *const was[] = { old->contact, old->params, old->received, old->path, old->callid, old->user_agent, old->instance,
                                old->socket };
    const char *const is[] = { b->contact, b->params, b->received, b->path, b->callid, b->user_agent, b->instance, b->socket };

    for (size_t i = 0; i < TD_ARRAY_LEN(is); i++)
        if (!sv_eq(text(was[i]), text(is[i])))
            return false;
    return old->expires == b->expires && old->modified == b->modified && old->cseq == b->cseq && old->conn_id == b->conn_id &&
           old->reg_id == b->reg_id && old->q == b->q;
}

/* old: what is in the table; NULL: nothing. */
static void put(struct db_loc_set *set, const struct aor *a, const struct binding *old, const struct binding *b)
{
    struct db_location row = {
        .ruid = sv_of(b->ruid), .username = sv_of(a->user), .domain = sv_of(a->domain), .contact = text(b->contact),
        .received = text(b->received), .path = text(b->path), .expires = b->expires, .q = b->q,
        .callid = text(b->callid), .cseq = b->cseq, .last_modified = b->modified, .user_agent = text(b->user_agent),
        .socket = text(b->socket), .methods = -1, .instance = text(b->instance), .reg_id = b->reg_id,
        .connection_id = (int64_t)b->conn_id,
    };

    if (old && old->conn_id == b->conn_id && sv_eq(text(old->contact), text(b->contact)))
        db_loc_refresh(set, &row);
    else
        db_loc_put(set, &row);
}

static const struct binding *by_ruid(const struct list *bindings, const char *ruid)
{
    list_each(node, bindings) {
        const struct binding *b = list_item(node, struct binding, node);

        if (strcmp(b->ruid, ruid) == 0)
            return b;
    }
    return NULL;
}

static void on_written(int err, void *arg)
{
    struct change *c = arg;
    struct aor *a = c->aor;

    list_remove(&c->node);
    if (!err) {
        bindings_free(&a->bindings);
        list_splice(&a->bindings, &c->bindings);
        a->n = 0;
        list_each(node, &a->bindings)
            a->n++;
    } else {
        log_error("location", 0, "a registration could not be stored: %s", td_err_text(err));
    }
    bindings_free(&c->bindings);
    c->done(err, a, c->arg);
    free(c);
    location_pass(a);
}

void location_commit(struct aor *a, struct list *bindings, void (*done)(int err, struct aor *a, void *arg), void *arg)
{
    struct change *c = calloc(1, sizeof *c);
    struct db_loc_set *set = db_loc_begin(a->location->db);

    if (!c || !set) {
        free(c);
        if (set)
            db_loc_drop(&set);
        bindings_free(bindings);
        done(TD_ENOMEM, a, arg);
        location_pass(a);
        return;
    }
    c->aor = a;
    c->since_ms = now_ms();
    list_append(&a->location->changes, &c->node);
    list_init(&c->bindings);
    list_splice(&c->bindings, bindings);
    c->done = done;
    c->arg = arg;
    list_each(node, &a->bindings) {
        struct binding *b = list_item(node, struct binding, node);

        if (!by_ruid(&c->bindings, b->ruid))
            db_loc_del(set, sv_of(b->ruid));
    }
    list_each(node, &c->bindings) {
        struct binding *b = list_item(node, struct binding, node);
        const struct binding *old = by_ruid(&a->bindings, b->ruid);

        if (!old || !is_unchanged(old, b))
            put(set, a, old, b);
    }
    db_loc_commit(set, a->location->mb, on_written, c);
}

/* ---- loading and expiry ---- */

static char *copy(struct sv s)
{
    return sv_dup(s.n ? s : SV(""));
}

/* Of the contact parameters those that have a column come back. */
static char *stored_params(const struct db_location *row)
{
    struct buf b = BUF_INIT;

    if (row->instance.n)
        buf_printf(&b, ";+sip.instance=\"%.*s\"", (int)row->instance.n, row->instance.p);
    if (row->reg_id)
        buf_printf(&b, ";reg-id=%d", (int)row->reg_id);
    if (buf_failed(&b))
        buf_fini(&b);
    return b.n ? b.p : copy(SV(""));
}

static bool on_row(const struct db_location *row, void *arg)
{
    struct location *l = arg;
    struct aor *a = find_or_make(l, row->username, row->domain);
    struct binding *b = binding_new();
    char **texts[8];
    bool good = true;

    if (!a || !b || !sv_copy(row->ruid, b->ruid, sizeof b->ruid)) {
        binding_free(&b);
        return a != NULL; /* a row with a longer key is not ours: leave it alone */
    }
    b->contact = copy(row->contact);
    b->params = stored_params(row);
    b->received = copy(row->received);
    b->path = copy(row->path);
    b->callid = copy(row->callid);
    b->user_agent = copy(row->user_agent);
    b->instance = copy(row->instance);
    b->socket = copy(row->socket);
    binding_texts(b, texts);
    for (size_t i = 0; i < TD_ARRAY_LEN(texts); i++)
        good = good && *texts[i];
    if (!good) {
        binding_free(&b);
        return false;
    }
    b->cseq = (uint32_t)row->cseq;
    b->reg_id = (int)row->reg_id;
    b->q = row->q;
    b->expires = row->expires;
    b->modified = row->last_modified;
    b->conn_id = (uint64_t)row->connection_id;
    list_append(&a->bindings, &b->node);
    a->n++;
    return true;
}

int location_load(struct location *l, int64_t now)
{
    return db_loc_load(l->db, now, on_row, l);
}

struct sweep {
    int64_t now;
    bool (*has_ended)(void *arg, uint64_t conn_id);
    void *arg;
    struct db_loc_set *set;
};

static void sweep_one(struct hash_node *node, void *arg)
{
    struct aor *a = TD_CONTAINER_OF(node, struct aor, node);
    struct sweep *s = arg;

    if (a->busy) /* its change will be judged by the time it was made; the next sweep sees to it */
        return;
    list_each_safe(pos, &a->bindings) {
        struct binding *b = list_item(pos, struct binding, node);

        if (b->conn_id && s->has_ended(s->arg, b->conn_id))
            db_loc_del(s->set, sv_of(b->ruid));
        else if (!b->expires || b->expires > s->now)
            continue;
        binding_free(&b);
        a->n--;
    }
    if (a->n == 0)
        aor_free(a);
}

void location_sweep(struct location *l, int64_t now, bool (*has_ended)(void *arg, uint64_t conn_id), void *arg)
{
    struct sweep s = { .now = now, .has_ended = has_ended, .arg = arg, .set = db_loc_begin(l->db) };

    if (!s.set)
        return;
    hash_each(&l->aors, sweep_one, &s);
    db_loc_del_expired(s.set, now);
    db_loc_commit(s.set, NULL, NULL, NULL);
}

/* ---- life ---- */

int location_new(struct location **out, struct db *db, struct mailbox *mb)
{
    struct location *l = calloc(1, sizeof *l);
    int err;

    *out = NULL;
    if (!l)
        return TD_ENOMEM;
    err = hash_init(&l->aors, 8);
    if (err) {
        free(l);
        return err;
    }
    list_init(&l->changes);
    l->db = db;
    l->mb = mb;
    *out = l;
    return TD_OK;
}

static void free_one(struct hash_node *node, void *arg)
{
    aor_free(TD_CONTAINER_OF(node, struct aor, node));
}

void location_free(struct location **lp)
{
    struct location *l = *lp;

    if (!l)
        return;
    *lp = NULL;
    hash_each(&l->aors, free_one, NULL);
    hash_fini(&l->aors);
    free(l);
}

size_t location_count(const struct location *l)
{
    return l->aors.n;
}
