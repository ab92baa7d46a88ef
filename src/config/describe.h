/* The schema as text: the values of each key, its default, and its line of help. Pure.
 *
 * `mired --keys` prints it, and the tables of docs/configuration.md are made from it. */
#ifndef MIRED_CONFIG_DESCRIBE_H
#define MIRED_CONFIG_DESCRIBE_H

#include "base/bytes.h"

struct key;

/* Appends the default in the form of mired.conf: "5m", "\"text\""; a default that is not a constant
 * is in parentheses: "(none)", "(the machine's)". */
void describe_default(const struct key *key, struct buf *out);

/* Appends the values that the key can have, with bounds and unit: "1s to 1h", "1 to 256 processes",
 * "text, json". */
void describe_values(const struct key *key, struct buf *out);

/* "reload", or "start": when a change is taken up. */
const char *describe_when(const struct key *key);

/* The keys of a section, the key of that name ("time", "tarpit.time"), or all (NULL), a line each:
 * KEY or SECTION.KEY, default, values, when, help; tabs between them. 0, -ENOENT when there is none,
 * or -ENOMEM. */
int config_describe(const char *of, struct buf *out);

#endif
