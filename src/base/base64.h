/* Base64 (RFC 4648 section 4): with padding, without line breaks; any other character is an error.
 * Pure. */
#ifndef MIRED_BASE_BASE64_H
#define MIRED_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

/* The encoded length of `n` octets. */
#define BASE64_LEN(n) (((size_t)(n) + 2) / 3 * 4)

/* Decodes, stores the first `room` octets and sets *length to the number of all decoded octets.
 * False when `text` is not base64. */
bool base64_decode(struct span text, void *out, size_t room, size_t *length);

/* Writes BASE64_LEN(octets.len) characters, without NUL, and returns how many. */
size_t base64_encode(struct span octets, char *out);

#endif
