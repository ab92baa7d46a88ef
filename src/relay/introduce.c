/* XCLIENT and XFORWARD; see introduce.h. */
#include "relay/introduce.h"

#include <errno.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint32_t attribute;
} known[] = {{"NAME", ATTRIBUTE_NAME},    {"ADDR", ATTRIBUTE_ADDR}, {"PORT", ATTRIBUTE_PORT},
             {"PROTO", ATTRIBUTE_PROTO},  {"HELO", ATTRIBUTE_HELO}, {"LOGIN", ATTRIBUTE_LOGIN},
             {"SOURCE", ATTRIBUTE_SOURCE}};

uint32_t introduce_attributes(struct span words)
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

static int add_xtext(struct buf *out, struct span value)
{
    int error = 0;

    for (size_t i = 0; i < value.len && !error; i++) {
        unsigned char c = (unsigned char)value.at[i];
        bool plain = c > ' ' && c < 127 && c != '+' && c != '=';
        error = plain ? buf_add(out, &value.at[i], 1) : buf_addf(out, "+%02X", c);
    }
    return error;
}

static int add(struct buf *out, uint32_t wanted, uint32_t attribute, struct span value)
{
    if (!(wanted & attribute))
        return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].attribute == attribute && buf_addf(out, " %s=", known[i].name))
            return -ENOMEM;
    return add_xtext(out, value.len ? value : SPAN("[UNAVAILABLE]"));
}

static int add_client(struct buf *out, const struct addr *client, uint32_t wanted)
{
    char text[ADDR_TEXT], port[8];

    if (client->family != ADDR_IP4 && client->family != ADDR_IP6)
        return 0;
    addr_format(client, text);
    snprintf(port, sizeof port, "%u", client->port);
    if (wanted & ATTRIBUTE_ADDR &&
        buf_addf(out, " ADDR=%s%s", client->family == ADDR_IP6 ? "IPV6:" : "", text))
        return -ENOMEM;
    return add(out, wanted, ATTRIBUTE_PORT, span_of(port));
}

static int introduce(struct buf *out, const char *verb, const struct introduction *who,
                     uint32_t wanted)
{
    int error = buf_addf(out, "%s", verb);

    if (!error)
        error = add(out, wanted, ATTRIBUTE_NAME, (struct span){0});
    if (!error)
        error = add_client(out, &who->client, wanted);
    if (!error)
        error = add(out, wanted, ATTRIBUTE_PROTO, who->esmtp ? SPAN("ESMTP") : SPAN("SMTP"));
    if (!error)
        error = add(out, wanted, ATTRIBUTE_HELO, who->helo);
    if (!error)
        error = add(out, wanted, ATTRIBUTE_LOGIN, who->user);
    if (!error)
        error = add(out, wanted, ATTRIBUTE_SOURCE, SPAN("REMOTE"));
    return error ? error : buf_add_span(out, SPAN("\r\n"));
}

int introduce_xclient(struct buf *out, const struct introduction *who, uint32_t attributes)
{
    return introduce(out, "XCLIENT", who, attributes & ~(uint32_t)ATTRIBUTE_SOURCE);
}

int introduce_xforward(struct buf *out, const struct introduction *who, uint32_t attributes)
{
    return introduce(out, "XFORWARD", who, attributes & ~(uint32_t)ATTRIBUTE_LOGIN);
}
