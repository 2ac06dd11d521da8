/* Giving up root after the ports are bound. */
#include "tandemd/privileges.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"

static void make_folder_for(const char *file, const struct passwd *pw)
{
    char *copy = strdup(file), *folder;

    if (!copy)
        return;
    folder = dirname(copy);
    if (mkdir(folder, 0750) == 0 && chown(folder, pw->pw_uid, pw->pw_gid) < 0)
        log_warn("edge", 0, "cannot give %s to %s: %s", folder, pw->pw_name, strerror(errno));
    free(copy);
}

int privileges_drop(const char *user, const char *database, const char *control)
{
    const struct passwd *pw;

    if (!user[0])
        return TD_OK;
    errno = 0;
    pw = getpwnam(user);
    if (!pw) {
        log_error("edge", 0, "server.user: there is no user '%s'", user);
        return TD_ENOENT;
    }
    if (geteuid() == pw->pw_uid)
        return TD_OK;
    make_folder_for(database, pw);
    make_folder_for(control, pw);
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0) {
        log_error("edge", 0, "cannot become '%s': %s", user, strerror(errno));
        return TD_EPERM;
    }
    return TD_OK;
}
