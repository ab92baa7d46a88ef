/* Stand-ins for bufs that only grow, and the lines that have been added to them. */
#ifndef MIRED_PROOF_ANY_BUF_H
#define MIRED_PROOF_ANY_BUF_H

#include "any_smtp.h"

enum { PROOF_ROOM = 8192 };

/* Octets of the line that is being added, and of the longest line, without CRLF. */
extern size_t proof_line, proof_longest;
extern unsigned proof_lines;

#endif
