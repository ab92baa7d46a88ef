/* What every reply on the wire must be (RFC 5321 4.2.1): for unit tests and fuzzers. */
#ifndef MIRED_TEST_WIRE_H
#define MIRED_TEST_WIRE_H

#include <string.h>

#include "smtp/reply.h"
#include "smtp/text.h"

/* NULL when `s` is one whole reply: lines of CODE-text CRLF with one code and "-" on all but the
 * last, printable, of at most 512 octets, 50 lines. Else what is wrong with it. */
static inline const char *wire_fault(struct span s)
{
    struct span code = span_first(s, 3);
    size_t lines = 0;
    if (code.len < 3 || code.at[0] < '2' || code.at[0] > '5')
        return "no code";
    while (s.len) {
        size_t lf = span_find(s, '\n');
        struct span line = span_first(s, lf + 1);
        if (lf == s.len || line.len < 6 || line.at[line.len - 2] != '\r')
            return "no CRLF";
        s = span_after(s, line.len);
        if (line.len > REPLY_LINE_MAX || ++lines > REPLY_LINES_MAX)
            return "too long";
        if (memcmp(line.at, code.at, 3) || line.at[3] != (s.len ? '-' : ' '))
            return "another code, or more behind the last line";
        for (struct span rest = span_first(line, line.len - 2); rest.len;) {
            size_t n = text_printable(rest);
            if (!n)
                return "not printable";
            rest = span_after(rest, n);
        }
    }
    return NULL;
}

#endif
