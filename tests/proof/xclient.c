/* XCLIENT and XFORWARD: for any client, server, attributes and names, with values of any octets of
 * each length up to OCTETS, and of the greatest lengths. No octet of a value can end a word of the
 * command. What is added must be there; the octets are looked at, and not kept. */
#include "any_smtp.h"
#include "any_text.h"

#include <errno.h>

#include "any_addr.h"

#include "smtp/xclient.h"

const char *addr_format(const struct addr *a, char text[ADDR_TEXT])
{
    text[0] = '-';
    text[1] = '\0';
    return text;
}

int buf_add(struct buf *b, const void *octets, size_t n)
{
    const unsigned char *at = octets;

    proof_reads((struct span){octets, n});
    for (size_t i = 0; i < n; i++) {
        unsigned octet = at[i];
        //@ assert no_end_of_word: octet > ' ' && octet < 127;
    }
    return any_memory();
}

/* Words of the file's own. */
int buf_add_span(struct buf *b, struct span s)
{
    proof_reads(s);
    return any_memory();
}

int buf_addf(struct buf *b, const char *format, ...)
{
    return any_memory();
}

/* A copy of `text` as a string, in `room`. */
static void string_of(struct span text, char *room)
{
    memcpy(room, text.at, text.len);
    room[text.len] = '\0';
}

static void identify(const struct xclient_identity *who)
{
    struct buf out = {.at = NULL};

    if (any_choice)
        (void)xclient_command(&out, who, (uint32_t)any_number);
    else
        (void)xclient_forward_command(&out, who, (uint32_t)any_number);
}

static void names(struct xclient_identity *who, struct span text)
{
    struct client_names names = {.confirmed = (uint8_t)Frama_C_interval(0, NAME_IS),
                                 .reverse = (uint8_t)Frama_C_interval(0, NAME_IS)};

    string_of(text, names.text);
    who->names = any_choice ? &names : NULL;
    identify(who);
}

static void longest(struct xclient_identity *who)
{
    enum { VALUE_MAX = 255 };
    static char value[VALUE_MAX + 1];
    struct client_names names = {.confirmed = NAME_IS, .reverse = NAME_IS};

    memset(value, 'a', sizeof value);
    string_of((struct span){value, sizeof names.text - 1}, names.text);
    value[any_choice ? 0 : VALUE_MAX] = '\0'; /* two octets more as xtext */
    who->helo = (struct span){value, any_choice ? VALUE_MAX + 1 : VALUE_MAX};
    who->user = (struct span){value, VALUE_MAX + 1};
    who->names = &names;
    identify(who);
}

static void helo(struct span in)
{
    char out[OCTETS];
    size_t room = 0;

    while (room < OCTETS && any_choice)
        room++;
    if (xclient_helo(in, out, room)) {
        //@ assert ends: out[in.len] == 0 && in.len < room;
    }
}

static void follow(struct span in)
{
    struct xclient_identity who = {
        .client = any_addr(), .server = any_addr(), .esmtp = any_choice & 1};

    switch (any_choice) {
    case 0: helo(in); break;
    case 1: names(&who, in); break;
    case 2:
        who.helo = in;
        identify(&who);
        break;
    case 3:
        who.user = in;
        identify(&who);
        break;
    default: longest(&who);
    }
}
