/* Subscribers: administration, and the credentials that traffic gets of them. */
#include "db/cred.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto.h"
#include "common/err.h"
#include "db/credcache.h"
#include "db/subscriber.h"
#include "tests/unit/db/dbtest.h"

struct answer {
    int done, err;
    struct db_cred cred;
};

static void take(int err, const struct db_cred *cred, void *arg)
{
    struct answer *a = arg;

    a->done++;
    a->err = err;
    if (cred)
        a->cred = *cred;
}

/* 1: from memory, 0: by the reader. */
static int get(struct db *db, struct mailbox *mb, const char *user, struct answer *a)
{
    struct db_cred_req *req;
    int rc;

    memset(a, 0, sizeof *a);
    rc = db_cred_get(db, sv_of(user), SV("example.com"), &a->cred, mb, take, a, &req);
    if (rc == 0)
        CHECK(mail_until(mb, &a->done));
    CHECK(rc >= 0 && a->done == (rc == 0) && a->err == 0);
    return rc;
}

static const char md5_secret[] = "8a5bd5d5e4a9f4bfd2ff7d8c7b7e4b57";

TEST(a_user_is_looked_up_once_and_then_remembered_unknown_ones_too)
{
    char ha1[CRYPTO_HEX_MAX], sha[CRYPTO_HEX_MAX];
    struct mailbox *mb;
    struct answer a;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    CHECK_INT(db_user_add(db, SV("alice"), SV("example.com"), SV("secret")), 0);
    crypto_hash_hex(CRYPTO_MD5, SV("alice:example.com:secret"), ha1);
    crypto_hash_hex(CRYPTO_SHA256, SV("alice:example.com:secret"), sha);
    CHECK_INT(get(db, mb, "alice", &a), 0);
    CHECK(a.cred.found && !a.cred.blocked);
    CHECK_STR(a.cred.ha1_md5, ha1);
    CHECK_STR(a.cred.ha1_sha256, sha);
    crypto_hash_hex(CRYPTO_MD5, SV("alice@example.com:example.com:secret"), sha);
    CHECK_STR(a.cred.ha1b_md5, sha);
    CHECK_INT(get(db, mb, "alice", &a), 1);
    CHECK_STR(a.cred.ha1_md5, ha1);
    CHECK_INT(get(db, mb, "nobody", &a), 0);
    CHECK(!a.cred.found);
    CHECK_INT(get(db, mb, "nobody", &a), 1);
    CHECK(!a.cred.found);
    CHECK_INT(get(db, mb, "", &a), 1); /* cannot exist: nobody is asked */
    CHECK(!a.cred.found);
    /* A change is seen after a flush. */
    CHECK_INT(db_user_block(db, SV("alice"), SV("example.com"), true), 0);
    CHECK_INT(get(db, mb, "alice", &a), 1);
    CHECK(!a.cred.blocked);
    db_cred_flush(db);
    CHECK_INT(get(db, mb, "alice", &a), 0);
    CHECK(a.cred.blocked);
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(a_plain_password_is_honoured_and_odd_hashes_are_not)
{
    char ha1[CRYPTO_HEX_MAX], sha[CRYPTO_HEX_MAX];
    struct mailbox *mb;
    struct answer a;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    change("INSERT INTO subscriber (username, domain, password) VALUES ('plain', 'example.com', 'secret');"
           "INSERT INTO subscriber (username, domain, ha1) VALUES ('old', 'example.com', "
           "'8A5BD5D5E4A9F4BFD2FF7D8C7B7E4B57');"
           "INSERT INTO subscriber (username, domain, ha1, ha1_sha256) VALUES ('odd', 'example.com', 'short', 'also "
           "short')");
    crypto_hash_hex(CRYPTO_MD5, SV("plain:example.com:secret"), ha1);
    crypto_hash_hex(CRYPTO_SHA256, SV("plain:example.com:secret"), sha);
    get(db, mb, "plain", &a);
    CHECK_STR(a.cred.ha1_md5, ha1);
    crypto_hash_hex(CRYPTO_MD5, SV("plain@example.com:example.com:secret"), ha1);
    CHECK_STR(a.cred.ha1b_md5, ha1);
    CHECK_STR(a.cred.ha1_sha256, sha);
    get(db, mb, "old", &a);
    CHECK_STR(a.cred.ha1_md5, md5_secret); /* lower case, whoever wrote it */
    CHECK_STR(a.cred.ha1_sha256, "");
    get(db, mb, "odd", &a);
    CHECK(a.cred.found);
    CHECK_STR(a.cred.ha1_md5, "");
    CHECK_STR(a.cred.ha1_sha256, "");
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(a_cancelled_lookup_calls_nobody_and_a_stop_answers_the_rest)
{
    struct db_cred_req *req;
    struct answer a = { 0 }, b = { 0 };
    struct db_cred out;
    struct mailbox *mb;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    CHECK_INT(db_cred_get(db, SV("alice"), SV("example.com"), &out, mb, take, &a, &req), 0);
    db_cred_cancel(req);
    CHECK_INT(db_cred_get(db, SV("bob"), SV("example.com"), &out, mb, take, &b, &req), 0);
    db_stop(db);
    mailbox_run(mb);
    CHECK_INT(a.done, 0);
    CHECK_INT(b.done, 1);
    CHECK_INT(db_cred_get(db, SV("carol"), SV("example.com"), &out, mb, take, &a, &req), TD_ECLOSED);
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(too_many_lookups_at_once_are_refused)
{
    static struct answer a[DB_CRED_PENDING_MAX + 1];
    struct db_cred_req *req;
    struct mailbox *mb;
    struct db_cred out;
    struct db *db;
    int rc = 0;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    memset(a, 0, sizeof a);
    /* Answers are not fetched, so all of them stay under way. */
    for (int i = 0; i < DB_CRED_PENDING_MAX && rc == 0; i++) {
        char name[16];
        struct sv user = { name, (size_t)snprintf(name, sizeof name, "u%d", i) };

        rc = db_cred_get(db, user, SV("example.com"), &out, mb, take, &a[i], &req);
    }
    CHECK_INT(rc, 0);
    CHECK_INT(db_cred_get(db, SV("last"), SV("example.com"), &out, mb, take, &a[DB_CRED_PENDING_MAX], &req), TD_EBUSY);
    CHECK(mail_until(mb, &a[DB_CRED_PENDING_MAX - 1].done));
    CHECK_INT(db_cred_get(db, SV("last"), SV("example.com"), &out, mb, take, &a[DB_CRED_PENDING_MAX], &req), 0);
    CHECK(mail_until(mb, &a[DB_CRED_PENDING_MAX].done));
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

/* On the cache itself, with a clock of our own. */
TEST(the_memory_of_credentials_ends_after_ten_seconds_and_is_bounded)
{
    const struct db_cred yes = { .found = true, .ha1_md5 = "x" };
    struct cred_cache *c;
    struct db_cred out;

    CHECK_INT(cred_cache_new(&c, 64), 0);
    cred_cache_put(c, SV("a"), SV("d"), 1000, &yes, cred_cache_generation(c));
    CHECK(cred_cache_get(c, SV("a"), SV("d"), 1000 + DB_CRED_TTL_MS - 1, &out) && out.found);
    CHECK(!cred_cache_get(c, SV("a"), SV("d"), 1000 + DB_CRED_TTL_MS, &out));
    CHECK(!cred_cache_get(c, SV("a"), SV("e"), 1000, &out));
    CHECK(!cred_cache_get(c, SV("ad"), SV(""), 1000, &out)); /* where the name ends matters */
    for (int i = 0; i < 1000; i++) {
        char name[16];

        cred_cache_put(c, sv_make(name, (size_t)snprintf(name, sizeof name, "u%d", i)), SV("d"), 1000, &yes,
                       cred_cache_generation(c));
    }
    CHECK(cred_cache_count(c) <= 64);
    CHECK(cred_cache_get(c, SV("u999"), SV("d"), 1001, &out));
    /* An answer that was under way during a flush is not kept. */
    uint64_t before = cred_cache_generation(c);

    cred_cache_flush(c);
    CHECK_INT(cred_cache_count(c), 0);
    cred_cache_put(c, SV("a"), SV("d"), 1000, &yes, before);
    CHECK_INT(cred_cache_count(c), 0);
    cred_cache_free(&c);
}

static bool list_user(const struct db_user *u, void *arg)
{
    struct buf *b = arg;

    buf_printf(b, SV_FMT "@" SV_FMT "%s%s%s%s;", SV_ARG(u->username), SV_ARG(u->domain), u->blocked ? " blocked" : "",
               u->has_md5 ? " md5" : "", u->has_sha256 ? " sha256" : "", u->has_plain ? " plain" : "");
    return true;
}

TEST(users_are_administered_on_the_file_while_a_server_runs)
{
    struct buf b = BUF_INIT, why = BUF_INIT;
    struct db *server, *ctl;

    scratch_begin();
    server = open_started();
    CHECK_INT(db_open(&ctl, scratch_file(), &why), 0);
    CHECK_INT(db_user_add(ctl, SV("bob"), SV("example.com"), SV("pw")), 0);
    CHECK_INT(db_user_add(ctl, SV("alice"), SV("example.com"), SV("pw")), 0);
    CHECK_INT(db_user_add(ctl, SV("alice"), SV("example.com"), SV("pw")), TD_EEXIST);
    CHECK_INT(db_user_add(ctl, SV("alice"), SV("a.example"), SV("pw")), 0);
    CHECK_INT(db_user_block(ctl, SV("bob"), SV("example.com"), true), 0);
    CHECK_INT(db_user_block(ctl, SV("no"), SV("example.com"), true), TD_ENOENT);
    CHECK_INT(db_user_passwd(ctl, SV("no"), SV("example.com"), SV("pw")), TD_ENOENT);
    change("UPDATE subscriber SET password = 'plain' WHERE username = 'bob'");
    CHECK_INT(db_user_each(ctl, list_user, &b), 0);
    CHECK_STR(b.p, "alice@a.example md5 sha256;alice@example.com md5 sha256;bob@example.com blocked md5 sha256 plain;");
    CHECK_INT(db_user_passwd(ctl, SV("bob"), SV("example.com"), SV("new")), 0);
    CHECK_STR(look("SELECT password || '.' || blocked FROM subscriber WHERE username = 'bob'"),
              ".1"); /* the old one is no back door */
    CHECK_INT(db_user_block(ctl, SV("bob"), SV("example.com"), false), 0);
    change("INSERT INTO location (ruid, username, domain) VALUES ('r', 'bob', 'example.com')");
    CHECK_INT(db_user_del(ctl, SV("bob"), SV("example.com")), 0);
    CHECK_INT(db_user_del(ctl, SV("bob"), SV("example.com")), TD_ENOENT);
    CHECK_STR(look("SELECT (SELECT count(*) FROM subscriber) || ' ' || (SELECT count(*) FROM location)"), "2 0");
    for (unsigned i = 0; i < 8; i++) {
        const struct sv bad[] = { SV(""),    SV("a b"),  SV("a\"b"), SV("a:b"),
                                  SV("a@b"), SV("a\\b"), SV("a\nb"), SV("a\0b") };

        CHECK_INT(db_user_add(ctl, bad[i], SV("example.com"), SV("pw")), TD_EINVAL);
        CHECK_INT(db_user_add(ctl, SV("carol"), bad[i], SV("pw")), TD_EINVAL);
    }
    CHECK_INT(db_user_add(ctl, SV("carol"), SV("example.com"), SV("")), TD_EINVAL);
    db_close(&ctl);
    db_close(&server);
    scratch_end();
    buf_fini(&b);
    buf_fini(&why);
}

SUITE(cred_suite, TEST_ROW(a_user_is_looked_up_once_and_then_remembered_unknown_ones_too),
      TEST_ROW(a_plain_password_is_honoured_and_odd_hashes_are_not),
      TEST_ROW(a_cancelled_lookup_calls_nobody_and_a_stop_answers_the_rest),
      TEST_ROW(too_many_lookups_at_once_are_refused),
      TEST_ROW(the_memory_of_credentials_ends_after_ten_seconds_and_is_bounded),
      TEST_ROW(users_are_administered_on_the_file_while_a_server_runs));
