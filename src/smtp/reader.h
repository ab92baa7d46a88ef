/* Replies of a backend, read from octets (RFC 5321 4.2). Pure; trusts nothing: of a line and of a
 * reply no more is kept than its bounds. What is longer is cut, not refused: a message that has
 * been taken with too many words is a message that has been taken. */
#ifndef MIRED_SMTP_READER_H
#define MIRED_SMTP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reply.h"

enum { READER_LINE_MAX = 2048, READER_TEXT_MAX = 4096, READER_REPLY_MAX = 1 << 20 };

struct reply_reader {
    struct buf line; /* an unfinished one, or as much of it as is kept */
    struct buf text; /* lines of the reply so far, without codes, '\n' between them */
    uint32_t octets; /* of the reply so far: one without end is none */
    uint16_t code;   /* of its first line; 0: none yet */
};

enum reader_result {
    READER_MORE,  /* all of the input is used and no reply is whole */
    READER_REPLY, /* *reply is whole; its arg lives until the next call */
    READER_BROKEN /* this is no SMTP server */
};

/* Takes what it needs from the front of *in. The reply's enhanced code is taken out of its text;
 * its offence is BACKEND for a 5xx. */
enum reader_result reader_take(struct reply_reader *r, struct span *in, struct reply *reply);

void reader_free(struct reply_reader *r);

#endif
