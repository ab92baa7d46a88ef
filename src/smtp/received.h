/* The Received: line that mired puts before a message (RFC 5321 4.4). */
#ifndef MIRED_SMTP_RECEIVED_H
#define MIRED_SMTP_RECEIVED_H

#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct received_from {
    struct span helo; /* as the client said it; may be hostile */
    struct addr client;
    struct span login;          /* to be named as the account that it came by; or empty */
    const char *hostname;       /* ours */
    uint16_t flags;             /* enum smtp_flag of the session: how the message came */
    const char *id;             /* ours, as in the log; an atom */
    struct span only_recipient; /* empty when there are several, because each must not learn of the
                                   others */
};

/* "ESMTPSA" and its kin (RFC 3848, 6531) for a session's flags. Static. */
const char *received_protocol(uint16_t flags);

/* Appends the header line with the time it is (ms since 1970), folded, CRLF at its end; no line of
 * it has more than 998 octets, and nothing that a client chose can end one. 0 or -ENOMEM. */
int received_header(const struct received_from *from, uint64_t wall_ms, struct buf *out);

/* "Tue, 24 Nov 2026 02:03:04 +0000" (RFC 5322 3.3) in text[RECEIVED_DATE], NUL-terminated. */
enum { RECEIVED_DATE = 48 };
const char *received_date(uint64_t wall_ms, char text[RECEIVED_DATE]);

#endif
