/* Tells a backend which client a message comes from: XCLIENT and XFORWARD, extensions of Postfix
 * that other servers have adopted (XCLIENT_README and XFORWARD_README of Postfix 3.7).
 *
 * XCLIENT makes the backend treat the connection as the client's own (it greets again, and its
 * access rules and filters see the client); XFORWARD only tells it what to log. A backend announces
 * the attributes that it accepts. Pure: no I/O, no state. */
#ifndef MIRED_SMTP_XCLIENT_H
#define MIRED_SMTP_XCLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "dns/names.h"

enum xclient_attribute {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_ADDR = 2,
    ATTRIBUTE_PORT = 4,
    ATTRIBUTE_PROTO = 8,
    ATTRIBUTE_HELO = 16,
    ATTRIBUTE_LOGIN = 32,
    ATTRIBUTE_SOURCE = 64,
    ATTRIBUTE_REVERSE_NAME = 128,
    ATTRIBUTE_DESTADDR = 256,
    ATTRIBUTE_DESTPORT = 512,
};

/* The client of a message. */
struct xclient_identity {
    struct addr client;
    struct addr server;               /* the address that it connected to; ADDR_NONE: not known */
    const struct client_names *names; /* NULL: not looked up */
    struct span helo;                 /* or empty */
    struct span user;                 /* authenticated as, or empty */
    bool esmtp;
};

/* The attributes in " NAME ADDR ..." (the words after the keyword) that we know; enum
 * xclient_attribute. */
uint32_t xclient_attributes(struct span words);

/* Copies a client's HELO as a string that mired can send as its own; false if servers would refuse
 * it. */
bool xclient_helo(struct span helo, char *out, size_t room);

/* Appends the command with those attributes, and CRLF; values as xtext (RFC 3461 4). 0 or
 * -ENOMEM. */
int xclient_command(struct buf *out, const struct xclient_identity *who, uint32_t attributes);
int xclient_forward_command(struct buf *out, const struct xclient_identity *who,
                            uint32_t attributes);

#endif
