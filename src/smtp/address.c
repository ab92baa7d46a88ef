/* The grammar of paths and mailboxes (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3), and the one folded form
 * of an address.
 *
 * Parsing reads the client's octets in place and copies nothing. It is more lenient than the
 * grammar in four points, because real senders need it: '_' is allowed in domains, local parts may
 * be longer than 64 octets (RFC 5321 4.5.3.1.1 asks for it), within the length of a path, their
 * dots may stand anywhere (mobile carriers have given out user..name@ and user.@), and a domain may
 * end in a dot. Folding uses libidn2. Pure; in workers, clerks and tests. */
#include "smtp/address.h"

#include <idn2.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "smtp/text.h"

enum { LABEL_MAX = 63 };

static bool is_atom_char(char c)
{
    return text_is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_domain_char(char c)
{
    return text_is_alnum(c) || c == '-' || c == '_';
}

/* The length of the first character of `s` if it is a UTF-8 sequence beyond ASCII, or an ASCII
 * character for which `allowed` is true; else 0. */
static size_t character(struct span s, bool (*allowed)(char))
{
    if (!s.len)
        return 0;
    if ((uint8_t)s.at[0] < 0x80)
        return allowed(s.at[0]);
    return text_printable(s);
}

/* atom *("." atom): its length at the start of `s`; 0 if there is none, or a dot is in a wrong
 * place. */
static size_t dot_string(struct span s, bool (*allowed)(char), size_t atom_max)
{
    size_t at = 0;
    for (;;) {
        size_t atom = 0, n;
        while ((n = character(span_after(s, at + atom), allowed)))
            atom += n;
        if (!atom || atom > atom_max)
            return 0;
        at += atom;
        if (at == s.len || s.at[at] != '.')
            return at;
        at++;
    }
}

/* Characters of atoms and dots, in any order: their number at the start of `s`; 0 if there are only
 * dots. */
static size_t loose_dots(struct span s)
{
    size_t at = 0, n = 1, dots = 0;

    while (n && at < s.len) {
        n = s.at[at] == '.' ? 1 : character(span_after(s, at), is_atom_char);
        dots += s.at[at] == '.';
        at += n;
    }
    return dots < at ? at : 0;
}

/* DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE: its length with the quotes; 0 if there is none. */
static size_t quoted_string(struct span s)
{
    if (!s.len || s.at[0] != '"')
        return 0;
    for (size_t at = 1; at < s.len;) {
        if (s.at[at] == '"')
            return at + 1;
        if (s.at[at] == '\\' && ++at < s.len && (uint8_t)s.at[at] >= 0x80)
            return 0;
        size_t n = text_printable(span_after(s, at));
        if (!n)
            return 0;
        at += n;
    }
    return 0;
}

/* "[" ... "]" as in RFC 5321 4.1.3: its length; 0 if there is none. */
static size_t literal(struct span s)
{
    size_t end = span_find(s, ']');
    if (!s.len || s.at[0] != '[' || end == s.len)
        return 0;
    struct span inner = {s.at + 1, end - 1};
    struct addr a;
    if (span_starts_fold(inner, SPAN("IPv6:"))) {
        struct span address = span_after(inner, 5);
        return memchr(address.at, ':', address.len) && addr_parse(address, &a) ? end + 1 : 0;
    }
    if (span_find(inner, ':') == inner.len)
        return addr_parse(inner, &a) ? end + 1 : 0;
    /* General-address-literal: tag ":" 1*dcontent */
    size_t tag = span_find(inner, ':');
    if (!tag || tag + 1 == inner.len)
        return 0;
    for (size_t i = 0; i < inner.len; i++) {
        char c = inner.at[i];
        bool fits =
            i < tag ? text_is_alnum(c) || c == '-' : c > ' ' && c < 0x7f && !strchr("[\\", c);
        if (!fits)
            return 0;
    }
    return end + 1;
}

/* The length of a domain name. No label begins or ends with '-', and no ASCII label is too long
 * (libidn2 checks the others). */
static size_t domain_name(struct span s)
{
    size_t length = dot_string(s, is_domain_char, DOMAIN_MAX);
    struct span rest = span_first(s, length);
    while (rest.len) {
        struct span label = span_first(rest, span_find(rest, '.'));
        if (label.at[0] == '-' || label.at[label.len - 1] == '-')
            return 0;
        if (label.len > LABEL_MAX && (uint8_t)label.at[0] < 0x80)
            return 0;
        rest = span_after(rest, label.len + 1);
    }
    return length <= DOMAIN_MAX ? length : 0;
}

static size_t domain(struct span s)
{
    return s.len && s.at[0] == '[' ? literal(s) : domain_name(s);
}

/* "@" domain *("," "@" domain) ":", which is accepted and ignored: its length; 0 if there is none,
 * s.len + 1 if something else begins with '@'. */
static size_t source_route(struct span s)
{
    size_t at = 0;
    while (at < s.len && s.at[at] == '@') {
        size_t n = domain(span_after(s, at + 1));
        at += 1 + n;
        if (!n || at == s.len || (s.at[at] != ',' && s.at[at] != ':'))
            return s.len + 1;
        if (s.at[at++] == ':')
            return at;
    }
    return at ? s.len + 1 : 0;
}

static bool has_utf8(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.at[i] >= 0x80)
            return true;
    return false;
}

static size_t local_part(struct span s)
{
    size_t n = s.len && s.at[0] == '"' ? quoted_string(s) : loose_dots(s);
    return n <= LOCAL_MAX ? n : 0;
}

/* A domain with a dot at its end: its length without that dot, or 0. */
static size_t rooted_domain(struct span s)
{
    size_t end = 0;

    while (end < s.len && s.at[end] != '>' && s.at[end] != ' ')
        end++;
    if (end < 2 || s.at[end - 1] != '.' || domain_name(span_first(s, end - 1)) != end - 1)
        return 0;
    return end - 1;
}

static enum path_result mailbox_parse(struct span s, size_t *used, struct mailbox *box)
{
    box->local = span_first(s, local_part(s));
    struct span rest = span_after(s, box->local.len);
    if (!box->local.len || !rest.len)
        return PATH_BAD;
    if (rest.at[0] == '>') {
        box->domain = span_first(rest, 0);
        *used = box->local.len;
        return span_equal_fold(box->local, SPAN("postmaster")) ? PATH_POSTMASTER : PATH_BAD;
    }
    if (rest.at[0] != '@')
        return PATH_BAD;
    rest = span_after(rest, 1);
    size_t rooted = rooted_domain(rest);
    box->domain = span_first(rest, rooted ? rooted : domain(rest));
    *used = box->local.len + 1 + box->domain.len + (rooted != 0);
    if (!box->domain.len || *used > ADDRESS_MAX - 2)
        return PATH_BAD;
    return has_utf8(box->local) || has_utf8(box->domain) ? PATH_NON_ASCII : PATH_OK;
}

enum path_result path_parse(struct span text, size_t *used, struct mailbox *box)
{
    *used = 0;
    *box = (struct mailbox){0};
    if (!text.len || text.at[0] != '<')
        return PATH_BAD;
    if (text.len > 1 && text.at[1] == '>') {
        *used = 2;
        return PATH_NULL;
    }
    size_t at = 1 + source_route(span_after(text, 1));
    size_t length = 0;
    enum path_result result = mailbox_parse(span_after(text, at), &length, box);
    if (result == PATH_BAD || at + length >= text.len || text.at[at + length] != '>')
        return PATH_BAD;
    if (result == PATH_POSTMASTER && at != 1)
        return PATH_BAD;
    *used = at + length + 1;
    return result;
}

enum path_result path_parse_bare(struct span text, size_t *used, struct mailbox *box)
{
    *used = 0;
    *box = (struct mailbox){0};
    if (!text.len || text.at[0] == '<')
        return PATH_BAD;
    enum path_result result = mailbox_parse(text, used, box);
    if (result != PATH_BAD && result != PATH_POSTMASTER)
        return result;
    *used = 0;
    return PATH_BAD;
}

/* The output of folding; `full` is set when something did not fit. */
struct out {
    char *at;
    size_t len, room;
    bool full;
};

static void out_char(struct out *o, char c)
{
    if (o->len + 1 < o->room)
        o->at[o->len++] = c;
    else
        o->full = true;
}

/* The local part without its quotes and quoting backslashes. */
static struct span unquoted(struct span local, char room[LOCAL_MAX])
{
    if (!local.len || local.at[0] != '"')
        return local;
    size_t length = 0;
    for (size_t i = 1; i + 1 < local.len && length < LOCAL_MAX; i++) {
        if (local.at[i] == '\\')
            i++;
        room[length++] = local.at[i];
    }
    return (struct span){room, length};
}

static void fold_local(struct span local, struct out *o)
{
    char room[LOCAL_MAX];
    struct span plain = unquoted(local, room);
    bool quote = !plain.len || loose_dots(plain) != plain.len;
    if (quote)
        out_char(o, '"');
    for (size_t i = 0; i < plain.len; i++) {
        if (quote && (plain.at[i] == '"' || plain.at[i] == '\\'))
            out_char(o, '\\');
        out_char(o, text_lower(plain.at[i]));
    }
    if (quote)
        out_char(o, '"');
}

/* Writes a domain with UTF-8 as A-labels; false if it is not valid in IDNA2008. The result is
 * checked again, because mapping turns compatibility characters into any ASCII character (a
 * full-width "@", for example). */
static bool fold_idn(struct span name, struct out *o)
{
    char text[DOMAIN_MAX + 1];
    if (name.len > DOMAIN_MAX)
        return false;
    memcpy(text, name.at, name.len);
    text[name.len] = 0;
    char *ascii = NULL;
    if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    struct span labels = span_of(ascii);
    bool sound = labels.len && domain_name(labels) == labels.len;
    for (size_t i = 0; sound && i < labels.len; i++)
        out_char(o, text_lower(labels.at[i]));
    idn2_free(ascii);
    return sound;
}

size_t mailbox_fold(const struct mailbox *box, char *out, size_t room)
{
    struct out o = {.at = out, .room = room};
    if (!room)
        return 0;
    fold_local(box->local, &o);
    if (box->domain.len)
        out_char(&o, '@');
    if (has_utf8(box->domain)) {
        if (!fold_idn(box->domain, &o))
            o.full = true;
    } else {
        for (size_t i = 0; i < box->domain.len; i++)
            out_char(&o, text_lower(box->domain.at[i]));
    }
    out[o.len] = 0;
    return o.full ? 0 : o.len;
}

bool local_is_routing(struct span local)
{
    for (size_t i = 0; i < local.len; i++)
        if (local.at[i] == '%' || local.at[i] == '!' || local.at[i] == '@')
            return true;
    return false;
}

size_t address_sign(struct span folded)
{
    for (size_t i = folded.len; i > 0; i--)
        if (folded.at[i - 1] == '@')
            return i - 1;
    return folded.len;
}

struct span local_without_tag(struct span local, const char *delimiters)
{
    for (size_t i = 1; i < local.len; i++)
        if (local.at[i] && strchr(delimiters, local.at[i]))
            return span_first(local, i);
    return local;
}
