/* Base64; see base64.h. The input may come from strangers and may be a password, so no copy of it
 * stays here. */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct span text, void *out, size_t room, size_t *length)
{
    uint8_t *to = out;
    size_t padding = 0;
    uint32_t bits = 0;
    while (padding < 2 && text.len > padding && text.at[text.len - 1 - padding] == '=')
        padding++;
    if (text.len % 4)
        return false;
    *length = 0;
    for (size_t i = 0; i < text.len - padding; i++) {
        int value = value_of(text.at[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        if (*length < room)
            to[*length] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        ++*length;
    }
    return true;
}

size_t base64_encode(struct span octets, char *out)
{
    const uint8_t *in = (const uint8_t *)octets.at;
    char *to = out;

    for (size_t i = 0; i < octets.len; i += 3) {
        size_t n = octets.len - i < 3 ? octets.len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= n > 2 ? in[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            *to++ = (char)(k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=');
    }
    return (size_t)(to - out);
}
