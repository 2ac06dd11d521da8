/* Runs the suites of one program and prints the closing line. */
#include "tests/unit/harness.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Some tests open thousands of connections, and users often start with 1024 descriptors of the many they may have. */
static void take_all_descriptors(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
}

int run_suites(const char *program, const struct suite *const *suites, size_t n, int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    unsigned run, failed;

    take_all_descriptors();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    for (size_t i = 0; i < n; i++) {
        CU_pSuite suite = CU_add_suite(suites[i]->name, NULL, NULL);

        if (!suite)
            return 2;
        for (size_t t = 0; t < suites[i]->n; t++)
            if (strstr(suites[i]->tests[t].name, only) && !CU_add_test(suite, suites[i]->tests[t].name, suites[i]->tests[t].run))
                return 2;
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_set_fail_on_inactive(CU_FALSE);
    CU_basic_run_tests();
    run = CU_get_number_of_tests_run();
    failed = CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    printf("%s: %u passed, %u failed\n", program, run - failed, failed);
    return failed || run == 0 ? 1 : 0;
}
