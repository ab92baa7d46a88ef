/* Finds out what a line of the log is about, for `mirectl log`. Pure; in the web process. */
#ifndef MIRED_CONTROL_LOG_FIND_H
#define MIRED_CONTROL_LOG_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* The search term: an address of a client, a sender or a recipient, a domain, an account, or an
 * id. */
struct log_wanted {
    char text[600];    /* in the form of JSON lines: UTF-8 */
    char escaped[600]; /* in the form of text lines: non-ASCII octets as \xHH */
};

/* False when it is empty or too long. An IPv6 address may be written in any form. */
bool log_want(struct log_wanted *w, struct span wanted);

/* Whether the line has the term as a whole word: "bob@a.test" is not in "jbob@a.test", "192.0.2.1"
 * is not in "192.0.2.10", but "a.test" is in "bob@a.test". Case does not matter. */
bool log_mentions(struct span line, const struct log_wanted *wanted);

/* The value of a field as written, without quotes; empty if there is none. A client's words are
 * within quotes, so no client can add a field. */
struct span log_value(struct span line, const char *key);

/* The id of the line's session, from its `id` field, text or JSON: "k3v9x2m7qf" from
 * "k3v9x2m7qf-1c9a". Empty if it has none. */
struct span log_session(struct span line);

#endif
