/* The message's octets between DATA and the final dot (RFC 5321 4.5.2), and chunks of BDAT (RFC
 * 3030).
 *
 * Strict: only CRLF ends a line and only CRLF "." CRLF ends the data. A bare CR or LF anywhere
 * makes the whole message bad, so that nobody can make a server with other rules for line ends see
 * a second message. A NUL makes it bad too: the backend may drop it before it looks for the final
 * dot, and would find one in CRLF NUL "." CRLF, or read a line only up to its first NUL, and find
 * one in CRLF "." NUL. Where NULs are allowed, only such lines are bad. Lines may have up to DATA_LINE_MAX octets. Octets
 * stay dot-stuffed, and the relay sends them in that form. Pure, restartable at any octet, no
 * allocation. */
#ifndef MIRED_SMTP_DATA_H
#define MIRED_SMTP_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { DATA_LINE_MAX = 64 * 1024 };

/* Part of every session, so it is small. */
struct data_scan {
    uint32_t line : 17;     /* octets in the line so far, without CRLF; DATA_LINE_MAX at most */
    uint32_t state : 3;     /* private */
    uint32_t bad : 1;       /* a bare CR or LF, or too long a line; stays set */
    uint32_t nul : 1;       /* a NUL that is not allowed; stays set, and so does bad */
    uint32_t nul_line : 2;  /* private: with allow_nul, what the line has been so far */
    uint32_t nul_first : 1; /* private: a NUL came before anything else in this line */
    /* Options, to be set between data_start() and the first octet. */
    uint32_t allow_nul : 1;
    uint32_t mend : 1; /* data_scan_chunk() only: a bare LF becomes a CRLF */
};

/* The result of one call. */
struct data_found {
    size_t used; /* octets that were read */
    size_t body; /* the first of these, which belong to the message (not the final dot's line) */
    size_t dots; /* stuffing dots among these */
};

enum data_result { DATA_MORE, DATA_END };

/* At the start of a line, nothing bad seen. */
void data_start(struct data_scan *d);

/* Scans `in`. DATA_END: `in` has the final dot, and found->used ends after it. A dot that may be
 * the final one stays unused, with up to 2 octets after it: call again with more. In a bad message
 * the scan goes on to the end: the caller drops the octets and replies 554 at the end. */
enum data_result data_scan(struct data_scan *d, struct span in, struct data_found *found);

/* The same for octets of a BDAT chunk, in which a dot ends nothing and is not stuffed. Returns how
 * many octets of `in` can be passed on unchanged. If these are fewer than in.len, the caller first
 * adds the octet that data_chunk_owes() returns, then calls again with the rest. */
size_t data_scan_chunk(struct data_scan *d, struct span in);

/* Why data_scan_chunk() stopped: "." must be added before a line that begins with one, "\r" before
 * a bare LF that is mended; or empty. After the call it counts as added. */
struct span data_chunk_owes(struct data_scan *d);

/* After the last chunk: true if a CRLF must be added so that the message ends in one, as DATA
 * requires. A bare CR at the end makes the message bad. */
bool data_chunks_end(struct data_scan *d);

/* True at the start of a line: the message so far ends in CRLF (or is empty). */
bool data_line_start(const struct data_scan *d);

/* Removes the stuffing dots, for the store. *line_start is state between calls, true at first.
 * Returns the length written to `out`, which has room for in.len. Only for data that was scanned
 * and is good. */
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
