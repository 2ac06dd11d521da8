/* What happens in a conversation: who the ends are, what they say, and what breaks where.
 *
 * A script is a pure function of a seed and a number, or one of a list of typical exchanges in which nothing breaks yet. */
#pragma once

#include "tests/faults/end.h"

enum { SCRIPT_EXCHANGES = 8 };

struct script {
    enum end_kind kind[2];
    bool tls[2];
    bool from_start; /* faults strike during AUTH, too */
    struct proxy_plan plan[2][2]; /* by end and pipe */
    size_t n_messages[2];
    struct message *messages[2]; /* owned, until an end has them */
};

void script_random(struct script *s, uint64_t seed, unsigned number, bool has_tls);
/* n is below SCRIPT_EXCHANGES. */
void script_exchange(struct script *s, size_t n);
const char *script_exchange_name(size_t n);
