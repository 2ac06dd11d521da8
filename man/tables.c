/* Prints the tables that man pages hold, as mdoc: `tables options` for tandem.ini(5), `tables methods` for
 * tandemctl(8), `tables functions`, `variables`, `transformations` and `sandbox` for tandem-script(7), `closings` for tandemd(8). Runs while tandem is built, so that a page cannot miss a
 * row; examples of the latter are what its tests run. */
#include <stdio.h>
#include <stdlib.h>
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

/* Each sentence begins a line, as mdoc wants it. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        putchar(*text);
        if (text[0] == '.' && text[1] == ' ') {
            putchar('\n');
            text++;
        }
    }
    putchar('\n');
}

/* The events in which it is offered, unless that is all of them. */
static void print_kind(const char *kind)
{
    if (strcmp(kind, "ANY") != 0)
        printf(".Em %s :\n", kind);
}

/* What the tests of scripts run: the first case of each row is its example. */
struct example {
    const char *what, *code;
};
static const struct example any_examples[] = {
#define CASE(what, code) { what, code },
#include "tests/unit/script/case_tbl.h"
#undef CASE
};
static const struct example msrp_examples[] = {
#define CASE(what, frame, code) { what, code },
#include "tests/unit/msrp/script_case_tbl.h"
#undef CASE
};
static const struct example sip_examples[] = {
#define CASE(what, message, status, code) { what, code },
#include "tests/sip/script_case_tbl.h"
#undef CASE
};

static bool print_example_of(const struct example *e, size_t n, const char *what)
{
    for (; n; n--, e++)
        if (strcmp(e->what, what) == 0) {
            printf(".Pp\n.Li ");
            print_quoted(e->code);
            putchar('\n');
            return true;
        }
    return false;
}

/* A row without a case, and so without a test, stops the build. */
static void print_example(const char *kind, const char *what)
{
    bool has_one = strcmp(kind, "MSRP") == 0 ? print_example_of(msrp_examples, TD_ARRAY_LEN(msrp_examples), what)
                   : strcmp(kind, "SIP") == 0 ? print_example_of(sip_examples, TD_ARRAY_LEN(sip_examples), what)
                                              : print_example_of(any_examples, TD_ARRAY_LEN(any_examples), what);

    if (!has_one) {
        fprintf(stderr, "tables: no case for %s\n", what);
        exit(1);
    }
}

static void print_function(const char *module, const char *name, const char *kind, const char *params, const char *text)
{
    char what[128];

    snprintf(what, sizeof what, "KSR.%s%s%s", module, *module ? "." : "", name);
    printf(".It Ic KSR.%s%s%s Ns ", module, *module ? "." : "", name);
    printf("Pq");
    if (*params) {
        printf(" Ar ");
        print_quoted(params);
    }
    putchar('\n');
    print_kind(kind);
    print_text(text);
    print_example(kind, what);
}

static void print_functions(void)
{
#define KSR_FN(module, name, kind, args, params, fn, text) print_function(module, #name, #kind, params, text);
#include "script/func_tbl.h"
#include "msrp/script_tbl.h"
#define KSR_FN(module, name, kind, args, params, fn, text) print_function(module, #name, #kind, params, text);
#include "sip/script_tbl.h"
}

static void print_variable(const char *class_, const char *key, const char *kind, const char *param, const char *text)
{
    char name[128];

    snprintf(name, sizeof name, key && !*key ? "$%s" : "$%s(%s)", class_, key ? key : param);
    printf(".It Ic ");
    print_quoted(name);
    putchar('\n');
    print_kind(kind);
    print_text(text);
    print_example(kind, name);
}

static void print_variables(void)
{
#define PV(class_, key, kind, get, set, param, text) print_variable(#class_, key, #kind, param, text);
#include "script/var_tbl.h"
#include "msrp/script_tbl.h"
#define PV(class_, key, kind, get, set, param, text) print_variable(#class_, key, #kind, param, text);
#include "sip/script_tbl.h"
}

static void print_transformation(const char *kind, const char *class_, const char *name, const char *params, const char *text)
{
    char all[128];

    snprintf(all, sizeof all, "{%s.%s%s}", class_, name, params);
    printf(".It Ic ");
    print_quoted(all);
    putchar('\n');
    print_text(text);
    print_example(kind, all);
}

static void print_transformations(void)
{
#define TRANS(class_, name, n, fn, params, text) print_transformation("ANY", #class_, #name, params, text);
#include "script/trans_tbl.h"
#undef TRANS
#define TRANS(class_, name, n, fn, params, text) print_transformation("MSRP", #class_, #name, params, text);
#include "msrp/script_tbl.h"
}

static void print_sandbox(void)
{
#define SANDBOX(library, names) \
    printf(".It Ic "); \
    print_quoted(*library ? library : "global"); \
    printf("\n%s\n", names);
#include "script/sandbox_tbl.h"
#undef SANDBOX
}

static void print_closings(void)
{
#define CLOSE_REASON(name, is_error, text) printf(".It\n%s\n", text);
#include "net/close_tbl.h"
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } tables[] = {
        { "options", print_options },     { "methods", print_methods },
        { "functions", print_functions }, { "variables", print_variables },
        { "transformations", print_transformations }, { "sandbox", print_sandbox },
        { "closings", print_closings },
    };
    size_t i = 0;

    while (argc == 2 && i < TD_ARRAY_LEN(tables) && strcmp(argv[1], tables[i].name) != 0)
        i++;
    if (argc != 2 || i == TD_ARRAY_LEN(tables))
        return 2;
    tables[i].print();
    return fflush(stdout) == 0 ? 0 : 1;
}
