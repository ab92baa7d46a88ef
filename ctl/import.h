/* `mirectl import`: settings of other mail servers as lines of mired.conf, each with its reason. */
#ifndef MIRED_CTL_IMPORT_H
#define MIRED_CTL_IMPORT_H

#include <jansson.h>

#include "base/bytes.h"
#include "options.h"

/* Reads the file ("-": standard input) and prints the lines, reasons as comments. An exit status: 1
 * when nothing in it was understood or it cannot be read. */
int import_file(const struct options *o, const char *path);

/* The same of a text in memory, which is changed: how many of its settings were understood, and in
 * *lines (the caller's) an array of {"setting": a line of mired.conf or null, "reason": why}. -1
 * without memory. Whatever the text is, mired takes the settings (tests/fuzz/ctl). Pure. */
int import_text(struct buf *text, json_t **lines);

/* Those lines as mired.conf. */
int import_render(const json_t *lines, struct buf *out);

#endif
