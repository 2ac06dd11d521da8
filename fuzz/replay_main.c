/* Replays a corpus through a fuzz target, without libFuzzer.
 *
 *     fuzz-NAME              $srcdir/fuzz/corpus/NAME
 *     fuzz-NAME FILE|DIR...  those
 *
 * Every file is fed as it is, cut short, and with a few bytes changed; always the same ones, so that a
 * failure comes again. The last line is `fuzz-NAME: N passed, N failed`; a crash ends the program
 * before it, and the line above names the file. */
#include "config.h"

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { CUTS = 64, CHANGES = 64, FILE_MAX = 1 << 20 };

static unsigned passed, failed;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The target gets a heap copy of exactly this size, so that AddressSanitizer sees a read past its end. */
static bool feed(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    if (!copy)
        return false;
    if (n)
        memcpy(copy, p, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return true;
}

static bool feed_variants(uint8_t *p, size_t n)
{
    uint64_t state = 0x9e3779b97f4a7c15u ^ n;

    if (!feed(p, n))
        return false;
    for (size_t i = 0; i < CUTS && i < n; i++)
        if (!feed(p, n <= CUTS ? i : next_random(&state) % n))
            return false;
    for (size_t i = 0; i < CHANGES && n; i++) {
        size_t at = next_random(&state) % n;
        uint8_t was = p[at];

        p[at] = i % 2 ? (uint8_t)next_random(&state) : (uint8_t)"\r\n-$ /:;.\0\xff"[next_random(&state) % 11];
        if (!feed(p, n))
            return false;
        p[at] = was;
    }
    return true;
}

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(FILE_MAX);
    size_t n = 0;
    bool good = false;

    printf("%s\n", path);
    fflush(stdout);
    if (f && p) {
        n = fread(p, 1, FILE_MAX, f);
        good = !ferror(f) && feed_variants(p, n);
    }
    if (f)
        fclose(f);
    free(p);
    if (good)
        passed++;
    else
        failed++;
}

static void replay(const char *path)
{
    struct stat st;
    struct dirent **names;
    int n;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *file;

        if (names[i]->d_name[0] != '.' && asprintf(&file, "%s/%s", path, names[i]->d_name) >= 0) {
            replay_file(file);
            free(file);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    const char *program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const char *name = strrchr(program, '-') ? strrchr(program, '-') + 1 : program;
    const char *srcdir = getenv("srcdir");
    char *corpus;

    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (argc == 1) {
        if (asprintf(&corpus, "%s/fuzz/corpus/%s", srcdir ? srcdir : ".", name) < 0)
            return 2;
        replay(corpus);
        free(corpus);
    }
    printf("%s: %u passed, %u failed\n", program, passed, failed);
    return failed || passed == 0 ? 1 : 0;
}
