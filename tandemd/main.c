/* tandemd: reads the command line and the configuration, then becomes the edge or the SIP process. */
#include "config.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "sip/process.h"
#include "tandemd/edge.h"
#include "tandemd/scripts.h"
#include "tandemd/versions.h"

enum { EXIT_CONFIG = 1, EXIT_RESOURCE = 2, OPT_SIP = 256 };

static void usage(FILE *to)
{
    fputs("usage: tandemd [-c FILE] [-o SECTION.KEY=VALUE]... [-t] [-V] [-h]\n"
          "  -c FILE               configuration (default " SYSCONFDIR "/tandem/tandem.ini)\n"
          "  -o SECTION.KEY=VALUE  overrides a key; may be repeated\n"
          "  -t                    check the configuration and exit\n"
          "  -V                    print versions and exit\n"
          "  -h                    print this and exit\n",
          to);
}

static int finish(struct edge_start *start, int status)
{
    free(start->overrides);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "sip", required_argument, NULL, OPT_SIP }, { 0 } };
    struct edge_start start = { .file = SYSCONFDIR "/tandem/tandem.ini" };
    struct buf faults = BUF_INIT;
    struct conf *conf;
    bool only_test = false;
    uint64_t sip_fd = UINT64_MAX; /* none */
    int opt, status;

    start.overrides = calloc((size_t)argc, sizeof *start.overrides);
    if (!start.overrides)
        return EXIT_RESOURCE;
    while ((opt = getopt_long(argc, argv, "c:o:tVh", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            start.file = optarg;
            break;
        case 'o':
            start.overrides[start.n_overrides++] = optarg;
            break;
        case 't':
            only_test = true;
            break;
        case 'V':
            versions_print();
            return finish(&start, 0);
        case 'h':
            usage(stdout);
            return finish(&start, 0);
        case OPT_SIP:
            if (!sv_to_u64(sv_of(optarg), &sip_fd, NULL) || sip_fd > INT_MAX) {
                usage(stderr);
                return finish(&start, EXIT_CONFIG);
            }
            break;
        default:
            usage(stderr);
            return finish(&start, EXIT_CONFIG);
        }
    }
    if (optind < argc) {
        usage(stderr);
        return finish(&start, EXIT_CONFIG);
    }
    if (conf_load(&conf, start.file, start.overrides, start.n_overrides, &faults) != 0) {
        fputs(faults.p ? faults.p : "out of memory\n", stderr);
        buf_fini(&faults);
        return finish(&start, EXIT_CONFIG);
    }
    if (sip_fd == UINT64_MAX && scripts_check(conf, &faults) != 0) {
        fputs(faults.p ? faults.p : "out of memory\n", stderr);
        buf_fini(&faults);
        conf_free(&conf);
        return finish(&start, EXIT_CONFIG);
    }
    buf_fini(&faults);
    if (only_test) {
        conf_free(&conf);
        return finish(&start, 0);
    }
    signal(SIGPIPE, SIG_IGN);
    log_init("tandemd", conf->server.log_to);
    log_set_level(conf->server.log_level);
    if (sip_fd != UINT64_MAX) {
        status = sip_process_main(conf, (int)sip_fd, scripts_apis, SCRIPTS_APIS);
        conf_free(&conf);
    } else {
        start.conf = conf;
        status = edge_run(&start) == 0 ? 0 : EXIT_RESOURCE;
    }
    return finish(&start, status);
}
