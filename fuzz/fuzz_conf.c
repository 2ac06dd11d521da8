/* Fuzz target: the configuration reader.
 *
 * A file either has faults, all of them said, or loads; and what was loaded is written by conf_dump() so
 * that it loads again as the same configuration (the SIP process gets it that way). */
#include "config.h"

#include "fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/err.h"

static int load(struct conf **out, const void *p, size_t n, struct buf *faults)
{
    char path[64];
    int fd = memfd_create("conf", 0), err;

    FUZZ_CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    err = conf_load(out, path, NULL, 0, faults);
    close(fd);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf faults = BUF_INIT, dump = BUF_INIT, live = BUF_INIT, restart = BUF_INIT;
    struct conf *conf, *again = NULL;

    if (load(&conf, data, size < 16384 ? size : 16384, &faults) != TD_OK) {
        FUZZ_CHECK(conf == NULL && faults.n > 0);
        buf_fini(&faults);
        return 0;
    }
    FUZZ_CHECK(faults.n == 0 && conf->n_listen > 0);
    conf_dump(conf, &dump);
    FUZZ_CHECK(!dump.failed);
    if (load(&again, dump.p, dump.n, &faults) != TD_OK)
        fprintf(stderr, "%s\n%s\n", faults.p, dump.p);
    FUZZ_CHECK(again != NULL);
    if (conf_diff(conf, again, &live, &restart))
        fprintf(stderr, "differs: %s %s\n", live.n ? live.p : "", restart.n ? restart.p : "");
    FUZZ_CHECK(live.n == 0 && restart.n == 0);
    conf_free(&conf);
    conf_free(&again);
    buf_fini(&faults);
    buf_fini(&dump);
    buf_fini(&live);
    buf_fini(&restart);
    return 0;
}
