/* Mailboxes of RFC 5321 4.1.2 (with RFC 6531 and quoted local parts), as paths in MAIL and RCPT.
 *
 * Pure; spans point into the caller's octets. */
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
 * (RFC 5321 appendix C). *used tells how far it went. PATH_NULL: "<>". PATH_POSTMASTER:
 * "<postmaster>", any case. PATH_NON_ASCII: well formed, and holds UTF-8 that needs SMTPUTF8 (box
 * is set). A domain's last dot is not in box. */
enum path_result path_parse(struct span text, size_t *used, struct mailbox *box);

/* The same for a mailbox that stands there without brackets, as telnet users, printers and RAID
 * controllers write it; never PATH_NULL or PATH_POSTMASTER. */
enum path_result path_parse_bare(struct span text, size_t *used, struct mailbox *box);

/* Writes the one form by which directories, partial_delivery and the ledger know an address into
 * out: quotes that are not needed removed, the domain in lower case as A-labels (libidn2), the
 * local part ASCII-folded to lower case (mired treats local parts as most sites do: case does not
 * matter). Returns its length, or 0 when it does not fit or the domain is no domain. out is
 * NUL-terminated. */
size_t mailbox_fold(const struct mailbox *box, char *out, size_t room);

/* The local part without its tag: up to the first octet of `delimiters` that is not the first octet
 * of all ("user+tag" -> "user"); the whole of it when there is none. */
struct span local_without_tag(struct span local, const char *delimiters);

/* Whether a server behind may read a route to somewhere else in the local part (folded or as
 * written): joe%evil.test, evil.test!joe, "joe@evil.test". Postfix and sendmail rewrite such an
 * address of a domain of theirs, and send the mail on for hosts that they trust. */
bool local_is_routing(struct span local);

/* Where the last '@' of a folded address stands; its length when there is none. */
size_t address_sign(struct span folded);

#endif
