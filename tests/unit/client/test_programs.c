/* What msrpcat and msrpbench are made of: the order of output, the cost of processes. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cat_in.h"
#include "client/procstat.h"
#include "tests/unit/harness.h"

static void check_output(int fd, const char *expected)
{
    char got[256] = "";
    ssize_t n = pread(fd, got, sizeof got - 1, 0);

    CHECK_INT(n, strlen(expected));
    CHECK_STR(got, expected);
}

/* M-CHK-17, M-FAIR-06 */
TEST(interleaved_and_disordered_messages_come_out_whole_one_after_the_other)
{
    FILE *file = tmpfile();
    struct mc_in a = { .total = 6 }, b = { .total = 4 }, c = { .total = 3 };
    struct cat_in in;

    CHECK_FATAL(file != NULL);
    cat_in_init(&in, fileno(file));
    CHECK(cat_in_begin(&in, &a) && cat_in_begin(&in, &b));
    cat_in_body(&in, &a, 1, SV("aA"));
    cat_in_body(&in, &b, 1, SV("bbbb"));
    cat_in_done(&in, &b, true);
    cat_in_body(&in, &a, 5, SV("fF"));
    cat_in_body(&in, &a, 2, SV("AcC")); /* the second octet once more */
    check_output(in.fd, "aAcC");
    cat_in_done(&in, &a, true);
    check_output(in.fd, "aAcCfFbbbb");
    CHECK(cat_in_begin(&in, &c));
    cat_in_body(&in, &c, 1, SV("ccc"));
    check_output(in.fd, "aAcCfFbbbbccc");
    cat_in_done(&in, &c, true);
    CHECK(!in.failed);
    cat_in_fini(&in);
    fclose(file);
}

TEST(incomplete_message_behind_another_leaves_nothing)
{
    FILE *file = tmpfile();
    struct mc_in a = { .total = 1 }, b = { .total = 9 };
    struct cat_in in;

    CHECK_FATAL(file != NULL);
    cat_in_init(&in, fileno(file));
    CHECK(cat_in_begin(&in, &a) && cat_in_begin(&in, &b));
    cat_in_body(&in, &b, 1, SV("bbbb"));
    cat_in_done(&in, &b, false);
    cat_in_body(&in, &a, 1, SV("a"));
    cat_in_done(&in, &a, true);
    check_output(in.fd, "a");
    cat_in_fini(&in);
    fclose(file);
}

TEST(process_counts_with_its_descendants_and_a_missing_one_is_told)
{
    const pid_t self[] = { getpid() };
    struct proc_cost alone, family;
    pid_t child;
    int pipe_fd[2];

    CHECK_FATAL(pipe(pipe_fd) == 0);
    CHECK(proc_cost(self, 1, true, &alone));
    CHECK_INT(alone.processes, 1);
    CHECK(alone.rss > 0 && alone.pss > 0 && alone.pss <= alone.rss);
    child = fork();
    if (child == 0) {
        char b;

        close(pipe_fd[1]);
        _exit(read(pipe_fd[0], &b, 1) != 0);
    }
    CHECK_FATAL(child > 0);
    CHECK(proc_cost(self, 1, false, &family));
    CHECK_INT(family.processes, 2);
    CHECK(family.cpu_s >= alone.cpu_s);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(!proc_cost(&child, 1, false, &family));
}

SUITE(programs_suite, TEST_ROW(interleaved_and_disordered_messages_come_out_whole_one_after_the_other),
      TEST_ROW(incomplete_message_behind_another_leaves_nothing),
      TEST_ROW(process_counts_with_its_descendants_and_a_missing_one_is_told));
