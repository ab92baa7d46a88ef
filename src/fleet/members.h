/* The members of a fleet that this one has heard of. Their numbers have a meaning in this process
 * only; 0 is this mired. What a member says of itself is hostile input. For one thread. */
#ifndef MIRED_FLEET_MEMBERS_H
#define MIRED_FLEET_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { MEMBERS_MOST = 1024, MEMBERS_NAME = 64 };

/* What a member says of itself once a second. Figures are cut to HELLO_MOST when they are read, and
 * a version of the program that is not a plain word is left out. */
enum { HELLO_PROGRAM = 24 };
#define HELLO_MOST UINT64_C(1000000000000)
struct hello {
    uint64_t version, half_life, good_half_life, keys;
    uint64_t mired, instance;      /* which mired, and which of its processes; 0: not said */
    int64_t skew_ms;               /* Redis' clock less the member's */
    uint64_t held, frozen, passed; /* connections with and without a socket; good mail so far */
    uint64_t passed_milli;         /* good mail in 1,000 seconds, at the pace of the last ones */
    char program[HELLO_PROGRAM];   /* its version of mired */
};

struct member {
    char name[MEMBERS_NAME + 1];
    uint64_t heard_ms; /* wall; 0: only its shares were met */
    uint64_t met_ms;   /* wall: the first time */
    uint64_t lag_ms;   /* of the last batch */
    uint64_t shares, refused;
    uint64_t number;     /* of its last batch; 0: not known */
    uint64_t settled_ms; /* monotonic: when settled_room was right */
    double settled_room; /* records of mixed answers that it may still send */
    struct hello hello;
};

struct members {
    struct member *at;
    uint16_t count;
};

/* 0 or -ENOMEM; `self` is number 0. */
int members_open(struct members *m, const char *self);
void members_close(struct members *m);

/* The member of that name, which is added if it is new. NULL if the name is malformed, or if there
 * are too many members. If there are, a new one gets the number of the one that was not heard of for
 * the longest time, and for a day at least: containers often have another name after each start. */
struct member *members_of(struct members *m, struct span name, uint64_t now);
static inline uint16_t members_number(const struct members *m, const struct member *one)
{
    return (uint16_t)(one - m->at);
}

/* Whether another member was heard of lately (pace_away_ms()). */
bool members_is_present(const struct members *m, const struct member *one, uint64_t now);

/* How many are present, this one included. */
unsigned members_present(const struct members *m, uint64_t now);

/* This machine's wall clock was set by so much. */
void members_clock_was_set(struct members *m, int64_t by_ms);

/* To text, NUL-terminated, and back. Fields that are missing or wrong become 0. */
enum { HELLO_TEXT = 400 };
void hello_write(const struct hello *h, char text[HELLO_TEXT]);
struct hello hello_read(struct span text);

#endif
