/* Lists of addresses as people write them: files of recipients, `traps`.
 *
 * Validation is not folding: a line counts only when all of it is one address (or, where that is
 * allowed, @domain). "alice@example.org OK", a line of CSV and "smtp:alice@example.org" would fold
 * to something that no mail is ever for, and every recipient on such a list would be unknown. Pure;
 * any process. */
#ifndef MIRED_SMTP_ADDRESS_LIST_H
#define MIRED_SMTP_ADDRESS_LIST_H

#include <stdbool.h>

#include "base/bytes.h"

/* Takes a mark of UTF-8 (BOM) off *text. NULL; or what the text is and what would be right, when it
 * is no text of one octet a letter (UTF-16, UTF-32, NUL octets). */
const char *list_begin(struct span *text);

/* The next line that is neither empty nor a comment, trimmed; *number counts lines from 1. LF and
 * CRLF end a line. False at the end. */
bool list_next(struct span *rest, unsigned *number, struct span *line);

/* Folds a whole line into out (mailbox_fold): an address, or "@domain" where `domains`. Returns its
 * length, or 0 and in *right what would be right. */
size_t list_address(struct span line, bool domains, char *out, size_t room, const char **right);

#endif
