/* The options of the load generators: a row each, one parser, and the usage made of the rows. */
#ifndef MIRED_BENCH_OPTIONS_H
#define MIRED_BENCH_OPTIONS_H

#include <stdbool.h>

#include "base/addr.h"

enum option_type {
    OPTION_FLAG,    /* bool */
    OPTION_COUNT,   /* long */
    OPTION_NUMBER,  /* double */
    OPTION_TEXT,    /* const char * */
    OPTION_ADDRESS, /* struct addr: a loopback IPv4 address */
};

struct option_row {
    char letter; /* 0 ends the table */
    enum option_type type;
    const char *value; /* what stands for the value in the usage; NULL for a flag */
    void *to;          /* set when the option is given; else its default stays */
    double least;      /* of a count or a number */
};

/* Reads the command line. `server` is the one argument without a letter, 127.x.y.z:PORT; NULL:
 * there is none. False, with the usage on standard error, when anything is wrong. */
bool options_read(int argc, char **argv, const struct option_row *rows, struct addr *server);

#endif
