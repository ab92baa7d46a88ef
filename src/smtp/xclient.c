/* XCLIENT and XFORWARD; see xclient.h. */
#include "smtp/xclient.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t attribute;
} known[] = {{"NAME", ATTRIBUTE_NAME},         {"ADDR", ATTRIBUTE_ADDR},
             {"PORT", ATTRIBUTE_PORT},         {"PROTO", ATTRIBUTE_PROTO},
             {"HELO", ATTRIBUTE_HELO},         {"LOGIN", ATTRIBUTE_LOGIN},
             {"SOURCE", ATTRIBUTE_SOURCE},     {"REVERSE_NAME", ATTRIBUTE_REVERSE_NAME},
             {"DESTADDR", ATTRIBUTE_DESTADDR}, {"DESTPORT", ATTRIBUTE_DESTPORT}};

uint32_t xclient_attributes(struct span words)
{
    uint32_t found = 0;

    while (words.len) {
        struct span word = span_first(words, span_find(words, ' '));
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (span_equal_fold(word, span_of(known[i].name)))
                found |= known[i].attribute;
        words = span_after(words, word.len + (word.len < words.len));
    }
    return found;
}

static bool is_plain(char c)
{
    return c > ' ' && c < 127 && c != '+' && c != '=';
}

static int add_xtext(struct buf *out, struct span value)
{
    int error = 0;

    for (size_t i = 0; i < value.len && !error; i++)
        error = is_plain(value.at[i]) ? buf_add(out, &value.at[i], 1)
                                      : buf_addf(out, "+%02X", (unsigned char)value.at[i]);
    return error;
}

/* What a client said in HELO, or nothing if it is longer than a value may be: Postfix would refuse
 * the whole command, and mail would be deferred for a name that nobody needs. */
static struct span short_helo(struct span helo)
{
    enum { VALUE_MAX = 255 }; /* as xtext */
    size_t len = 0;

    for (size_t i = 0; i < helo.len; i++)
        len += is_plain(helo.at[i]) ? 1 : 3;
    return len <= VALUE_MAX ? helo : (struct span){0};
}

static const char *name_of(uint32_t attribute)
{
    size_t i = 0;

    while (known[i].attribute != attribute)
        i++;
    return known[i].name;
}

static int add(struct buf *out, uint32_t wanted, uint32_t attribute, struct span value)
{
    if (!(wanted & attribute))
        return 0;
    if (buf_addf(out, " %s=", name_of(attribute)))
        return -ENOMEM;
    return add_xtext(out, value.len ? value : SPAN("[UNAVAILABLE]"));
}

/* Adds an address and its port, as far as they are known. */
static int add_addr(struct buf *out, const struct addr *a, uint32_t wanted, uint32_t addr,
                    uint32_t port)
{
    char text[ADDR_TEXT], number[5];

    if (a->family != ADDR_IP4 && a->family != ADDR_IP6)
        return 0;
    addr_format(a, text);
    struct span digits = {number, (size_t)(write_decimal(a->port, 1, number) - number)};
    if (wanted & addr &&
        buf_addf(out, " %s=%s%s", name_of(addr), a->family == ADDR_IP6 ? "IPV6:" : "", text))
        return -ENOMEM;
    return a->port ? add(out, wanted, port, digits) : 0;
}

static int add_name(struct buf *out, uint32_t wanted, uint32_t attribute, uint8_t state,
                    const char *name)
{
    if (state == NAME_IS)
        return add(out, wanted, attribute, span_of(name));
    if (state == NAME_NONE || !(wanted & attribute))
        return add(out, wanted, attribute, (struct span){0});
    return buf_addf(out, " %s=[TEMPUNAVAIL]", name_of(attribute));
}

/* Adds the confirmed name, and the reverse name, which need not be confirmed. */
static int add_names(struct buf *out, uint32_t wanted, const struct client_names *names)
{
    static const struct client_names not_done = {0};
    const struct client_names *n = names ? names : &not_done;
    int error = add_name(out, wanted, ATTRIBUTE_NAME, n->confirmed, n->text);

    return error ? error : add_name(out, wanted, ATTRIBUTE_REVERSE_NAME, n->reverse, n->text);
}

static int identify(struct buf *out, const char *verb, const struct xclient_identity *who,
                    uint32_t wanted)
{
    int error = buf_addf(out, "%s", verb);

    if (!error)
        error = add_names(out, wanted, who->names);
    if (!error)
        error = add_addr(out, &who->client, wanted, ATTRIBUTE_ADDR, ATTRIBUTE_PORT);
    if (!error)
        error = add_addr(out, &who->server, wanted, ATTRIBUTE_DESTADDR, ATTRIBUTE_DESTPORT);
    if (!error)
        error = add(out, wanted, ATTRIBUTE_PROTO, who->esmtp ? SPAN("ESMTP") : SPAN("SMTP"));
    if (!error)
        error = add(out, wanted, ATTRIBUTE_HELO, short_helo(who->helo));
    if (!error)
        error = add(out, wanted, ATTRIBUTE_LOGIN, who->user);
    if (!error)
        error = add(out, wanted, ATTRIBUTE_SOURCE, SPAN("REMOTE"));
    return error ? error : buf_add_span(out, SPAN("\r\n"));
}

bool xclient_helo(struct span helo, char *out, size_t room)
{
    if (!helo.len || helo.len >= room)
        return false;
    for (size_t i = 0; i < helo.len; i++) {
        char c = helo.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
            !(c && strchr("-._:[]", c)))
            return false;
    }
    memcpy(out, helo.at, helo.len);
    out[helo.len] = '\0';
    return true;
}

int xclient_command(struct buf *out, const struct xclient_identity *who, uint32_t attributes)
{
    return identify(out, "XCLIENT", who, attributes & ~(uint32_t)ATTRIBUTE_SOURCE);
}

int xclient_forward_command(struct buf *out, const struct xclient_identity *who,
                            uint32_t attributes)
{
    return identify(out, "XFORWARD", who, attributes & ~(uint32_t)ATTRIBUTE_LOGIN);
}
