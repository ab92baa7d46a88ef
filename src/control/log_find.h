/* What a line of the log is about, for `mirectl log`. Pure; in the web process. */
#ifndef MIRED_CONTROL_LOG_FIND_H
#define MIRED_CONTROL_LOG_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* What is looked for: an address of a client, a sender or a recipient, a domain, an account, an id.
 */
struct log_wanted {
    char text[600];    /* as JSON lines write it: UTF-8 */
    char escaped[600]; /* as text lines write it: other octets than ASCII as \xHH */
};

/* False when it is empty or too long. An IPv6 address may be written in any form. */
bool log_want(struct log_wanted *w, struct span wanted);

/* Whether the line has it as a whole word: "bob@a.test" is not in "jbob@a.test", "192.0.2.1" not in
 * "192.0.2.10", but "a.test" is in "bob@a.test". Capital letters make no difference. */
bool log_mentions(struct span line, const struct log_wanted *wanted);

/* The value of a field as it is written, without quotes; empty: there is none. What a client has
 * said is within quotes, so no client can write a field. */
struct span log_value(struct span line, const char *key);

/* The session that the line is of, out of its `id` field, text or JSON: "k3v9x2m7qf" of
 * "k3v9x2m7qf-1c9a". Empty: of none. */
struct span log_session(struct span line);

#endif
