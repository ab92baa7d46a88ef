/* What several files of this room ask of single octets and words. Pure. */
#ifndef MIRED_SMTP_TEXT_H
#define MIRED_SMTP_TEXT_H

#include <stdbool.h>

#include "base/bytes.h"

/* Octets of the well-formed UTF-8 sequence that `s` begins with (RFC 3629: no overlong forms, no
 * surrogates); 0 when there is none. */
size_t utf8_length(struct span s);

/* The same, and 0 for control characters too (C0, DEL, C1): what may be shown to a person. */
size_t text_printable(struct span s);

bool text_is_alnum(char c);
bool text_is_digit(char c);
char text_lower(char c);

/* xtext of RFC 3461: printable ASCII but '+' and '=', and "+" with two upper-case hex digits.
 * `utf8`: UTF-8 may stand in it too (RFC 6533). Empty is well formed. */
bool text_is_xtext(struct span s, bool utf8);

/* Takes the first word (up to a space) and the spaces behind it off *rest; empty at the end. */
struct span text_word(struct span *rest);

#endif
