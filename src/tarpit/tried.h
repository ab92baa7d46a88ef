/* R15: unknown recipients that strangers try, as candidates for `traps`. `mirectl traps --suggest`
 * reads them; it only proposes, and never adds a trap.
 *
 * A mapped file of fixed size (`state`/tried, 5 MB) with four tables: existing addresses, and those
 * that clients with good mail have tried, as hashes with the day; unknown ones that one network has
 * tried, the same; and the candidates, with their text: unknown addresses that at least two
 * networks without good mail have tried. So the text of an address that one stranger mistypes is
 * never stored. Addresses that are not tried any more are forgotten after TRIED_FORGET_DAYS.
 *
 * A flood of made-up addresses replaces new candidates, but hardly any that many networks have
 * tried on many days: a new address replaces a candidate of weight w (networks x days) with a
 * probability of 1 in 2^(w-2).
 *
 * Addresses are folded. `now` is wall ms. All functions are safe from any process that mapped the
 * file; none blocks; processes that meet in one word may lose a count. */
#ifndef MIRED_TARPIT_TRIED_H
#define MIRED_TARPIT_TRIED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct tried; /* opaque */

enum {
    TRIED_ADDRESS = 128,     /* longer addresses are no candidates */
    TRIED_CANDIDATES = 8192, /* the most candidates */
    TRIED_SPARED_DAYS = 365, /* how long an address that existed is not proposed */
    TRIED_FORGET_DAYS = 90,  /* after the last attempt */
    TRIED_NETWORKS = 5,      /* networks and days that a proposed candidate needs */
    TRIED_DAYS = 3,
};

/* Opens or creates the file (path NULL: memory only). Call it before the processes that share it
 * start. Returns 0 or -errno. */
int tried_open(struct tried **out, const char *path);
void tried_close(struct tried *t);

/* A directory says that the address exists. Sub-addresses (joe+x) count as the mailbox. */
void tried_exists(struct tried *t, struct span address, uint64_t now);

/* A client with good mail has tried an address that does not exist. */
void tried_by_good(struct tried *t, struct span address, uint64_t now);

/* A client without good mail has tried one. Addresses that anybody may write to by RFC 2142 or
 * custom (postmaster@, info@), and sub-addresses, are ignored. */
void tried_by_stranger(struct tried *t, struct span address, const struct addr *client,
                       uint64_t now);

struct tried_address {
    char address[TRIED_ADDRESS];
    uint32_t networks; /* that have tried it, about: at most 64 x ln 64, 266 */
    uint32_t days;     /* on which it was tried */
    uint64_t first_ms, last_ms;
    /* letters, and at most one dot, dash or underscore: it may be a person's name */
    bool name_like;
};

/* Iterates over the candidates that may be proposed: tried by TRIED_NETWORKS on TRIED_DAYS and
 * never by a client with good mail; not an address that existed within a year, and not one that
 * differs from such an address by a single typing error (a letter added, missing, changed, or two
 * exchanged). *at is 0 at first; false at the end. */
bool tried_next(const struct tried *t, uint32_t *at, uint64_t now, struct tried_address *out);

/* Removes the text of all candidates that are forgotten or may not be proposed any more. */
void tried_tend(struct tried *t, uint64_t now);

/* When an address that existed within a year last had to be forgotten because the table was full,
 * wall ms; 0: never. */
uint64_t tried_overflowed(const struct tried *t);

#endif
