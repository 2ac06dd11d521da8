/* Deferred calls as messages of a task to itself. */
#define SU_MSG_ARG_T struct later_call
#include "sip/later.h"

struct later_call {
    void (*fn)(void *arg);
    void *arg;
};

static bool is_over; /* one thread, one root */

static void on_message(su_root_magic_t *magic, su_msg_r msg, struct later_call *call)
{
    if (!is_over)
        call->fn(call->arg);
}

bool later(su_root_t *root, void (*fn)(void *arg), void *arg)
{
    su_msg_r m = SU_MSG_R_INIT;

    if (su_msg_create(m, su_root_task(root), su_root_task(root), on_message, sizeof(struct later_call)) < 0)
        return false;
    *su_msg_data(m) = (struct later_call){ .fn = fn, .arg = arg };
    return su_msg_send(m) == 0;
}

void later_forget(su_root_t *root)
{
    is_over = true;
    su_root_step(root, 0);
    is_over = false;
}
