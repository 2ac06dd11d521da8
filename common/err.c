/* Texts and errno values of the errors in err_tbl.h. */
#include "common/err.h"

#include <errno.h>
#include <string.h>

static const struct {
    int err, num;
    const char *text;
} errors[] = {
#define TD_ERR(name, num, text) { TD_E##name, num, text },
#include "common/err_tbl.h"
#undef TD_ERR
};

const char *td_err_text(int err)
{
    if (err == TD_OK)
        return "success";
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].err == err)
            return errors[i].text;
    return err < 0 && err > TD_ERR_BASE_ ? strerror(-err) : "unknown error";
}

int td_err_from_errno(int num)
{
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].num == num)
            return errors[i].err;
    return num ? TD_EIO : TD_OK;
}
