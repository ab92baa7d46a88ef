/* Lists of addresses that people write: files of recipients, `traps`.
 *
 * Lines are validated before they are folded: a line is good only if all of it is one address (or,
 * where that is allowed, @domain). "alice@example.org OK", a line of CSV and
 * "smtp:alice@example.org" would fold to addresses that no mail is ever sent to, and every
 * recipient on such a list would be unknown. Pure; any process. */
#ifndef MIRED_SMTP_ADDRESS_LIST_H
#define MIRED_SMTP_ADDRESS_LIST_H

#include <stdbool.h>

#include "base/bytes.h"

/* Removes a UTF-8 byte order mark from *text, and returns NULL. If the text is in UTF-16 or UTF-32,
 * or has NUL octets, returns a message that says so and what would be right (static). */
const char *list_begin(struct span *text);

/* The next line that is neither empty nor a comment, trimmed; *number counts lines from 1. LF and
 * CRLF end a line. False at the end. */
bool list_next(struct span *rest, unsigned *number, struct span *line);

/* Folds a whole line into `out` (mailbox_fold()): an address, or "@domain" if `domains` allows
 * that. Returns its length; or 0, and sets *right to a message that says what would be right. */
size_t list_address(struct span line, bool domains, char *out, size_t room, const char **right);

#endif
