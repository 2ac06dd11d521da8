/* What msrpcat sends. */
#include "client/cat_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"

static void input_ready(struct loop_io *io, uint32_t events);

void cat_item_text(struct cat_item *it, const char *text, const char *type)
{
    *it = (struct cat_item){
        .name = "text", .text = text, .type = type ? type : "text/plain", .fd = -1, .size = strlen(text)
    };
    it->wait.fd = -1;
}

bool cat_item_file(struct cat_item *it, const char *path, const char *type)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct stat st;

    *it = (struct cat_item){ .name = is_stdin ? "standard input" : path, .fd = STDIN_FILENO, .size = MC_UNKNOWN };
    it->type = type ? type : is_stdin ? "text/plain" : "application/octet-stream";
    it->wait.fd = -1;
    it->wait.ready = input_ready;
    if (!is_stdin)
        it->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (it->fd < 0 || fstat(it->fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        fprintf(stderr, "msrpcat: %s: %s\n", path, it->fd < 0 ? strerror(errno) : "not a file");
        return false;
    }
    if (S_ISREG(st.st_mode)) {
        off_t at = lseek(it->fd, 0, SEEK_CUR);

        it->size = (uint64_t)st.st_size - (at > 0 ? (uint64_t)TD_MIN(at, st.st_size) : 0);
    }
    return true;
}

void cat_item_close(struct cat_item *it, struct loop *loop)
{
    loop_remove(loop, &it->wait);
    if (it->fd > STDERR_FILENO)
        close(it->fd);
    it->fd = -1;
}

static void input_ready(struct loop_io *io, uint32_t events)
{
    struct cat_item *it = TD_CONTAINER_OF(io, struct cat_item, wait);

    loop_want(it->s->mc->net.loop, io, 0);
    mc_session_kick(it->s);
}

long cat_item_pull(struct cat_item *it, struct loop *loop, char *p, size_t n)
{
    struct pollfd pfd = { .fd = it->fd, .events = POLLIN };
    ssize_t got;

    if (it->size == MC_UNKNOWN && poll(&pfd, 1, 0) == 0) {
        if (it->wait.fd >= 0)
            loop_want(loop, &it->wait, LOOP_READ);
        else if (loop_add(loop, &it->wait, it->fd, LOOP_READ) < 0)
            return TD_EIO;
        return TD_EAGAIN;
    }
    do
        got = read(it->fd, p, n);
    while (got < 0 && errno == EINTR);
    return got < 0 ? TD_EIO : got;
}
