/* A relay whose loops, clock and peers belong to the test.
 *
 * With RIG_WORKERS 2 (the program unit-msrp-cross) the peers go to two workers in turn, so that every test whose two
 * clients are C and D sees its frames cross from worker to worker; all loops run on the test's thread.
 *
 * The peers are real sockets on loopback; the test plays every one of them. Time is the machine's plus what
 * rig_pass() has added, so a hop timer of 30 s fires in a millisecond. Credentials are not looked at: an AUTH gets
 * the verdict that the test has put into rig.verdict (the digest has its own tests).
 *
 * Frames are written as templates: `\n` stands for CRLF, `%X` for the text of variable X, `%%` for a percent sign. In
 * what is expected a variable 1..9 that has no text yet takes the transaction identifier found there. rig_start() sets
 * E (the authority of the relay) and N (an unused token's URI). */
#pragma once

#include "auth/authn.h"
#include "common/buf.h"
#include "msrp/relay.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/tls.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/certs.h"

#ifndef RIG_WORKERS
#define RIG_WORKERS 1
#endif

struct peer {
    struct rig *rig; /* back */
    struct worker *worker; /* borrowed: of the relay's end; NULL: not known */
    int fd; /* -1: none */
    struct tlsio_session *tls; /* owned; NULL: plain */
    struct buf cipher; /* owned: TLS records still to be written */
    struct buf got; /* owned: read and not heard yet */
    bool ended; /* the relay has closed */
};

enum { RIG_IDENTITIES = 8, RIG_PEERS = 16, RIG_VAR_MAX = 512 };

struct db_rows;

struct rig {
    struct worker workers[RIG_WORKERS];
    struct relay *relays[RIG_WORKERS];
    struct listener *listeners[RIG_WORKERS];
    struct addr at[RIG_WORKERS]; /* where they listen */
    uint64_t next_id;
    struct conf *conf;
    struct relay_shared *shared;
    int listen_fd; /* of the foreign endpoint F; -1: none */
    struct peer peers[RIG_PEERS];
    size_t n_peers;
    unsigned n_connected; /* by rig_peer(): which worker is next */
    struct certs *certs; /* owned; with TLS */
    struct tlsio_server *identities[RIG_IDENTITIES]; /* owned; the first is the relay's */
    size_t n_identities;
    char var[128][RIG_VAR_MAX];
    enum authn_verdict verdict; /* of the next AUTHs */
    bool stale, had_credentials;
    bool fetch_later;        /* credentials wanted by a script come when the test calls fetched(0, cred, fetched_arg) */
    void (*fetched)(int err, const struct db_cred *cred, void *arg);
    void *fetched_arg;
    void (*queried)(int err, const char *why, struct db_rows *rows, void *arg); /* a script's query; NULL: none is under way */
    void *queried_arg;
    const char *user;
};

/* One frame as it came from the relay. Views into the text of the frame, which is overwritten by the next one. */
struct heard {
    struct sv all, start, head, body; /* head: header lines with their CRLFs */
    struct sv tid;
    bool has_body;
    char flag;
};

/* option: one more "section.key=value", or NULL. */
void rig_start(struct rig *r, const char *option);
/* With TLS, too: the relay has a certificate for edge.tandem.example and asks for those of its clients. */
void rig_start_tls(struct rig *r, const char *option);
void rig_stop(struct rig *r);

/* A TLS peer's certificate, as certs_issue() takes it; san NULL: none. Lives as long as the rig. */
struct tlsio_server *rig_identity(struct rig *r, const char *name, const char *san, unsigned flags);

/* The workers do what there is to do; wait_ms: perhaps waiting a little for it. */
void rig_turn(struct rig *r);
void rig_wait(struct rig *r, int wait_ms);
/* ms pass, in steps small enough for timers that start timers. */
void rig_pass(struct rig *r, uint64_t ms);

/* A counter, of all workers together. */
int64_t rig_stat(struct rig *r, enum stat_id id);
/* The longest queue of a connection. */
size_t rig_longest_queue(struct rig *r);

/* Connect to the relay. */
struct peer *rig_peer(struct rig *r);
/* The same by TLS; verified against the relay's name. */
struct peer *rig_peer_tls(struct rig *r, struct tlsio_server *identity);
/* Listen as the foreign endpoint %name (msrp, on loopback; receive_buffer 0: the system's). */
void rig_listen(struct rig *r, char name, int receive_buffer);
/* Take the connection that the relay has opened to it; NULL: it has opened none. */
struct peer *rig_accept(struct rig *r);
/* The same, and be its TLS server. */
struct peer *rig_accept_tls(struct rig *r, struct tlsio_server *identity);
void peer_close(struct peer *p);
void peer_reset(struct peer *p);

/* Write to the relay, all of it, while the worker runs. */
void say(struct peer *p, const char *template);
void say_bytes(struct peer *p, const void *bytes, size_t n);

/* An AUTH as client URI %client that gets a token: %token. */
void say_auth(struct peer *p, char client, char token);
/* ... that is asked for so long; 0: no word of it. */
void say_auth_for(struct peer *p, char client, char token, int expires_s);

/* Connect, and AUTH: %name is its URI, %token what it got. */
struct peer *rig_client(struct rig *r, char name, char token);
/* Write as much of it as the relay takes now; how much that was. */
size_t push(struct peer *p, const char *bytes, size_t n);
/* For the body of a frame. */
void add_octets(struct buf *b, size_t n);

/* Read at most so many bytes of what has come; then a frame, if there is a whole one. Neither waits. */
void peer_read(struct peer *p, size_t max);
bool peer_frame(struct peer *p, struct heard *h);

/* The next frame, waiting 2 s for it; false: there is none. */
bool hear(struct peer *p, struct heard *h);
/* The same for one that may not come: it is not waited for as long. */
bool hear_more(struct peer *p, struct heard *h);
/* What has come and is no frame yet. */
struct sv hear_rest(struct peer *p);

bool hear_this(struct peer *p, const char *template, const char *file, int line);
bool hear_nothing(struct peer *p, const char *file, int line);
bool hear_end(struct peer *p, const char *file, int line);
/* The next thing that the relay sends is exactly this frame. */
#define EXPECT(peer, template) CHECK_FATAL(hear_this(peer, template, __FILE__, __LINE__))
/* The relay has nothing more to say now, and the connection is open. */
#define EXPECT_NOTHING(peer) CHECK_FATAL(hear_nothing(peer, __FILE__, __LINE__))
/* The relay closes without another byte. */
#define EXPECT_END(peer) CHECK_FATAL(hear_end(peer, __FILE__, __LINE__))

/* The value of a header of a frame; empty: absent. */
struct sv heard_header(const struct heard *h, const char *name);
