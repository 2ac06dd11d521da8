/* What was sent, what came, and who was told: the memory of a conversation, and the verdict on it.
 *
 * Each message belongs to the end that sends it. The sender notes the chunks it wrote and what was said about them, the
 * receiver notes the pieces that came. message_fault() says what is wrong, or still missing. It is the oracle for "no message is
 * lost without its sender being told, none is delivered twice, none is changed" (M-FR-01, M-FR-02, M-CHK-08). */
#pragma once

#include "common/buf.h"

enum { BLOCK_SIZE = 1 << 20, BODY_MAX = 1 << 19 };

/* Octets of all bodies: noise with everything in it that looks like framing. A body is a part of it. */
extern char ledger_block[BLOCK_SIZE];
void ledger_init(uint64_t seed);

enum report { FR_ABSENT, FR_YES, FR_PARTIAL, FR_NO };

/* What the receiver does with a piece. */
enum reply { REPLY_OK, REPLY_ERROR /* when it has come */, REPLY_ERROR_AT_ONCE /* when its head has */, REPLY_NEVER };

struct chunk {
    uint64_t from, n; /* octets from, from + 1, ... from + n - 1 of the message; the first is 1 */
    bool closed; /* its end-line was written */
    char flag;
    unsigned answers, code;
    uint64_t begun_ms;
};

struct piece {
    uint64_t from, n;
    bool complete;
    char flag;
    unsigned code; /* that the receiver answered, 0: none */
    uint64_t answered_ms;
};

struct told { /* a failure REPORT */
    uint64_t from, n;
    unsigned code;
    uint64_t at_ms;
};

struct message {
    char id[33];
    uint64_t size; /* octets of its body */
    size_t block_at;
    bool has_body, has_range, wants_success;
    enum report fr;
    enum reply reply;
    unsigned reply_code;
    uint64_t chunk_max; /* the sender cuts it so */
    uint64_t abort_at; /* the sender gives up behind that octet; 0: never */
    struct chunk *chunks; /* owned, as the others */
    struct piece *pieces;
    struct told *told;
    size_t n_chunks, n_pieces, n_told;
    bool is_whole; /* the receiver has seen all of it and its `$` */
    unsigned success_said, success_heard;
};

/* What became of the two connections, and how patient the relay is. */
struct circumstances {
    bool sender_broken, receiver_broken;
    uint64_t response_ms; /* an answer that took that long may have come too late */
};

struct chunk *message_chunk(struct message *m, uint64_t from);
struct piece *message_piece(struct message *m, uint64_t from);
void message_told(struct message *m, uint64_t from, uint64_t n, unsigned code, uint64_t at_ms);
void message_free(struct message *m);

bool message_has_begun(const struct message *m);
/* The chunk that holds octet `at`, or NULL. */
const struct chunk *message_chunk_at(const struct message *m, uint64_t at);

/* NULL: all is well and nothing is missing. Else a sentence about the first fault. */
const char *message_fault(const struct message *m, const struct circumstances *c);
/* All that is known about it, for people. */
void message_show(struct buf *out, const struct message *m);
