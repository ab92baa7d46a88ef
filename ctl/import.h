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

/* UTF-16 with a byte order mark becomes ASCII (characters beyond it become "?"), the mark of UTF-8
 * goes, and CRLF becomes LF. import_text() does it itself. */
void import_flatten(struct buf *text);

/* A table with columns, of addresses (Export-Csv, csvde). import_is_table() says whether the text
 * is one, by its first line. import_table() collects the addresses, for a file of recipients;
 * false: the table is cut off or not in order at `wrong_line`, and nothing of it may be used. The
 * caller frees `addresses` (json_decref()), an object whose keys they are. The text is as
 * import_flatten() leaves it. Pure. */
struct import_recipients {
    json_t *addresses;
    unsigned skipped;  /* entries that are no address, or one that mired does not accept */
    unsigned disabled; /* accounts */
    unsigned wrong_line;
};
bool import_is_table(struct span text);
bool import_table(struct span text, struct import_recipients *out);

/* Appends those lines in the form of mired.conf. */
int import_render(const json_t *lines, struct buf *out);

#endif
