/* Which allowance an account has (R23): that of `allowance { }`, or its own by a line of its file,
 * "name 500 5000": recipients an hour and a day, 0 for no limit.
 *
 * The file is reread when it changes, with the care of all such files (list_file.h): one with a
 * wrong line, or half written, leaves the earlier version in force. Of two lines for one account
 * the last counts. Used by workers, and by the web process for people. Names are the verifier's
 * own; ASCII case makes no difference. */
#ifndef MIRED_DIRECTORY_ALLOWANCES_H
#define MIRED_DIRECTORY_ALLOWANCES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "tarpit/allowance.h"

enum { ALLOWANCE_NAME_MAX = 255, ALLOWANCES_LOOK_MS = 1000 };

struct allowances;
struct config;

/* Reads the file, if there is one. `confirmed`: see list_file_open(). NULL without memory. */
struct allowances *allowances_open(const struct config *config, bool confirmed);
void allowances_close(struct allowances *a);

/* Looks whether the file has changed; times are ms, monotonic and of the wall clock. To be called
 * every ALLOWANCES_LOOK_MS, or before a question by who does not ask often. */
void allowances_look(struct allowances *a, uint64_t now_ms, uint64_t wall_ms);

/* Whether there is a file, and an earlier version of it is in force because the newest is wrong. */
bool allowances_has_file(const struct allowances *a);
bool allowances_keeps(const struct allowances *a);

/* What an account with that name may do. Logarithmic in the number of lines. */
struct allowance_rules allowances_of(const struct allowances *a, struct span account);

/* Whether any account is limited. */
bool allowances_are_on(const struct allowances *a);

/* The name by which the allowance of `account` is kept: its own, but where a backend checks
 * passwords. A backend does not say what it calls the account, and takes several spellings for one:
 * then it is the name without `recipient_delimiter` and what follows in the local part, and without
 * the domain where `domains` has one only. In `out`, or `account` itself. */
struct span allowances_name(const struct allowances *a, struct span account,
                            char out[ALLOWANCE_NAME_MAX]);

/* Reads a line; false when it is none. *name stands in `line`. */
bool allowance_line(struct span line, struct span *name, uint32_t *per_hour, uint32_t *per_day);

#endif
