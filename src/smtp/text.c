/* Octets and words of SMTP's grammars: UTF-8, xtext, words between spaces.
 *
 * Independent of the locale: what a client sends means the same on every machine. Pure functions
 * without state, used in any process. */
#include "smtp/text.h"

#include <stdint.h>

/* Each row: first octet from..to, sequence length, and the range that the second octet must be in;
 * further ones are 80..BF (table 3-7 of the Unicode standard). */
static const struct {
    uint8_t from, to, length, second_from, second_to;
} sequences[] = {
    {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t utf8_length(struct span s)
{
    if (!s.len)
        return 0;
    const uint8_t *o = (const uint8_t *)s.at;
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
        if (o[0] < sequences[i].from || o[0] > sequences[i].to)
            continue;
        size_t n = sequences[i].length;
        if (n > s.len)
            return 0;
        if (n > 1 && (o[1] < sequences[i].second_from || o[1] > sequences[i].second_to))
            return 0;
        for (size_t k = 2; k < n; k++)
            if (o[k] < 0x80 || o[k] > 0xbf)
                return 0;
        return n;
    }
    return 0;
}

size_t text_printable(struct span s)
{
    size_t n = utf8_length(s);
    const uint8_t *o = (const uint8_t *)s.at;
    if (n == 1 && (o[0] < 0x20 || o[0] == 0x7f))
        return 0;
    if (n == 2 && o[0] == 0xc2 && o[1] < 0xa0)
        return 0;
    return n;
}

static bool is_upper_hex(char c)
{
    return text_is_digit(c) || (c >= 'A' && c <= 'F');
}

bool text_is_xtext(struct span s, bool utf8)
{
    while (s.len) {
        size_t n = 1;
        if (s.at[0] == '+') {
            if (s.len < 3 || !is_upper_hex(s.at[1]) || !is_upper_hex(s.at[2]))
                return false;
            n = 3;
        } else if ((uint8_t)s.at[0] >= 0x80) {
            n = utf8 ? text_printable(s) : 0;
        } else if (s.at[0] <= ' ' || s.at[0] == '=' || s.at[0] == 0x7f) {
            n = 0;
        }
        if (!n)
            return false;
        s = span_after(s, n);
    }
    return true;
}

struct span text_word(struct span *rest)
{
    struct span word = span_first(*rest, span_find(*rest, ' '));
    size_t end = word.len;
    while (end < rest->len && rest->at[end] == ' ')
        end++;
    *rest = span_after(*rest, end);
    return word;
}
