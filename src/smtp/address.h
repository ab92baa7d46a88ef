/* Parses the paths of MAIL and RCPT: mailboxes of RFC 5321 4.1.2, with UTF-8 (RFC 6531) and quoted
 * local parts.
 *
 * Pure, thread-safe, allocates nothing. Spans point into the caller's octets and are valid as long
 * as those. */
#ifndef MIRED_SMTP_ADDRESS_H
#define MIRED_SMTP_ADDRESS_H

#include <stdbool.h>

#include "base/bytes.h"

enum { ADDRESS_MAX = 254 + 2, LOCAL_MAX = 64 * 4, DOMAIN_MAX = 255 };

struct mailbox {
    struct span local;  /* as written, quotes included */
    struct span domain; /* as written; a literal with its brackets; empty only for <postmaster> */
};

enum path_result { PATH_OK, PATH_NULL, PATH_POSTMASTER, PATH_BAD, PATH_NON_ASCII };

/* Reads a path at the start of `text`: "<" [source route ":"] mailbox ">". The route is skipped
 * (RFC 5321 appendix C). *used is the length of the path. PATH_NULL: "<>". PATH_POSTMASTER:
 * "<postmaster>", any case. PATH_NON_ASCII: well formed, but with UTF-8 that needs SMTPUTF8 (box is
 * set). PATH_BAD: not a path (box is not set). A dot at the end of the domain is not in box. */
enum path_result path_parse(struct span text, size_t *used, struct mailbox *box);

/* The same for a mailbox without brackets, as people with telnet, printers and RAID controllers
 * write it. Never returns PATH_NULL or PATH_POSTMASTER. */
enum path_result path_parse_bare(struct span text, size_t *used, struct mailbox *box);

/* Writes the folded form of an address into `out`, NUL-terminated. Directories, partial_delivery
 * and the ledger compare addresses in this form: without unnecessary quotes, the domain in lower
 * case as A-labels (libidn2), the local part with ASCII letters in lower case (for mired, as for
 * most sites, the case of local parts does not matter). Returns its length, or 0 if it does not fit
 * into `room` octets or the domain is not valid (IDNA2008). */
size_t mailbox_fold(const struct mailbox *box, char *out, size_t room);

/* The local part without its tag: everything before the first octet of `delimiters`, which does not
 * count at the very beginning ("user+tag" -> "user"); the whole local part if there is none. */
struct span local_without_tag(struct span local, const char *delimiters);

/* Whether a server behind mired may take the local part (folded or as written) for a route to
 * another domain: joe%evil.test, evil.test!joe, "joe@evil.test". For hosts that they trust, Postfix
 * and sendmail rewrite such an address in their own domains, and send the mail on. */
bool local_is_routing(struct span local);

/* The offset of the last '@' in a folded address; the address's length if there is none. */
size_t address_sign(struct span folded);

#endif
