/* What a worker says with a connection to the store (NOTE_STORE): how its configuration reads addresses.
 * At a reload, workers of one configuration reach the store of another one. A recipient that a worker
 * has accepted must get the message where that worker's configuration has the mailbox. */
#ifndef MIRED_QUERY_STORE_WORDS_H
#define MIRED_QUERY_STORE_WORDS_H

#include <stdbool.h>

#include "base/bytes.h"

enum { STORE_WORD = 256, STORE_WORDS_TEXT = 2 * STORE_WORD };

struct store_words {
    char domain[STORE_WORD];     /* of an address without one */
    char delimiters[STORE_WORD]; /* `recipient_delimiter` */
};

/* "DOMAIN DELIMITERS". The first returns the length, or 0 if they are too long; the other false if the
 * text is none of these, as that of an earlier program's worker, which says nothing. */
size_t store_words_write(struct span domain, const char *delimiters, char text[STORE_WORDS_TEXT]);
bool store_words_read(struct span text, struct store_words *words);

#endif
