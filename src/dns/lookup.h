/* One client looked up in all lists, and by its name: questions out, findings in.
 *
 * Everything is asked at once, nobody waits, and what comes is told when it is sure: that a client
 * is trusted (an allow-list names it, or a name of it that is trusted leads back to it) at once;
 * that it is listed when nothing that could say it is trusted is still open. What is known stays in
 * a table (known.h).
 *
 * Asked about, and told of, is who answers for the address (addr_inner()).
 *
 * Bounded: so many clients are looked up at a time, an IPv6 /64 being one, in fair shares of their
 * networks (shares.h). Lists and names have places of their own: names are asked of zones that the
 * client's own network has, which may be silent, and that keeps nobody from being asked about in
 * lists. What finds no room, or comes while the resolver is down (health.h), is not asked. One
 * thread; the caller's loop. */
#ifndef MIRED_DNS_LOOKUP_H
#define MIRED_DNS_LOOKUP_H

#include "base/addr.h"
#include "base/loop.h"
#include "dns/known.h"
#include "dns/listing.h"
#include "dns/names.h"
#include "dns/trial.h"

enum {
    LOOKUP_LISTS_MAX = 32,    /* of each kind: a bit each in a finding */
    LOOKUP_OPEN_MAX = 256,    /* clients being looked up in lists; and by their names */
    LOOKUP_POINTERS_MAX = 4,  /* names of one client that are followed */
    LOOKUP_KNOWN = 16 * 1024, /* clients that are remembered: 512 KiB */
    LOOKUP_NAMES = 2048,      /* clients whose names are: 600 KiB */
    LOOKUP_NEGATIVE_S = 300,  /* for a "no" that does not say how long it holds */
    LOOKUP_AGAIN_S = 60,      /* until what has not been answered is asked again */
    LOOKUP_SILENT_AFTER = 5, /* questions to a list in a row that are not answered: it is told of */
};

struct lookup_list {
    const char *zone; /* borrowed, as all here */
    struct listing_patterns replies;
    bool untested; /* it has no test entries: see trial.h */
};

struct lookup_params {
    struct loop *loop;
    const struct lookup_list *blocked, *allowed; /* dnsbl, dnswl */
    size_t blocked_count, allowed_count;         /* at most LOOKUP_LISTS_MAX */
    const char *const *name;                     /* trusted; see dns_name_matches() */
    size_t name_count;                           /* at most 255 */
    bool client_names;                           /* clients' names are wanted, whatever they are */
    const struct addr *server;                   /* the resolver; none: the system's */
    size_t server_count;
    /* Something has been found out: `owner` is who lookups_start() was told, or NULL since
     * lookups_disown(). Comes from the loop, or from within lookups_start(); not from
     * lookups_close(). */
    void (*found)(void *arg, void *owner, const struct addr *client, const struct dns_finding *f);
    /* A list has passed its test, or not; see trial.h. */
    void (*tried)(void *arg, const char *zone, enum list_state now);
    void *arg;
};

struct lookups;

/* 0 or -errno. The params's lists stay the caller's. */
int lookups_open(struct lookups **out, const struct lookup_params *params);
void lookups_close(struct lookups *l);

/* What is known of a client, as known_find() tells it; never asks. */
bool lookups_known(const struct lookups *l, const struct addr *client, struct dns_finding *f,
                   bool *fresh);

/* What to look up: what lists say and whether a trusted name does; the client's own names. */
enum lookup_what { LOOKUP_TRUST = 1, LOOKUP_CLIENT_NAMES = 2 };

/* Looks the client up; does nothing when that is being done already, or when there is no room.
 * True: `owner` is kept until it is disowned or all has been found out. `what`: of enum
 * lookup_what. */
bool lookups_start(struct lookups *l, const struct addr *client, uint32_t what, void *owner);

/* The client's names, as far as they are known; nothing known is NAME_LATER. *open tells whether
 * that is being looked up. True: known. */
bool lookups_names(const struct lookups *l, const struct addr *client, struct client_names *out,
                   bool *open);
/* The tests of its lists. */
struct trial *lookups_trial(const struct lookups *l);

/* Calls `tried` again for each list that has been. */
void lookups_tell_again(const struct lookups *l);

void lookups_disown(struct lookups *l, const struct addr *client, const void *owner);

#endif
