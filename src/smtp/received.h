/* The Received: line that mired puts before a message (RFC 5321 4.4). */
#ifndef MIRED_SMTP_RECEIVED_H
#define MIRED_SMTP_RECEIVED_H

#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct received_from {
    struct span helo; /* as the client sent it; may be hostile */
    struct addr client;
    struct span login;          /* the account to name, or empty */
    const char *hostname;       /* ours */
    uint16_t flags;             /* enum smtp_flag of the session: how the message came */
    const char *id;             /* ours, as in the log; an atom */
    struct span only_recipient; /* empty if there are several, which must not learn of each other */
};

/* "ESMTPSA" and its kin (RFC 3848, 6531) for a session's flags. Static. */
const char *received_protocol(uint16_t flags);

/* Appends the header field with the time `wall_ms` (ms since 1970), folded, with CRLF at its end.
 * No line has more than 998 octets, and no text from a client can end a line. Returns 0 or
 * -ENOMEM. */
int received_header(const struct received_from *from, uint64_t wall_ms, struct buf *out);

/* "Tue, 24 Nov 2026 02:03:04 +0000" (RFC 5322 3.3) in text[RECEIVED_DATE], NUL-terminated. */
enum { RECEIVED_DATE = 48 };
const char *received_date(uint64_t wall_ms, char text[RECEIVED_DATE]);

#endif
