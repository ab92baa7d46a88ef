/* The message's octets between DATA and the final dot (RFC 5321 4.5.2), and chunks of BDAT (RFC
 * 3030).
 *
 * Strict: only CRLF ends a line and only CRLF "." CRLF ends the data; a bare CR or LF anywhere
 * makes the whole message bad (so that a server with another idea of line ends cannot be made to
 * see a second message). Lines are passed on up to DATA_LINE_MAX octets. A NUL is as bad: the
 * backend may drop it before it looks for the final dot, and CRLF NUL "." CRLF would be one. Octets
 * stay dot-stuffed as they came: the relay sends them so. Pure, restartable at any octet, no
 * allocation. */
#ifndef MIRED_SMTP_DATA_H
#define MIRED_SMTP_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { DATA_LINE_MAX = 64 * 1024 };

/* Stands in every session, so it is small. */
struct data_scan {
    uint32_t line : 17; /* octets in the line so far, without CRLF; DATA_LINE_MAX at most */
    uint32_t state : 3; /* private */
    uint32_t bad : 1;   /* set for good once a bare CR or LF or too long a line was seen */
    uint32_t nul : 1;   /* set for good once a NUL was seen that is not allowed; bad is set, too */
    /* Options, to be set between data_start() and the first octet. */
    uint32_t allow_nul : 1;
    uint32_t mend : 1; /* data_scan_chunk() only: a bare LF becomes a CRLF */
};

/* What a call has gone through. */
struct data_found {
    size_t used; /* octets that are done with */
    size_t body; /* the first of these, which are the message's (the final dot line is not) */
    size_t dots; /* dots among them that only stuff */
};

enum data_result { DATA_MORE, DATA_END };

/* At the start of a line, nothing bad seen. */
void data_start(struct data_scan *d);

/* Goes through `in`. DATA_END: the final dot was seen, found->used stands behind it. A dot that may
 * yet turn out to be the final one is left unused with what follows it (2 octets at most): call
 * again with more. Keeps looking for the end when the message is bad: the caller drops the octets
 * and replies 554 at the end. */
enum data_result data_scan(struct data_scan *d, struct span in, struct data_found *found);

/* The same for `in`, octets of a BDAT chunk: they end nothing and come unstuffed. Returns how many
 * octets of `in` may be passed on as they are; when that is fewer than in.len, or 0, an octet is
 * put in before the next one, as data_chunk_owes() says, and the call is repeated. */
size_t data_scan_chunk(struct data_scan *d, struct span in);

/* What data_scan_chunk() stopped for: "." before a line that begins with one, "\r" before a bare LF
 * that is mended, or nothing. Asking takes it as put in. */
struct span data_chunk_owes(struct data_scan *d);

/* After the last chunk: true when a CRLF must be added for the message to end in one, as DATA wants
 * it. A CR that stands alone at the end makes the message bad. */
bool data_chunks_end(struct data_scan *d);

/* True at the start of a line: the message so far ends in CRLF (or is empty). */
bool data_line_start(const struct data_scan *d);

/* Takes the stuffing dots out, for the store. *line_start is carried between calls, true at first.
 * Returns the length written to out (room for in.len). For data that was scanned and is good. */
size_t data_unstuff(bool *line_start, struct span in, char *out);

/* Counts "Received:" header lines over calls, until the empty line that ends the header; for the
 * loop check (RFC 5321 6.3). Zeroed at first. */
struct received_count {
    uint16_t count;
    uint8_t column; /* private: octets of this line that have matched so far */
    uint8_t state;  /* private */
};
void received_scan(struct received_count *r, struct span in);

#endif
