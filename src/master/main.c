/* mired: options, and then either a check of the configuration or the master.
 *
 *   mired [-c FILE] [-t [--quick]] [--keys [SECTION|KEY]] [-V]
 *
 * Exit status: 0 done, 1 the configuration is wrong or something failed, 2 usage. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/sandbox.h"
#include "config/config.h"
#include "config/describe.h"
#include "master/check.h"
#include "master/master.h"
#include "master/privileges.h"
#include "master/title.h"
#include "worker/confine.h"

#define CONFIG_FILE "/etc/mired/mired.conf"

static const char usage[] =
    "usage: mired [-c FILE] [-t [--quick]] [--keys [KEY]] [-V]\n"
    "  -c FILE        the configuration (" CONFIG_FILE ")\n"
    "  -t             check it, with every file that it names, and exit: 0 and\n"
    "                 \"configuration OK\", or 1 and the errors\n"
    "      --quick    with -t: the configuration only, not the lines of files\n"
    "      --keys [KEY]  list the keys of the configuration: default, values, whether\n"
    "                 a reload takes a change up, and what each is; or those of a section\n"
    "                 (tarpit), or one (tarpit.time)\n"
    "  -V, --version  print the version\n"
    "  -h, --help     print this\n"
    "It runs in the foreground; `mirectl` controls it. See mired(8) and mired.conf(5).\n";

struct options {
    const char *file;
    bool check, quick, keys;
};

static int list_keys(const char *of)
{
    struct buf text = {0};
    int error = config_describe(of, &text);
    bool told = !error && fwrite(text.at, 1, text.len, stdout) == text.len;

    if (error == -ENOENT)
        fprintf(stderr, "mired: no key or section \"%s\"; `mired --keys` lists all\n", of);
    buf_free(&text);
    return !told;
}

/* -1: go on; otherwise the exit status. */
static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"quick", no_argument, NULL, 'q'},
                                          {"keys", no_argument, NULL, 'k'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:tVh", names, NULL)) != -1) {
        switch (option) {
        case 'q': o->quick = true; break;
        case 'c': o->file = optarg; break;
        case 't': o->check = true; break;
        case 'k': o->keys = true; break;
        case 'V': return puts("mired " MIRED_VERSION) < 0;
        case 'h': return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (o->keys && optind + 1 >= argc)
        return list_keys(argv[optind]);
    if (optind < argc) {
        fprintf(stderr, "mired: unknown option \"%s\"\n%s", argv[optind], usage);
        return 2;
    }
    return -1;
}

static void show(const struct buf *b)
{
    if (b->len)
        fwrite(b->at, 1, b->len, stderr);
}

/* What the processes of this configuration will have, if this user starts them on this machine. */
static void say_sandbox(const struct config *config)
{
    unsigned available = sandbox_available();
    const char *key = worker_needs_root(config, false);

    printf("sandbox: %s", config->sandbox ? sandbox_name(available) : "off");
    if (config->sandbox && available & SANDBOX_ROOT)
        fputs(", root directories of their own", stdout);
    if (config->sandbox && available & SANDBOX_ROOT && key)
        printf(" (but not for workers, because of `%s`)", key);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct options o = {.file = CONFIG_FILE};
    struct buf said = {0};
    struct config *config;

    title_init(argc, argv);
    int status = read_options(argc, argv, &o);
    if (status >= 0)
        return status;
    int error = privileges_seal();
    if (error)
        fprintf(stderr, "mired: warning: others may read this process: %s\n",
                strerrordesc_np(-error));
    if (config_read(o.file, &config, &said) < 0) {
        upgrade_try_again(NULL, o.file);
        show(&said);
        buf_free(&said);
        return 1;
    }
    if (!o.check) {
        status = master_run(o.file, config, &said);
        buf_free(&said);
        return status;
    }
    (void)sandbox_probe(); /* `mirectl upgrade` runs this under the filter of the unit */
    bool good = check_all(config, o.quick, &said) == 0;
    show(&said);
    say_sandbox(config);
    if (good)
        puts("configuration OK");
    buf_free(&said);
    config_free(config);
    return !good;
}
