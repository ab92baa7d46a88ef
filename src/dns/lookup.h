/* Looks a client up in all lists, and by its names.
 *
 * All queries go out at once, and no session waits for them. A finding is reported when it is
 * certain: "trusted" (an allow-list names the client, or a trusted name resolves back to it) at
 * once; "listed" when no query that could still make the client trusted is open. Findings stay in a
 * table (known.h).
 *
 * Queries and findings are about addr_inner() of the client's address.
 *
 * The number of clients in flight is bounded, with fair shares for their networks (shares.h); an
 * IPv6 /64 is one client. Lists and names have separate quotas, because clients control the zones
 * of their own names and can make them time out; that must not block queries to lists. When there
 * is no room, or while the resolver is down (health.h), a client is not looked up. Runs in the
 * caller's loop; not thread-safe. */
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
    LOOKUP_OPEN_MAX = 256,    /* clients looked up at a time in lists; the same by names */
    LOOKUP_POINTERS_MAX = 4,  /* names of one client that are followed */
    LOOKUP_KNOWN = 16 * 1024, /* clients that are remembered: 512 KiB */
    LOOKUP_NAMES = 2048,      /* clients with names that are remembered: 600 KiB */
    LOOKUP_NEGATIVE_S = 300,  /* for a "no" without a TTL */
    LOOKUP_AGAIN_S = 60,      /* until an unanswered query is sent again */
    LOOKUP_SILENT_AFTER = 5,  /* unanswered queries to a list in a row: then that is logged */
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
    bool client_names;                           /* look up each client's names */
    const struct addr *server;                   /* the resolver; none: the system's */
    size_t server_count;
    /* Reports a finding. `owner` is the one given to lookups_start(), or NULL after
     * lookups_disown(). Called from the loop or within lookups_start(), never from lookups_close().
     */
    void (*found)(void *arg, void *owner, const struct addr *client, const struct dns_finding *f);
    /* Reports whether a list has passed its test; see trial.h. */
    void (*tried)(void *arg, const char *zone, enum list_state now);
    void *arg;
};

struct lookups;

/* Returns 0 or -errno. The caller keeps the lists of `params`, and closes *out. */
int lookups_open(struct lookups **out, const struct lookup_params *params);
void lookups_close(struct lookups *l);

/* The stored finding of a client, as known_find() returns it; sends no query. */
bool lookups_known(const struct lookups *l, const struct addr *client, struct dns_finding *f,
                   bool *fresh);

/* What to look up: lists and trusted names; the client's own names. */
enum lookup_what { LOOKUP_TRUST = 1, LOOKUP_CLIENT_NAMES = 2 };

/* Starts a look-up; does nothing when one is in flight already or when there is no room. True:
 * `owner` is kept until it is disowned or the look-up ends. `what`: bits of enum lookup_what. */
bool lookups_start(struct lookups *l, const struct addr *client, uint32_t what, void *owner);

/* The client's names as far as they are known, else NAME_LATER. *open: a look-up is in flight.
 * True: known. */
bool lookups_names(const struct lookups *l, const struct addr *client, struct client_names *out,
                   bool *open);
/* The tests of the lists; owned by `l`. */
struct trial *lookups_trial(const struct lookups *l);

/* Calls `tried` again for each list that has been tested. */
void lookups_tell_again(const struct lookups *l);

void lookups_disown(struct lookups *l, const struct addr *client, const void *owner);

#endif
