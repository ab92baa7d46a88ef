/* The options of the load generators (options.h), on getopt(3). Load goes to loopback only, so
 * addresses elsewhere are refused here. */
#include "options.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LETTERS_MAX = 64 };

static void usage(const char *program, const struct option_row *rows, bool server)
{
    fprintf(stderr, "usage: %s", program);
    for (; rows->letter; rows++)
        fprintf(stderr, rows->value ? " [-%c %s]" : " [-%c]", rows->letter, rows->value);
    fprintf(stderr, "%s\n", server ? " 127.x.y.z:PORT" : "");
}

static bool is_loopback(const struct addr *a)
{
    return addr_is_loopback(a) && a->family == ADDR_IP4;
}

static bool take(const struct option_row *row, const char *text)
{
    char *end = NULL;

    switch (row->type) {
    case OPTION_FLAG: *(bool *)row->to = true; return true;
    case OPTION_TEXT: *(const char **)row->to = text; return true;
    case OPTION_COUNT:
        *(long *)row->to = strtol(text, &end, 10);
        return *text && !*end && (double)*(long *)row->to >= row->least;
    case OPTION_NUMBER:
        *(double *)row->to = strtod(text, &end);
        return *text && !*end && *(double *)row->to >= row->least;
    case OPTION_ADDRESS: return addr_parse(span_of(text), row->to) && is_loopback(row->to);
    }
    return false;
}

static const struct option_row *row_of(const struct option_row *rows, int letter)
{
    for (; rows->letter; rows++)
        if (rows->letter == letter)
            return rows;
    return NULL;
}

bool options_read(int argc, char **argv, const struct option_row *rows, struct addr *server)
{
    char letters[LETTERS_MAX + 2], *at = letters;
    bool good = true;
    int letter;

    for (const struct option_row *row = rows; row->letter && at < letters + LETTERS_MAX; row++) {
        *at++ = row->letter;
        if (row->value)
            *at++ = ':';
    }
    *at = '\0';
    opterr = 0;
    while ((letter = getopt(argc, argv, letters)) != -1) {
        const struct option_row *row = row_of(rows, letter);
        good = good && row && take(row, optarg);
    }
    if (server)
        good = good && optind + 1 == argc && addr_parse_port(span_of(argv[optind]), server) &&
               is_loopback(server);
    else
        good = good && optind == argc;
    if (!good)
        usage(basename(argv[0]), rows, server != NULL);
    return good;
}
