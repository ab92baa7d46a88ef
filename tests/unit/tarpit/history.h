/* Random histories of several clients for the property tests: made from a seed, run in virtual time
 * against the tarpit as it serves, shrunk when a property fails, and printed so that a person can
 * read what happened. */
#ifndef MIRED_TESTS_TARPIT_HISTORY_H
#define MIRED_TESTS_TARPIT_HISTORY_H

#include "tarpit/tarpit.h"

/* Clients 0 to 2 share an IPv4 network, 3 and 4 an IPv6 one; 5 is exempt, 6 authenticated, 7 stands
 * alone. */
enum { HISTORY_CLIENTS = 8, HISTORY_EXEMPT = 5, HISTORY_AUTHENTICATED = 6, HISTORY_EVENTS = 64 };

enum event_kind {
    EVENT_GOOD,     /* RCPT of one who exists */
    EVENT_BAD,      /* RCPT of one who does not */
    EVENT_CALL_OUT, /* the same from <> */
    EVENT_SYNTAX,
    EVENT_CONNECT, /* goes on with a conversation */
    EVENT_PASSED,  /* a message for `amount` recipients was taken */
    EVENT_GAVE_UP, /* hung up after `amount` tenths of a second */
    EVENT_LOGIN,   /* right */
    EVENT_GUESS,   /* a wrong password */
    EVENT_SUSPECT,
    EVENT_TRAPPED,
    EVENT_GREET, /* waits for the greeting; with an odd `amount` it talks before that */
    EVENT_KINDS
};

struct event {
    uint32_t gap; /* ms since the one before */
    uint16_t amount;
    uint8_t latency; /* ms that the directory takes */
    uint8_t kind, client;
    uint8_t domain; /* of the sender: 0: MAIL was not heard; else one of two */
    bool probe;     /* P2: the one whose truth is in question */
};

struct history {
    uint32_t seed;
    struct tarpit_rules rules;
    struct event event[HISTORY_EVENTS];
    uint32_t count;
};

/* What a client could see of one event, and what we know about it. */
struct outcome {
    const struct event *event;
    uint64_t asked, decided;
    double debt_asked, debt_decided;
    struct tarpit_hold hold;
    uint64_t begin, end; /* of the turn; 0: took none */
    uint64_t told;       /* when its first octet went out */
    bool early;          /* answered before its turn's end: the impatient, a call-out */
    bool paced;          /* was asked for from pace_after on */
    bool account;        /* it is AUTH */
    bool shown;          /* it is a reply at all */
};

/* Runs it and fills outcome[history->count], in the order of events; `truth` takes the place of the
 * probe's kind unless it is EVENT_KINDS. The tarpit is left open for more (history_end()). */
void history_run(const struct history *h, enum event_kind truth, struct tarpit *t,
                 struct outcome *outcome, uint64_t *now);
void history_end(struct tarpit *t);

struct tarpit_who history_who(const struct tarpit *t, unsigned client);

struct history history_random(uint32_t seed);

/* True when it holds; else says in `why` (of 256 octets) what was seen. */
typedef bool property_fn(const struct history *h, char why[256]);

/* Tries `count` histories. On failure prints the smallest that still fails, and returns false. */
bool history_check(property_fn *property, uint32_t count, uint32_t first_seed);

#endif
