/* What a fuzz target needs: one function, and a check that stops the run.
 *
 * fuzz_NAME.c defines LLVMFuzzerTestOneInput(). Configured with --enable-fuzzing CC=clang it is a
 * libFuzzer program; else it is linked with replay_main.c, replays fuzz/corpus/NAME and runs in
 * `make check`. An input that breaks a promise must end in abort(), here or in a sanitizer. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise about the code under test. */
#define FUZZ_CHECK(cond)                                                              \
    do {                                                                              \
        if (!(cond)) {                                                                \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                                  \
        }                                                                             \
    } while (0)
