/* Functions for single octets and words that several files of this room need. Pure. */
#ifndef MIRED_SMTP_TEXT_H
#define MIRED_SMTP_TEXT_H

#include <stdbool.h>

#include "base/bytes.h"

/* Octets of the well-formed UTF-8 sequence that `s` begins with (RFC 3629: no overlong forms, no
 * surrogates); 0 when there is none. */
size_t utf8_length(struct span s);

/* The same, but 0 for control characters too (C0, DEL, C1), which must not be shown to a person. */
size_t text_printable(struct span s);

/* ASCII, never the locale's. */
static inline bool text_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool text_is_alnum(char c)
{
    return text_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline char text_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* xtext of RFC 3461: printable ASCII but '+' and '=', and "+" with two upper-case hex digits.
 * `utf8`: UTF-8 is allowed too (RFC 6533). Empty is well formed. */
bool text_is_xtext(struct span s, bool utf8);

/* Takes the first word (up to a space) and the spaces after it from *rest; empty at the end. */
struct span text_word(struct span *rest);

#endif
