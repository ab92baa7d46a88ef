/* The allowance of each account (R23): that of `allowance { }`, or that of the account's line in
 * the file, "name 500 5000": recipients an hour and a day, 0 for no limit.
 *
 * The file is reread when it changes, like all such files (list_file.h): if it has a wrong line or
 * is half written, the earlier version stays in use. If an account has two lines, the last one
 * counts. Used by workers, and by the web process for reports. Names are the verifier's own; ASCII
 * case does not matter. */
#ifndef MIRED_DIRECTORY_ALLOWANCES_H
#define MIRED_DIRECTORY_ALLOWANCES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "directory/list_file.h"
#include "tarpit/allowance.h"

enum { ALLOWANCE_NAME_MAX = 255, ALLOWANCES_LOOK_MS = 1000 };

struct allowances;
struct config;

/* Reads the file, if there is one. `how` and `confirmed`: see list_file_open(). NULL without memory. */
struct allowances *allowances_open(const struct config *config, enum list_copy how, bool confirmed);
void allowances_close(struct allowances *a);

/* Checks whether the file has changed; times are ms, monotonic and of the wall clock. Call it every
 * ALLOWANCES_LOOK_MS, or before each rare look-up. */
void allowances_look(struct allowances *a, uint64_t now_ms, uint64_t wall_ms);

/* Whether there is a file; and whether an earlier version of it is in use because the newest is
 * wrong. */
bool allowances_has_file(const struct allowances *a);
bool allowances_keeps(const struct allowances *a);

/* The allowance of an account with that name. Logarithmic in the number of lines. */
struct allowance_rules allowances_of(const struct allowances *a, struct span account);

/* Whether any account is limited. */
bool allowances_are_on(const struct allowances *a);

/* The name under which the allowance of `account` is counted. Usually it is `account` itself. A
 * backend that checks passwords does not say its own name for the account, and accepts several
 * spellings. Then the name is without `recipient_delimiter` and what follows in the local part, and
 * without the domain if `domains` has only one. The result is in `out`, or `account` itself. */
struct span allowances_name(const struct allowances *a, struct span account,
                            char out[ALLOWANCE_NAME_MAX]);

/* Parses a line; false if it is not valid. *name points into `line`. */
bool allowance_line(struct span line, struct span *name, uint32_t *per_hour, uint32_t *per_day);

#endif
