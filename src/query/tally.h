/* A tally: the number of held connections of each of several clients, which workers and freezers
 * count (NOTE_TALLY of notes.h).
 *
 * The request has the clients' addresses with spaces between; an answer has a number for each, in
 * the same order. A process reads its held connections only once for all clients of a tally. Pure,
 * no allocation. */
#ifndef MIRED_QUERY_TALLY_H
#define MIRED_QUERY_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum { TALLY_CLIENTS = 128, TALLY_PLACES = 2 * TALLY_CLIENTS };

struct tally {
    struct addr client[TALLY_CLIENTS]; /* as addr_client() makes them */
    uint32_t held[TALLY_CLIENTS];
    uint32_t count;
    uint8_t place[TALLY_PLACES]; /* private: a hash table of indices into client[], plus 1 */
};

/* Adds a client, with 0 held connections. False if there is no room for another. */
bool tally_add(struct tally *t, const struct addr *client);

/* Counts a connection whose peer is `peer`, if its client is one of them. */
void tally_count(struct tally *t, const struct addr *peer);

/* Write and parse the request; with TALLY_CLIENTS clients it fits into NOTE_TEXT octets, NUL
 * included. tally_parse() returns false for anything else. */
void tally_format(const struct tally *t, char *out, size_t room);
bool tally_parse(struct tally *t, struct span text);

/* Write an answer, and add an answer to the sums. tally_add_counts() returns false and adds nothing
 * if the answer does not have as many numbers as there are clients. */
void tally_format_counts(const struct tally *t, char *out, size_t room);
bool tally_add_counts(struct tally *t, const char *text);

#endif
