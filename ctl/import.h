/* `mirectl import`: settings of other mail servers as lines of mired.conf, each with its reason. */
#ifndef MIRED_CTL_IMPORT_H
#define MIRED_CTL_IMPORT_H

#include <jansson.h>

#include "base/bytes.h"
#include "options.h"

/* Reads the file ("-": standard input) and prints the lines, with reasons as comments. Returns an
 * exit status: 1 if nothing in it was understood or it cannot be read. */
int import_file(const struct options *o, const char *path);

/* The same for a text in memory, which it changes. Returns how many settings were understood, and
 * sets *lines, which the caller frees, to an array of {"setting": a line of mired.conf or null,
 * "reason": why}. -1 without memory. mired accepts the settings, whatever the text is
 * (tests/fuzz/ctl). Pure. */
int import_text(struct buf *text, json_t **lines);

/* Appends those lines in the form of mired.conf. */
int import_render(const json_t *lines, struct buf *out);

#endif
