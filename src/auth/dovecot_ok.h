/* What Dovecot's "OK" allows: the password may be right, and the account may still not log in here.
 * Private to src/auth. */
#ifndef MIRED_AUTH_DOVECOT_OK_H
#define MIRED_AUTH_DOVECOT_OK_H

#include <stdint.h>

#include "query/query.h"

enum { DOVECOT_TELL_MS = 60000 }; /* between two log lines with one cause */

/* When warnings were logged last, ms; all zero at first. */
struct dovecot_ok {
    uint64_t barred_ms, proxied_ms;
};

/* The result of a login to which a whole line said "OK": YES; NO if the account may not log in; LATER
 * if another server logs it in, and may be the one that checks the password. Warns of the latter two,
 * each once in DOVECOT_TELL_MS. */
enum answer_result dovecot_ok_result(struct dovecot_ok *o, const char *path, const char *line,
                                     uint64_t now);

#endif
