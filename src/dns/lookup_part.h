/* Shared by the two halves of a look-up: lookup.c sends queries, lookup_answers.c handles answers.
 * Private to src/dns. */
#ifndef MIRED_DNS_LOOKUP_PART_H
#define MIRED_DNS_LOOKUP_PART_H

#include "base/siphash.h"
#include "base/slab.h"
#include "dns/health.h"
#include "dns/lookup.h"
#include "dns/resolver.h"

enum {
    BUCKETS = 256,
    ADDRESSES_MAX = 64, /* addresses of one name that are examined */
    NAMES_MAX = 32,     /* names of one address */
    NOBODY = 255
};

enum kind { ASK_BLOCKED, ASK_ALLOWED, ASK_POINTER, ASK_ADDRESS };

/* A client's names while they are being looked up. */
struct own_names {
    struct client_names found;
    char pointer[LOOKUP_POINTERS_MAX][DNS_NAME_ROOM]; /* those that are followed */
};

struct lookup {
    struct lookups *all;
    struct lookup *next; /* in its bucket */
    struct addr client;
    void *owner;
    struct dns_finding finding;
    uint32_t told;         /* finding.listed as last reported */
    uint32_t ttl_s;        /* the least so far */
    uint16_t open;         /* open queries, plus one while they are being sent */
    uint16_t trusting;     /* those that could still make the client trusted */
    uint16_t heard;        /* answered queries */
    uint16_t lists, names; /* open queries of each kind; while there are any, it has a place */
    bool silent;           /* a query for names was not answered */
    uint8_t what;          /* enum lookup_what */
    bool waits;            /* open until the lists have been tested for the first time */
    uint32_t allowed;      /* a bit for each untested list that trusts the client */
    struct own_names *own; /* NULL: the client's names are not wanted, or there is no memory */
};

struct lookup_query {
    struct lookup *of;
    uint8_t kind; /* enum kind */
    uint8_t by;   /* which list, or which trusted name; NOBODY: no trusted name */
    uint8_t nth;  /* ASK_ADDRESS: the index in own_names.pointer */
};

struct lookups {
    struct lookup_params params;
    struct resolver *resolver;
    struct known *known;
    struct names *names; /* NULL: not wanted */
    struct trial *trial;
    struct lookup_list *list; /* blocked, then allowed ones */
    struct slab slab, queries;
    struct sipkey key;
    struct lookup *bucket[BUCKETS];
    struct shares *list_places, *name_places;
    bool closing;
    struct health health;
    struct list_record {
        uint16_t missed; /* queries in a row */
        bool refuses;    /* it does not serve this resolver; already logged */
    } blocked[LOOKUP_LISTS_MAX], allowed[LOOKUP_LISTS_MAX];
};

static inline bool query_is_list(const struct lookup_query *q)
{
    return q->kind == ASK_ALLOWED || q->kind == ASK_BLOCKED;
}

/* Whether that list's answers count. `list`: dnsbl lists first, then dnswl lists. */
bool lookup_counts(const struct lookups *l, size_t list);

/* Records and reports at once that the client is trusted. */
void lookup_trusted(struct lookup *u, enum dns_trust trust, uint8_t by);

/* Sends one query of a look-up. */
void lookup_ask(struct lookup *u, const char *name, enum dns_type type, struct lookup_query about);

/* Handles the end of a query: records the result and sends the queries that follow from it. */
void lookup_hear(struct lookup *u, const struct lookup_query *q, int status,
                 const unsigned char *answer, size_t len);

#endif
