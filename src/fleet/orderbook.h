/* Standing orders: what people have told the fleet to do with clients, for members that come later.
 *
 * There is one register for the releases of each network, and one for its exemptions; the later
 * order stays (of two with the same time, the one that says more), also when it is past. So the
 * order of arrival does not matter, nor does an order that arrives twice: tables that have taken the
 * same orders are the same (docs/fleet.md). An order is remembered for a while after its end,
 * because an earlier one that has no end may still come from a member that was away.
 *
 * The table is a mapped file of its own, so that a member remembers orders over restarts and while
 * Redis is empty. Orders of other members are hostile input: they are checked, cannot date from the
 * future, and fill at most three quarters of the table. Times are fleet time (Redis' clock), and an
 * argument. For the fleet process; one thread. The master opens the table, and each fleet process
 * inherits it as it was then: one that starts later, or runs beside another during a reload, learns
 * from orderbook_hear() what others have taken. */
#ifndef MIRED_FLEET_ORDERBOOK_H
#define MIRED_FLEET_ORDERBOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum {
    ORDER_PLACES = 2048,
    ORDER_OF_OTHERS = ORDER_PLACES / 4 * 3,
    ORDER_TEXT = 160,        /* an order as text, NUL included */
    ORDER_AHEAD_MS = 5000,   /* an order from further ahead than this is refused */
    ORDER_RELEASE_S = 21600, /* a release reaches members that come back within that time */
};

enum order_verb {
    ORDER_RELEASE = 1,
    ORDER_EXEMPT,
    ORDER_UNEXEMPT,
    ORDER_ACCOUNT, /* the release of an account; only orderbook_hear() tells of it */
};

struct order_kept {
    uint64_t id;       /* random, not 0 */
    uint64_t stamp_ms; /* when it was given; 1: before there was a fleet */
    uint64_t until_ms; /* of an exemption; 0: no end */
    enum order_verb verb;
    struct network network; /* not of ORDER_ACCOUNT, whose id is the account's common name */
};

/* "ID VERB NETWORK UNTIL STAMP". The first returns the length; the other false if the text is not
 * an order, or one about a network that cannot have it. */
size_t orderbook_write(const struct order_kept *o, char text[ORDER_TEXT]);
bool orderbook_read(struct span text, struct order_kept *o);

/* The release of an account (R23). It is carried out by the members that are there and not kept for
 * others, so it has no register. Each member remembers for itself what it has released. */
enum {
    ORDER_ACCOUNT_NAME = 255,
    ORDER_ACCOUNT_TEXT = 320,
    ORDER_ACCOUNT_S = 60,
    ORDER_ACCOUNTS = 128, /* that are remembered */
};

struct order_account {
    uint64_t id;       /* random, not 0 */
    uint64_t stamp_ms; /* when it was given */
    char name[ORDER_ACCOUNT_NAME + 1];
};

/* "ID release-account STAMP NAME". The first returns the length, or 0 if a name of that kind cannot
 * be sent (too long, or with control characters); the other returns false if the text is no such
 * order, or one from further ahead than ORDER_AHEAD_MS or older than ORDER_ACCOUNT_S. */
size_t orderbook_write_account(const struct order_account *o, char text[ORDER_ACCOUNT_TEXT]);
bool orderbook_read_account(struct span text, uint64_t now, struct order_account *o);

struct orderbook;

/* Opens or creates the file (NULL: memory only). Call it before the process starts. 0 or -errno. */
int orderbook_open(struct orderbook **out, const char *path);
void orderbook_close(struct orderbook *s);

enum order_took {
    ORDER_KNOWN, /* it, or a later one, was there; or it is too old */
    ORDER_TAKEN,
    ORDER_REFUSED, /* from the future, or there is no room */
};

/* `own`: given at this member, so it is carried out already. */
enum order_took orderbook_take(struct orderbook *s, const struct order_kept *o, bool own,
                               uint64_t now);

/* The account was released at this member. The oldest such release makes room for it; a later one of
 * the same account stays. */
void orderbook_account_released(struct orderbook *s, uint64_t account, uint64_t stamp_ms,
                                uint64_t now);

/* The next order that another fleet process of this mired has taken and this one has not heard of,
 * or the next release of an account that is remembered, also from before this mired's start. From
 * then on orderbook_forgot() knows the order. False: there is none. */
bool orderbook_hear(struct orderbook *s, uint64_t now, struct order_kept *o);

/* The latest order of that kind; false: none. */
bool orderbook_of(const struct orderbook *s, const struct network *n, bool release, uint64_t now,
                  struct order_kept *o);

/* Goes through all orders: *at is 0 at first; false at the end. */
bool orderbook_next(const struct orderbook *s, uint32_t *at, uint64_t now, struct order_kept *o);

/* The earliest order that has not been carried out here; false: none. */
bool orderbook_to_do(const struct orderbook *s, uint64_t now, struct order_kept *o);
void orderbook_done(struct orderbook *s, uint64_t id);

/* When the latest release or exemption that forgot the offences of that key was given (fleet time), if
 * it was not before `since_ms`; otherwise 0. `key` is a client (/32, /64) or a network, in whose name
 * something is booked. */
uint64_t orderbook_forgot(const struct orderbook *s, const struct network *key, uint64_t since_ms,
                          uint64_t now);

/* No such order is later than that. */
uint64_t orderbook_last_forgot(const struct orderbook *s);

/* Whether it is an exemption that has not ended. */
bool orderbook_exempts(const struct order_kept *o, uint64_t now);

#endif
