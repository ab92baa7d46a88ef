/* The schema as text: what each key takes, its default, and its line of help.
 *
 * `mired --keys` prints it, and the tables of docs/configuration.md have its cells. */
#ifndef MIRED_CONFIG_DESCRIBE_H
#define MIRED_CONFIG_DESCRIBE_H

#include "base/bytes.h"

struct key;

/* The default as mired.conf would have it: "5m", "\"text\""; a default that is no constant stands
 * in parentheses: "(none)", "(the machine's)". */
void describe_default(const struct key *key, struct buf *out);

/* The values that the key takes, with bounds and unit: "1s to 1h", "1 to 256 processes", "text,
 * json". */
void describe_values(const struct key *key, struct buf *out);

/* "reload", or "start": when a change is taken up. */
const char *describe_when(const struct key *key);

/* All keys, a line each: KEY or SECTION.KEY, default, values, when, help; tabs between them. 0 or
 * -ENOMEM. */
int config_describe(struct buf *out);

#endif
