/* A server made of constants. */
#include "tests/unit/ctl/fake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "db/location.h"
#include "tests/unit/harness.h"

/* Orders what the control thread and the test do to a struct fake, also when another process carried the message. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fake_sync(void)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}

static struct fake *synced(void *arg)
{
    fake_sync();
    return arg;
}

static int fake_sessions(void *arg, rpc_session_fn *emit, void *to)
{
    struct fake *f = synced(arg);
    struct rpc_session row = {
        .session_id = "", .username = "alice", .domain = "example.org", .conn_id = 7,
        .peer_uri = "msrps://pc.example.org:9/s1;tcp", .srcaddr = "msrps://192.0.2.1:9", .srcsock = "tls:192.0.2.9:5060",
        .use_path = "msrps://relay.example.org:5060/abc;tcp", .state = "active", .created = 1000000000,
        .expires = 1000003600, .frames_in = 3, .bytes_in = 5000000000,
    };
    char id[32];

    for (size_t i = 0; i < f->n_sessions; i++) {
        snprintf(id, sizeof id, "abc%zu", i);
        row.session_id = id;
        if (!emit(to, &row))
            break;
    }
    return 0;
}

static int fake_connections(void *arg, rpc_connection_fn *emit, void *to)
{
    const struct rpc_connection row = {
        .conn_id = 12, .protocol = "msrp", .transport = "tls", .peer = "192.0.2.1:9", .local = "192.0.2.9:5060",
        .tls_version = "TLS1.3", .tls_cipher = "AES-256-GCM", .peer_name = "bad \xff name", .opened = 1000000000,
    };

    (void)arg;
    emit(to, &row);
    return 0;
}

static int fake_registrations(void *arg, bool (*emit)(const struct db_location *row, void *to), void *to)
{
    static const char *const who[] = { "alice", "alice", "bob" };
    struct db_location row = {
        .domain = SV("example.org"), .contact = SV("sip:a@192.0.2.1"), .callid = SV("c1"), .user_agent = SV("phone"),
        .instance = SV("<urn:x>"), .ruid = SV("r"), .cseq = 5, .expires = 1, .q = 0.5,
    };

    (void)arg;
    for (size_t i = 0; i < TD_ARRAY_LEN(who); i++) {
        row.username = sv_of(who[i]);
        if (!emit(&row, to))
            break;
        row.expires = 0;
    }
    return 0;
}

static void fake_stats(void *arg, struct stats *sum)
{
    (void)arg;
    stats_add(sum, STAT_conn_accepted, 42);
    stats_add(sum, STAT_conn_open, -1);
}

static uint64_t fake_map_size(void *arg)
{
    return synced(arg)->map_size;
}

static int fake_reload(void *arg, struct buf *live, struct buf *restart, struct buf *faults)
{
    const struct fake *f = synced(arg);
    int err = f->reload_err;
    bool has_faults = err == TD_EINVAL || f->reload_halves;

    fake_sync();
    if (has_faults)
        buf_puts(faults, "f:1: first\nf:2: second\n");
    buf_puts(live, "server.log_level limits.ban_time");
    buf_puts(restart, "server.workers");
    return err;
}

static int fake_kick(void *arg, const char *session_id)
{
    struct fake *f = synced(arg);

    snprintf(f->kicked, sizeof f->kicked, "%s", session_id);
    fake_sync();
    return strcmp(session_id, "abc0") == 0 ? 0 : TD_ENOENT;
}

static int fake_ban_list(void *arg, rpc_ban_fn *emit, void *to)
{
    (void)arg;
    emit(to, &(struct rpc_ban){ "192.0.2.66", 1000000000, "manual" });
    return 0;
}

static int fake_ban_add(void *arg, const char *address, int64_t seconds)
{
    struct fake *f = synced(arg);

    snprintf(f->banned, sizeof f->banned, "%s", address);
    f->ban_seconds = seconds;
    fake_sync();
    return 0;
}

static int fake_ban_del(void *arg, const char *address)
{
    struct fake *f = synced(arg);

    snprintf(f->unbanned, sizeof f->unbanned, "%s", address);
    fake_sync();
    return TD_ENOENT;
}

static int fake_user_changed(void *arg, const char *username, const char *domain)
{
    struct fake *f = synced(arg);

    snprintf(f->user, sizeof f->user, "%s", username);
    snprintf(f->domain, sizeof f->domain, "%s", domain);
    fake_sync();
    return 0;
}

struct rpc_backend backend_of(struct fake *f)
{
    return (struct rpc_backend){
        .arg = f, .sessions = fake_sessions, .connections = fake_connections, .registrations = fake_registrations,
        .stats = fake_stats, .map_size = fake_map_size, .reload = fake_reload, .kick = fake_kick,
        .ban_list = fake_ban_list, .ban_add = fake_ban_add, .ban_del = fake_ban_del, .user_changed = fake_user_changed,
    };
}

int server_listen(struct server *s)
{
    const struct rpc_options o = { .path = s->path, .version = "tandem 0.1.0", .backend = &s->back };
    struct buf why = BUF_INIT;
    int err = rpc_start(&s->rpc, &o, &why);

    CHECK(!err == !why.n);
    CHECK(!err == (s->rpc != NULL));
    buf_fini(&why);
    return err;
}

void server_start(struct server *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->folder, sizeof s->folder, "/tmp/tandem-rpc-XXXXXX");
    CHECK_FATAL(mkdtemp(s->folder) != NULL);
    snprintf(s->path, sizeof s->path, "%s/run/tandem.sock", s->folder);
    s->fake.map_size = 256;
    s->back = backend_of(&s->fake);
    CHECK_FATAL(server_listen(s) == 0);
}

void server_stop(struct server *s)
{
    char run[64];

    rpc_stop(&s->rpc);
    CHECK(access(s->path, F_OK) != 0);
    snprintf(run, sizeof run, "%s/run", s->folder);
    CHECK(rmdir(run) == 0 && rmdir(s->folder) == 0);
}
