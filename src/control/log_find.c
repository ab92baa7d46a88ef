/* Finds words and fields in lines of the log; see log_find.h. Lines come from log.c, which has
 * escaped what clients said; nothing is changed here. */
#include "control/log_find.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"

/* ---- words ---- */

bool log_want(struct log_wanted *w, struct span wanted)
{
    char canonical[ADDR_TEXT];
    struct addr a;
    size_t n = 0;

    if (addr_parse(wanted, &a)) { /* as lines have it */
        a = addr_of_peer(&a);
        wanted = span_of(addr_format(&a, canonical));
    }
    if (wanted.len > 2 && wanted.at[0] == '<' && wanted.at[wanted.len - 1] == '>')
        wanted = (struct span){wanted.at + 1, wanted.len - 2};
    /* a word ends at a NUL, and no line has one */
    if (wanted.len == 0 || wanted.len * 4 >= sizeof w->escaped || memchr(wanted.at, 0, wanted.len))
        return false;
    memcpy(w->text, wanted.at, wanted.len);
    w->text[wanted.len] = '\0';
    for (size_t i = 0; i < wanted.len; i++) {
        unsigned char c = (unsigned char)wanted.at[i];
        n +=
            (size_t)snprintf(w->escaped + n, sizeof w->escaped - n, c < 0x80 ? "%c" : "\\x%02x", c);
    }
    return true;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c & 0x80;
}

/* Octets that belong to a longer address if they come before, or after. */
static bool joins_before(char c)
{
    return is_alnum(c) || (c && strchr(".-_+:%", c));
}

static bool joins_after(char c)
{
    return is_alnum(c) || (c && strchr("._@:", c));
}

static bool has_word(struct span line, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= line.len; i++) {
        if (strncasecmp(line.at + i, word, len) != 0)
            continue;
        char before = i ? line.at[i - 1] : ' ';
        char after = i + len < line.len ? line.at[i + len] : ' ';
        /* "id":"..." and quoted text end in a quote; \" before it is not part of the word */
        if (!joins_before(before) && !joins_after(after))
            return true;
    }
    return false;
}

bool log_mentions(struct span line, const struct log_wanted *wanted)
{
    return has_word(line, wanted->text) ||
           (strcmp(wanted->text, wanted->escaped) != 0 && has_word(line, wanted->escaped));
}

/* ---- fields ---- */

/* The value from `at` up to its closing quote, or to a blank. */
static struct span value_at(struct span line, size_t at)
{
    bool quoted = at < line.len && line.at[at] == '"';
    size_t begin = at + quoted, end = begin;

    while (end < line.len && line.at[end] != (quoted ? '"' : ' ') &&
           !(line.at[0] == '{' && !quoted && strchr(",}", line.at[end])))
        end += line.at[end] == '\\' && end + 1 < line.len ? 2 : 1;
    return (struct span){line.at + begin, end - begin};
}

static bool is_key(struct span line, size_t at, const char *key, bool json)
{
    size_t len = strlen(key), extra = json ? 2 : 0; /* the quotes */

    if (at + len + extra + 1 > line.len)
        return false;
    return json ? line.at[at] == '"' && memcmp(line.at + at + 1, key, len) == 0 &&
                      memcmp(line.at + at + 1 + len, "\":", 2) == 0
                : memcmp(line.at + at, key, len) == 0 && line.at[at + len] == '=';
}

struct span log_value(struct span line, const char *key)
{
    const bool json = line.len && line.at[0] == '{';
    bool quoted = false;

    for (size_t i = 0; i < line.len; i++) {
        if (line.at[i] == '\\') {
            i++;
            continue;
        }
        bool begins = i == 0 || line.at[i - 1] == (json ? ',' : ' ') || line.at[i - 1] == '{';
        if (!quoted && begins && is_key(line, i, key, json))
            return value_at(line, i + strlen(key) + (json ? 3 : 1));
        if (line.at[i] == '"')
            quoted = !quoted;
    }
    return (struct span){0};
}

struct span log_session(struct span line)
{
    struct span id = log_value(line, "id");
    return span_first(id, span_find(id, '-'));
}
