/* Private to import_postfix*.c: the table of Postfix's parameters. */
#ifndef MIRED_CTL_IMPORT_POSTFIX_PART_H
#define MIRED_CTL_IMPORT_POSTFIX_PART_H

#include <stddef.h>

#include "base/bytes.h"
#include "import_part.h"

enum { PARAMETERS_MAX = 2048 };

struct parameter {
    struct span name;
    struct buf value; /* as it stands there */
};

struct postfix {
    struct import *im;
    struct parameter *at; /* room for PARAMETERS_MAX */
    size_t count;
    unsigned steps; /* of postfix_expand(): names may refer to each other very many times */
};

/* ---- import_postfix_table.c ---- */

/* The parameter with that name, the last one if there are several; NULL: it is not set. */
const struct parameter *postfix_find(const struct postfix *p, struct span name);

/* Reads the parameters. A line that begins with a space continues the one before it. */
void postfix_read(struct postfix *p, struct span text);

/* Adds `text` to *out, with $name, ${name} and $(name) replaced by their values; unknown names stay
 * with their sign. `depth` is 0. */
void postfix_expand(struct postfix *p, struct span text, struct buf *out, int depth);

/* The same for one name that is not set: adds the value that Postfix uses then. */
void postfix_expand_default(struct postfix *p, struct span name, struct buf *out, int depth);

/* ---- import_postfix_access.c: conversion of each parameter; `value` is expanded ---- */

/* Limits to a client's errors. */
void postfix_take_limits(struct postfix *p, struct span name, struct span value);

/* Converts block-lists and allow-lists; the other restrictions stay in Postfix, which sees the
 * client. */
void postfix_take_restrictions(struct postfix *p, struct span name, struct span value);

/* postscreen's lists, its pause before the greeting, and how long it knows a client. */
void postfix_take_sites(struct postfix *p, struct span name, struct span value);
void postfix_take_greet(struct postfix *p, struct span name, struct span value);
void postfix_take_greet_wait(struct postfix *p, struct span name, struct span value);
void postfix_take_greet_ttl(struct postfix *p, struct span name, struct span value);

#endif
