/* Names on disk: what a client wrote becomes one path component, and no more than one.
 *
 * A local part may hold nearly any octet (RFC 5321 quoted strings, RFC 6531 UTF-8), and a file
 * system gives meaning to some of them. Instead of looking for what is dangerous, folder_name()
 * passes what is known to be harmless and percent-escapes the rest, '%' included, so that two
 * addresses never share a folder. Octets above 127 pass, because they are letters to readers of the
 * folder.
 *
 * Runs in the store; knows no files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/siphash.h"
#include "store/folder.h"

enum {
    NAME_LIMIT = 200, /* leaves room for what other programs append, within the kernel's 255 */
    NAME_KEPT = 160,  /* of an over-long name, before its hash */
};

static bool is_harmless(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c >= 0x80 || (c != 0 && strchr(".-_+=~!#$&'*^{}", c));
}

/* Collisions in 128 bits are infeasible even for an attacker that knows these keys; they must not
 * change, because existing folders are named by them. */
static size_t append_hash(struct span part, char *out, size_t room)
{
    static const struct sipkey first = {0x6d697265642d6d61, 0x696c646972000001};
    static const struct sipkey second = {0x6d697265642d6d61, 0x696c646972000002};
    return (size_t)snprintf(out, room, "%%~%016" PRIx64 "%016" PRIx64,
                            siphash(&first, part.at, part.len),
                            siphash(&second, part.at, part.len));
}

size_t folder_name(struct span part, char out[FOLDER_NAME])
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0, kept = 0;
    for (size_t i = 0; i < part.len && len <= NAME_LIMIT; i++) {
        unsigned char c = (unsigned char)part.at[i];
        if (len <= NAME_KEPT)
            kept = len;
        if (is_harmless(c) && !(i == 0 && c == '.')) {
            out[len++] = (char)c;
        } else {
            out[len++] = '%';
            out[len++] = hex[c >> 4];
            out[len++] = hex[c & 15];
        }
    }
    if (len > NAME_LIMIT)
        len = kept + append_hash(part, out + kept, FOLDER_NAME - kept);
    if (len == 0)
        out[len++] = '%';
    out[len] = 0;
    return len;
}

void message_name(uint64_t wall_us, int pid, uint32_t count, const char *host,
                  char out[MESSAGE_NAME])
{
    int len = snprintf(out, MESSAGE_NAME, "%" PRIu64 ".M%06uP%dQ%" PRIu32 ".", wall_us / 1000000,
                       (unsigned)(wall_us % 1000000), pid, count);
    size_t at = (size_t)len;
    for (; *host && at < NAME_LIMIT; host++) {
        if (*host == '/' || *host == ':')
            at += (size_t)snprintf(out + at, MESSAGE_NAME - at, "\\%03o", (unsigned)*host);
        else
            out[at++] = *host;
    }
    out[at] = 0;
}
