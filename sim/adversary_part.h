/* Private to the adversary's board: adversary.c makes the moves, adversary_learn.c finds out what
 * each question tells. */
#ifndef MIRED_SIM_ADVERSARY_PART_H
#define MIRED_SIM_ADVERSARY_PART_H

#include "adversary.h"
#include "before_mail.h"

enum {
    STEP_MS = 50,           /* a move's round trip */
    SILENCE_MS = 500,       /* a silence this long tells */
    OPEN_MS = 30000,        /* the longest that a directory takes */
    SLOW_MS = 2000,         /* what a slow directory takes */
    SLOTS = 320,            /* of the ledger */
    RETRIES_ROOM = 1 << 16, /* octets of the table of deferred messages */
    MINUTE_MS = 60000,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS,
    HOURS_MOST = 24 * 14,
    MINUTES = HOURS_MOST * 60 + 10,
    DELIVERIES = 16, /* messages whose recipients are held */
    QUESTIONS = 100, /* that stay open */
    PUT_OFF = 4096,  /* names that were put off, to be asked for again */
    TOGETHER = 1000, /* questions at once */
};

#define BEGIN UINT64_C(1800000000000)
#define WORDS (ADVERSARY_MAILBOXES / 64)

/* Mailboxes that have earned something on a day. */
struct earned {
    uint64_t day;
    uint64_t mailbox[WORDS];
};

/* A message some of whose recipients are held. */
struct delivery {
    uint64_t due;
    struct tarpit_who who;
    uint8_t address, domain;
    uint16_t first, count;
    bool same; /* `count` times the one mailbox */
};

/* A name that was put off, and the sender's domain with which it was asked for. */
struct put_off {
    uint64_t mailbox;
    uint32_t new_domain;
    uint8_t network, domain;
};

/* A question whose verdict is not known yet. */
struct question {
    uint64_t due; /* when the directory answers at the latest */
    struct tarpit_permit permit;
    struct tarpit_who who;
    struct put_off again; /* if it is put off when the directory has answered */
};

struct minute {
    uint32_t learnt;
    uint32_t by_client, by_pair; /* mailboxes reached for the first time */
    double paid;                 /* of what was learnt, by credit */
};

struct adversary {
    struct tarpit tarpit;
    size_t size;
    uint8_t *empty, *before, *after;
    uint64_t mailbox[ADVERSARY_MAILBOXES];
    uint64_t now, last_reply, moves, leaked;
    struct tarpit_who who[ADVERSARY_ADDRESSES];
    uint8_t address, domain[ADVERSARY_ADDRESSES];
    uint32_t asked; /* addresses that asked, a bit each */
    bool ip6;
    uint32_t next_mailbox, new_domains, names;
    uint32_t new_domain[ADVERSARY_ADDRESSES]; /* of DOMAIN_NEW: its number */
    struct earned client[ADVERSARY_ADDRESSES], pair[ADVERSARY_ADDRESSES][ADVERSARY_DOMAINS + 2];
    struct delivery delivery[DELIVERIES];
    struct question open[QUESTIONS];
    struct put_off put_off[PUT_OFF];
    uint32_t deliveries, questions, last_minute, put_offs;
    struct minute minute[MINUTES];
};

enum { DOMAIN_NEW = ADVERSARY_DOMAINS, DOMAIN_NONE = ADVERSARY_DOMAINS + 1 };

static inline uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The ledger, copied and put back. */
void board_copy(struct adversary *a, uint8_t *copy);
void board_put_back(struct adversary *a, const uint8_t *copy);

/* The minute of a time; it counts from then on. */
struct minute *board_minute(struct adversary *a, uint64_t at);

/* The first octet of a reply, in ms from the command. */
uint64_t board_first_octet(const struct tarpit_hold *h);

/* Something is held until then. */
void board_holds(struct adversary *a, uint64_t ms);

/* The verdict of a question. It was bad; notes when that is learnt, and what credit paid for it.
 * False: it is put off, whatever it is. */
bool board_decide(struct adversary *a, const struct tarpit_who *who, struct span user,
                  const struct tarpit_permit *permit, enum offence offence);

#endif
