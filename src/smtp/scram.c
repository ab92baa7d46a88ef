/* SCRAM's messages; see scram.h. A message is attributes, "k=value", between commas. */
#include "smtp/scram.h"

#include <string.h>

/* The next attribute, up to a comma or the end; *rest is then what follows the comma. */
static struct span next_part(struct span *rest)
{
    size_t comma = span_find(*rest, ',');
    struct span part = span_first(*rest, comma);
    *rest = span_after(*rest, comma + 1);
    return part;
}

/* Whether it is "`key`=..." with a value that is not empty, which *value then is. */
static bool is_attribute(struct span part, char key, struct span *value)
{
    if (part.len < 3 || part.at[0] != key || part.at[1] != '=')
        return false;
    *value = span_after(part, 2);
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < 0x21 || s.at[i] > 0x7e)
            return false;
    return true;
}

static bool is_nonce(struct span s, size_t max)
{
    return s.len > 0 && s.len <= max && is_printable(s);
}

/* The name of a kind of channel binding (RFC 5056 section 7). */
static bool is_binding(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '.' && c != '-')
            return false;
    }
    return s.len > 0;
}

/* Whether the rest of a message has only extensions; we know and need none. */
static bool are_extensions(struct span rest)
{
    while (rest.len) {
        struct span part = next_part(&rest);
        if (part.len < 3 || !is_letter(part.at[0]) || part.at[0] == 'm' || part.at[1] != '=' ||
            memchr(part.at, 0, part.len))
            return false;
    }
    return true;
}

static bool read_header(struct span *rest, struct scram_first *out)
{
    struct span flag = next_part(rest), authzid = next_part(rest);

    if (is_attribute(flag, 'p', &out->binding)) {
        if (!is_binding(out->binding))
            return false;
    } else if (flag.len != 1 || (flag.at[0] != 'n' && flag.at[0] != 'y')) {
        return false;
    }
    out->flag = flag.at[0];
    return !authzid.len || is_attribute(authzid, 'a', &out->authzid);
}

bool scram_read_first(struct span message, struct scram_first *out)
{
    struct span rest = message;

    *out = (struct scram_first){0};
    if (!read_header(&rest, out))
        return false;
    out->header = span_first(message, message.len - rest.len);
    out->bare = rest;
    struct span user = next_part(&rest), nonce = next_part(&rest);
    return is_attribute(user, 'n', &out->user) && is_attribute(nonce, 'r', &out->nonce) &&
           is_nonce(out->nonce, SCRAM_NONCE_MAX) && are_extensions(rest);
}

/* Separates the proof, which is the last attribute, from the signed part before it. */
static bool cut_proof(struct span message, struct scram_final *out)
{
    size_t comma = message.len;

    while (comma > 0 && message.at[comma - 1] != ',')
        comma--;
    if (comma == 0)
        return false;
    out->signed_part = span_first(message, comma - 1);
    return is_attribute(span_after(message, comma), 'p', &out->proof);
}

bool scram_read_final(struct span message, struct scram_final *out)
{
    *out = (struct scram_final){0};
    if (!cut_proof(message, out))
        return false;
    struct span rest = out->signed_part, channel = next_part(&rest), nonce = next_part(&rest);
    return is_attribute(channel, 'c', &out->channel) && is_attribute(nonce, 'r', &out->nonce) &&
           is_nonce(out->nonce, 2 * (size_t)SCRAM_NONCE_MAX) && are_extensions(rest);
}

bool scram_name(struct span name, char *out, size_t room)
{
    size_t n = 0;

    for (; name.len && n + 1 < room; n++) {
        struct span code = span_first(name, 3);
        char c = name.at[0];
        if (span_equal(code, SPAN("=2C")))
            c = ',';
        else if (span_equal(code, SPAN("=3D")))
            c = '=';
        else if (c == '=' || c == 0)
            return false;
        name = span_after(name, name.at[0] == '=' ? 3 : 1);
        out[n] = c;
    }
    out[n] = 0;
    return n > 0 && name.len == 0;
}
