/* A tally: how many connections of each of some clients are held, asked of workers and freezers
 * (NOTE_TALLY of notes.h).
 *
 * The question is the clients' addresses with spaces between; an answer has a number for each, in
 * their order. A process fills in the tally by going through what it holds once, however many
 * clients are asked about. Pure, no allocation. */
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

/* Adds a client with nothing held. False: there is no room for another. */
bool tally_add(struct tally *t, const struct addr *client);

/* Counts a connection whose peer is `peer`, if its client is one of them. */
void tally_count(struct tally *t, const struct addr *peer);

/* The question, and back; `room` takes it with a NUL: NOTE_TEXT is enough for TALLY_CLIENTS.
 * tally_parse() is false when it is anything else. */
void tally_format(const struct tally *t, char *out, size_t room);
bool tally_parse(struct tally *t, struct span text);

/* The answer, and the adding of one to what has come; false, and nothing added, when it does not
 * have as many numbers as there are clients. */
void tally_format_counts(const struct tally *t, char *out, size_t room);
bool tally_add_counts(struct tally *t, const char *text);

#endif
