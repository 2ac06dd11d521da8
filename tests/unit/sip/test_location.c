/* Bindings in memory and on the disk. */
#include "sip/location.h"
#include "tests/unit/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "db/db.h"
#include "db/location.h"

static char dir[64], file[96];

struct rig {
    struct db *db;
    struct mailbox *mb;
    struct location *l;
};

static struct rig open_rig(void)
{
    struct rig r = { 0 };
    struct buf why = BUF_INIT;

    CHECK_FATAL(db_open(&r.db, file, &why) == TD_OK);
    CHECK_FATAL(mailbox_new(&r.mb) == TD_OK);
    CHECK_FATAL(location_new(&r.l, r.db, r.mb) == TD_OK);
    CHECK_FATAL(location_load(r.l, 1000) == TD_OK);
    CHECK_FATAL(db_start(r.db) == TD_OK);
    buf_fini(&why);
    return r;
}

static void close_rig(struct rig *r)
{
    db_stop(r->db);
    mailbox_run(r->mb);
    location_free(&r->l);
    mailbox_free(&r->mb);
    db_close(&r->db);
}

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/tandem-unit-XXXXXX");
    CHECK_FATAL(mkdtemp(dir) != NULL);
    snprintf(file, sizeof file, "%s/t.db", dir);
}

static void remove_dir(void)
{
    static const char *const tails[] = { "", "-wal", "-shm" };
    char path[128];

    for (size_t i = 0; i < TD_ARRAY_LEN(tails); i++) {
        snprintf(path, sizeof path, "%s%s", file, tails[i]);
        unlink(path);
    }
    CHECK(rmdir(dir) == 0);
}

static struct binding *make(const char *contact, int64_t expires, uint64_t conn_id)
{
    struct binding *b = binding_new();

    CHECK_FATAL(b != NULL);
    b->contact = strdup(contact);
    b->params = strdup(";a=b");
    b->received = strdup("");
    b->path = strdup("<sip:p;lr>");
    b->callid = strdup("c");
    b->user_agent = strdup("ua");
    b->instance = strdup("<urn:1>");
    b->socket = strdup("udp:127.0.0.1:5060");
    b->expires = expires;
    b->modified = 1000;
    b->conn_id = conn_id;
    return b;
}

/* A turn that writes one binding more. */
struct writer {
    struct location_turn turn;
    const char *contact; /* NULL: remove all */
    int64_t expires;
    bool started, done;
    int err;
    size_t seen; /* bindings when the turn came */
};

static void on_done(int err, struct aor *a, void *arg)
{
    struct writer *w = arg;

    w->done = true;
    w->err = err;
}

static void on_turn(struct location_turn *t, struct aor *a)
{
    struct writer *w = TD_CONTAINER_OF(t, struct writer, turn);
    struct list bindings = LIST_INIT(bindings);

    w->started = true;
    w->seen = a->n;
    if (w->contact) {
        list_each(node, &a->bindings)
            list_append(&bindings, &binding_copy(list_item(node, struct binding, node))->node);
        list_append(&bindings, &make(w->contact, w->expires, 7)->node);
    }
    location_commit(a, &bindings, on_done, w);
}

static void write_one(struct rig *r, struct writer *w, const char *contact, int64_t expires)
{
    *w = (struct writer){ .turn.run = on_turn, .contact = contact, .expires = expires };
    CHECK_FATAL(location_turn(r->l, SV("bob"), SV("example.com"), &w->turn));
}

static void wait_for(struct rig *r, const struct writer *w)
{
    for (int i = 0; i < 500 && !w->done; i++) {
        usleep(10000);
        mailbox_run(r->mb);
    }
    CHECK_FATAL(w->done);
    CHECK_INT(w->err, TD_OK);
}

static unsigned depth, deepest;

static void on_turn_in_vain(struct location_turn *t, struct aor *a)
{
    deepest = TD_MAX(deepest, ++depth);
    location_pass(a);
    depth--;
    TD_CONTAINER_OF(t, struct writer, turn)->done = true;
}

/* However many: one is not inside the other. */
TEST(turns_that_change_nothing_follow_each_other)
{
    enum { MANY = 1000 };
    struct rig r;
    struct writer first, *others = calloc(MANY, sizeof *others);

    CHECK_FATAL(others != NULL);
    make_dir();
    r = open_rig();
    write_one(&r, &first, "sip:bob@a", 5000);
    for (size_t i = 0; i < MANY; i++) {
        others[i] = (struct writer){ .turn.run = on_turn_in_vain };
        CHECK_FATAL(location_turn(r.l, SV("bob"), SV("example.com"), &others[i].turn) && !others[i].done);
    }
    wait_for(&r, &first);
    CHECK(others[MANY - 1].done);
    CHECK_INT(deepest, 1);
    CHECK(location_find(r.l, SV("bob"), SV("example.com")) != NULL);
    free(others);
    close_rig(&r);
    remove_dir();
}

/* S-REG-07: in order of arrival for an address, each seeing what the one before it has made. */
TEST(changes_of_one_address_wait_for_each_other)
{
    struct rig r;
    struct writer one, two;

    make_dir();
    r = open_rig();
    write_one(&r, &one, "sip:bob@a", 5000);
    CHECK(one.started && !one.done);
    CHECK(location_find(r.l, SV("bob"), SV("example.com")) == NULL); /* not before it is on the disk */
    write_one(&r, &two, "sip:bob@b", 5000);
    CHECK(!two.started);
    wait_for(&r, &two);
    CHECK(one.done);
    CHECK_INT(one.seen, 0);
    CHECK_INT(two.seen, 1);
    CHECK_INT(location_find(r.l, SV("bob"), SV("example.com"))->n, 2);
    CHECK(location_find(r.l, SV("Bob"), SV("example.com")) == NULL);
    close_rig(&r);
    remove_dir();
}

/* S-REG-12 */
TEST(bindings_come_back_from_the_disk_and_expired_ones_do_not)
{
    struct rig r;
    struct writer w;
    struct aor *a;
    struct binding *b;

    make_dir();
    r = open_rig();
    write_one(&r, &w, "sip:bob@early", 900);
    wait_for(&r, &w);
    write_one(&r, &w, "sip:bob@late", 5000);
    wait_for(&r, &w);
    close_rig(&r);

    r = open_rig();
    a = location_find(r.l, SV("bob"), SV("example.com"));
    CHECK_FATAL(a != NULL);
    CHECK_INT(a->n, 1);
    b = list_item(a->bindings.next, struct binding, node);
    CHECK_STR(b->contact, "sip:bob@late");
    CHECK_STR(b->path, "<sip:p;lr>");
    CHECK_STR(b->received, "");
    CHECK_STR(b->instance, "<urn:1>");
    CHECK_INT(b->expires, 5000);
    CHECK_INT(b->conn_id, 7);
    CHECK(b->q < 0);
    close_rig(&r);
    remove_dir();
}

/* Seen by taking the first one's row away behind its back. */
TEST(a_binding_that_stays_as_it_is_is_not_written_again)
{
    struct rig r;
    struct writer w;
    struct db_loc_set *set;
    struct aor *a;

    make_dir();
    r = open_rig();
    write_one(&r, &w, "sip:bob@first", 5000);
    wait_for(&r, &w);
    a = location_find(r.l, SV("bob"), SV("example.com"));
    CHECK_FATAL(a != NULL);
    set = db_loc_begin(r.db);
    db_loc_del(set, sv_of(list_item(a->bindings.next, struct binding, node)->ruid));
    db_loc_commit(set, NULL, NULL, NULL);
    write_one(&r, &w, "sip:bob@second", 5000);
    wait_for(&r, &w);
    CHECK_INT(location_find(r.l, SV("bob"), SV("example.com"))->n, 2);
    close_rig(&r);

    r = open_rig();
    a = location_find(r.l, SV("bob"), SV("example.com"));
    CHECK_FATAL(a != NULL);
    CHECK_INT(a->n, 1);
    CHECK_STR(list_item(a->bindings.next, struct binding, node)->contact, "sip:bob@second");
    close_rig(&r);
    remove_dir();
}

static bool no_flow(void *arg, uint64_t conn_id)
{
    CHECK_INT(conn_id, 7);
    return *(bool *)arg;
}

TEST(sweep_forgets_what_has_expired)
{
    struct rig r;
    struct writer w;
    bool ended = false;

    make_dir();
    r = open_rig();
    write_one(&r, &w, "sip:bob@a", 2000);
    wait_for(&r, &w);
    location_sweep(r.l, 1999, no_flow, &ended);
    CHECK_INT(location_count(r.l), 1);
    location_sweep(r.l, 2000, no_flow, &ended);
    CHECK_INT(location_count(r.l), 0);
    close_rig(&r);
    r = open_rig();
    CHECK_INT(location_count(r.l), 0);
    close_rig(&r);
    remove_dir();
}

/* S-OUT-05: bindings go with their flow, in memory and on the disk. */
TEST(sweep_forgets_what_came_on_a_flow_that_has_ended)
{
    struct rig r;
    struct writer w;
    bool ended = true;

    make_dir();
    r = open_rig();
    write_one(&r, &w, "sip:bob@a", 2000);
    wait_for(&r, &w);
    location_sweep(r.l, 1000, no_flow, &ended);
    CHECK_INT(location_count(r.l), 0);
    close_rig(&r);
    r = open_rig();
    CHECK_INT(location_count(r.l), 0);
    close_rig(&r);
    remove_dir();
}

TEST(failed_write_changes_nothing)
{
    struct rig r;
    struct writer w;

    make_dir();
    r = open_rig();
    write_one(&r, &w, "sip:bob@a", 5000);
    wait_for(&r, &w);
    db_stop(r.db); /* from now on every change set ends with an error */
    write_one(&r, &w, NULL, 0);
    for (int i = 0; i < 100 && !w.done; i++)
        mailbox_run(r.mb);
    CHECK(w.done);
    CHECK(w.err != TD_OK);
    CHECK_INT(location_find(r.l, SV("bob"), SV("example.com"))->n, 1);
    close_rig(&r);
    remove_dir();
}

SUITE(location_suite, TEST_ROW(changes_of_one_address_wait_for_each_other), TEST_ROW(turns_that_change_nothing_follow_each_other),
      TEST_ROW(bindings_come_back_from_the_disk_and_expired_ones_do_not),
      TEST_ROW(a_binding_that_stays_as_it_is_is_not_written_again), TEST_ROW(sweep_forgets_what_has_expired),
      TEST_ROW(sweep_forgets_what_came_on_a_flow_that_has_ended),
      TEST_ROW(failed_write_changes_nothing));
