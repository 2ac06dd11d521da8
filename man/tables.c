/* Prints the tables that man pages hold, as mdoc: `tables options` for tandem.ini(5), `tables methods` for
 * tandemctl(8). Runs while tandem is built, so that a page cannot miss a row. */
#include <stdio.h>
#include <string.h>

#include "common/defs.h"

enum type { STR, BOOL, INT, SIZE, LIST, ENUM_LOG_LEVEL, ENUM_LOG_TO, ENUM_CLIENT_CERT, ENUM_ENDPOINT_TLS };

static const char *const kinds[] = { "text", "yes | no", "number", "size", "words", "word", "word", "word", "word" };

struct option {
    const char *key;
    enum type type;
    const char *def;
    long long min, max;
    const char *unit, *apply, *text;
};

/* A macro argument: quoted, so that brackets and colons in it are no punctuation. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout); /* to be copied, so no hyphen */
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_size(long long bytes)
{
    if (bytes % (1 << 30) == 0)
        printf("%lldG", bytes >> 30);
    else if (bytes % (1 << 20) == 0)
        printf("%lldM", bytes >> 20);
    else if (bytes % (1 << 10) == 0)
        printf("%lldk", bytes >> 10);
    else
        printf("%lld", bytes);
}

static void print_option(const struct option *o)
{
    printf(".It Ic %s = Ar %s\n%s\n", o->key, kinds[o->type], o->text);
    if (o->type == INT) {
        printf("From %lld to %lld", o->min, o->max);
        printf(strcmp(o->unit, "s") == 0 ? " seconds.\n" : strcmp(o->unit, "1/s") == 0 ? " a second.\n" : ".\n");
    } else if (o->type == SIZE) {
        printf("From ");
        print_size(o->min);
        printf(" to ");
        print_size(o->max);
        printf(" bytes.\n");
    }
    if (*o->def) {
        printf("Default:\n.Ql ");
        print_quoted(o->def);
        printf(" .\n");
    } else {
        printf("Default: empty.\n");
    }
    if (strcmp(o->apply, "LIVE") == 0)
        printf("A reload is enough.\n");
}

static void print_options(void)
{
#define CONF_BEGIN(section, sentence) printf(".Ss [%s]\n%s\n.Bl -tag -width Ds\n", #section, sentence);
#define CONF_END(section) printf(".El\n");
#define CONF(section, key, type, def, min, max, unit, apply, text) \
    print_option(&(struct option){ #key, type, def, min, max, unit, #apply, text });
#include "common/conf_tbl.h"

    printf(".Ss [listen.NAME]\n"
           "One section for each shared port; NAME is any word.\n"
           "Without such a section there is one with the default values.\n"
           ".Bl -tag -width Ds\n");
#define CONF_LISTEN(key, type, def, min, max, unit, apply, text) \
    print_option(&(struct option){ #key, type, def, min, max, unit, #apply, text });
#include "common/conf_tbl.h"
    printf(".El\n");
}

static void print_methods(void)
{
#define RPC(name, function, params, text) \
    printf(".It Ic %s %s%s\n%s\n", name, *params ? "Ar " : "", *params ? params : "", text);
#include "ctl/cmd_tbl.h"
#undef RPC
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "options") == 0)
        print_options();
    else if (argc == 2 && strcmp(argv[1], "methods") == 0)
        print_methods();
    else
        return 2;
    return fflush(stdout) == 0 ? 0 : 1;
}
