/* The hash that recognises a retry; see sameness.h. The header goes into two hashes, one of them
 * without the fields that servers add in transit. At its end one of the two is chosen and goes on
 * alone, so the body is hashed once. DKIM's signatures go into a third one. */
#include "smtp/sameness.h"

#include <string.h>

enum {
    SAMENESS_NAME,     /* at a line's start, or within a field's name */
    SAMENESS_REST,     /* after the name, up to the end of the line */
    SAMENESS_LINE_END, /* after the end of a line; the next octet may continue the field */
    SAMENESS_BODY
};

static bool is_trace(struct span name)
{
    static const char *const trace[] = {"Received",
                                        "X-Received",
                                        "Received-SPF",
                                        "Return-Path",
                                        "Delivered-To",
                                        "Authentication-Results",
                                        "DKIM-Signature",
                                        "X-Google-DKIM-Signature",
                                        "ARC-Seal",
                                        "ARC-Message-Signature",
                                        "ARC-Authentication-Results"};

    for (size_t i = 0; i < sizeof trace / sizeof *trace; i++)
        if (span_equal_fold(name, span_of(trace[i])))
            return true;
    return false;
}

void sameness_start(struct sameness *s, const struct sipkey *key)
{
    *s = (struct sameness){.state = SAMENESS_LINE_END};
    siphash_start(&s->all, key);
    siphash_start(&s->kept, key);
    siphash_start(&s->signatures, key);
}

/* The name is complete, and `end` is the octet behind it: decides whether the field counts. What has
 * no colon at once is no field: to some servers the body begins there, so it is text that people
 * read, whatever its first word is. */
static void name_is_whole(struct sameness *s, char end)
{
    struct span name = {s->name, s->len};
    bool field = end == ':';

    s->trace = field && is_trace(name);
    s->id = span_equal_fold(name, SPAN("Message-ID"));
    s->signature = field && span_equal_fold(name, SPAN("DKIM-Signature"));
    s->is_signed |= s->signature;
    if (s->signature)
        siphash_add(&s->signatures, s->name, s->len);
    if (!s->trace)
        siphash_add(&s->kept, s->name, s->len);
    s->len = 0;
    s->state = SAMENESS_REST;
}

static void header_is_over(struct sameness *s)
{
    if (s->named)
        s->all = s->kept;
    s->state = SAMENESS_BODY;
}

/* Takes an octet of a field's name; false if it belongs to the rest of the line. */
static bool take_name(struct sameness *s, char c)
{
    if (s->len == SAMENESS_NAME_MAX || c == ':' || c == ' ' || c == '\t') {
        name_is_whole(s, c);
        return false;
    }
    if (c == '\n') { /* an empty line ends the header */
        bool empty = s->len == 0 || (s->len == 1 && s->name[0] == '\r');
        name_is_whole(s, c);
        if (empty)
            header_is_over(s);
        return false;
    }
    s->name[s->len++] = c;
    return true;
}

static void take_rest(struct sameness *s, struct span line)
{
    if (s->id && memchr(line.at, '<', line.len))
        s->named = true;
    if (s->signature)
        siphash_add(&s->signatures, line.at, line.len);
    if (!s->trace)
        siphash_add(&s->kept, line.at, line.len);
}

/* Scans octets of the header, and returns how many they are. */
static size_t scan(struct sameness *s, struct span in)
{
    size_t at = 0;

    while (at < in.len && s->state != SAMENESS_BODY) {
        char c = in.at[at];
        if (s->state == SAMENESS_LINE_END) /* a folded line belongs to the field before it */
            s->state = c == ' ' || c == '\t' ? SAMENESS_REST : SAMENESS_NAME;
        if (s->state == SAMENESS_NAME) {
            at += take_name(s, c);
            continue;
        }
        struct span rest = span_after(in, at);
        size_t end = span_find(rest, '\n');
        struct span line = span_first(rest, end + (end < rest.len));
        take_rest(s, line);
        at += line.len;
        if (end < rest.len)
            s->state = SAMENESS_LINE_END;
    }
    return at;
}

void sameness_add(struct sameness *s, struct span octets)
{
    if (s->state != SAMENESS_BODY) {
        size_t n = scan(s, octets);
        if (s->state != SAMENESS_BODY || !s->named)
            siphash_add(&s->all, octets.at, n);
        octets = span_after(octets, n);
    }
    if (octets.len)
        siphash_add(&s->all, octets.at, octets.len);
}

uint64_t sameness_end(const struct sameness *s)
{
    struct sameness copy = *s;

    if (copy.state != SAMENESS_BODY) {
        if (copy.state == SAMENESS_NAME)
            name_is_whole(&copy, '\0');
        header_is_over(&copy);
    }
    return siphash_end(&copy.all);
}

uint64_t sameness_signatures(const struct sameness *s)
{
    struct siphash copy = s->signatures;
    uint64_t hash = siphash_end(&copy);

    return !s->is_signed ? 0 : hash ? hash : 1;
}

bool sameness_is_named(const struct sameness *s)
{
    return s->named;
}
