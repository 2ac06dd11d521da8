/* The unit test harness: CUnit, one program per folder of the tree.
 *
 * A test file defines `TEST(sentence_about_behaviour) { ... }` functions and a
 * suite array; main.c of the folder lists the suites and returns run_suites(). The
 * last line printed is `NAME: N passed, N failed`. */
#pragma once

#include <CUnit/CUnit.h>

#include "common/defs.h"

#define TEST(name) static void name(void)

/* How often to do what is to be done n times for the mere number of it: less where a sanitizer looks at every access. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_VOLUME(n) ((n) / 20)
#else
#define TEST_VOLUME(n) (n)
#endif

struct test {
    const char *name;
    void (*run)(void);
};
#define TEST_ROW(name) { #name, name }

struct suite {
    const char *name;
    const struct test *tests;
    size_t n;
};
#define SUITE(id, ...)                                    \
    static const struct test id##_tests[] = { __VA_ARGS__ }; \
    const struct suite id = { #id, id##_tests, TD_ARRAY_LEN(id##_tests) }

/* With an argument only the tests whose name contains it are run. */
int run_suites(const char *program, const struct suite *const *suites, size_t n, int argc, char **argv);

#define CHECK(cond) CU_ASSERT(cond)
#define CHECK_FATAL(cond) CU_ASSERT_FATAL(cond)
#define CHECK_STR(actual, expected) CU_ASSERT_STRING_EQUAL(actual, expected)
#define CHECK_INT(actual, expected) CU_ASSERT_EQUAL((long long)(actual), (long long)(expected))
