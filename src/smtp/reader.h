/* Reads the replies of a backend (RFC 5321 4.2). Pure; trusts nothing: it keeps at most so many
 * octets of a line and of a reply. A longer reply is cut, not refused: a 250 with too many words
 * still means that the backend has the message. */
#ifndef MIRED_SMTP_READER_H
#define MIRED_SMTP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reply.h"

enum { READER_LINE_MAX = 2048, READER_TEXT_MAX = 4096, READER_REPLY_MAX = 1 << 20 };

struct reply_reader {
    struct buf line; /* an incomplete line, or the part of it that is kept */
    struct buf text; /* lines of the reply so far, without codes, '\n' between them */
    uint32_t octets; /* of the reply so far, up to READER_REPLY_MAX */
    uint16_t code;   /* of its first line; 0: none yet */
};

enum reader_result {
    READER_MORE,  /* the input is used up, and the reply is not complete */
    READER_REPLY, /* *reply is complete; its arg is valid until the next call */
    READER_BROKEN /* this is not an SMTP server */
};

/* Reads one reply from the front of *in. The enhanced code is removed from the text; the offence is
 * BACKEND for a 5xx. */
enum reader_result reader_take(struct reply_reader *r, struct span *in, struct reply *reply);

void reader_free(struct reply_reader *r);

#endif
