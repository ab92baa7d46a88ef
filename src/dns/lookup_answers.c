/* Handles the answers to a look-up's queries; see lookup_part.h. Runs in workers. */
#include <ares.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "dns/answer.h"
#include "dns/lookup_part.h"
#include "dns/ttl.h"

static struct list_record *state_of(struct lookups *l, const struct lookup_query *q)
{
    return &(q->kind == ASK_ALLOWED ? l->allowed : l->blocked)[q->by];
}

static const struct lookup_list *list_of(const struct lookups *l, const struct lookup_query *q)
{
    return &(q->kind == ASK_ALLOWED ? l->params.allowed : l->params.blocked)[q->by];
}

/* A query was not answered. If a list does not answer, this is logged once, until it answers again.
 * If no server answers, the resolver is down and not the list. */
static void missed(struct lookups *l, const struct lookup_query *q, int status)
{
    metric_add(METRIC_DNS_FAILED, 1);
    if (!query_is_list(q) || !health_is_sound(&l->health))
        return;
    struct list_record *s = state_of(l, q);
    if (s->missed < LOOKUP_SILENT_AFTER && ++s->missed == LOOKUP_SILENT_AFTER)
        log_warn("DNS: %s does not answer (%s)", list_of(l, q)->zone, resolver_status(status));
}

static void answers(struct lookups *l, const struct lookup_query *q)
{
    if (!query_is_list(q))
        return;
    struct list_record *s = state_of(l, q);
    if (s->missed >= LOOKUP_SILENT_AFTER)
        log_warn("DNS: %s answers again", list_of(l, q)->zone);
    s->missed = 0;
}

static void refuses(struct lookups *l, const struct lookup_query *q)
{
    struct list_record *s = state_of(l, q);

    metric_add(METRIC_DNS_BLOCKED, 1);
    if (!s->refuses)
        log_warn("DNS: %s does not serve this resolver (127.255.255.0/24); ignoring its answers",
                 list_of(l, q)->zone);
    s->refuses = true;
}

/* Judges a list's A records: one that counts is enough. */
static enum listing judge(const struct lookup_list *list, const unsigned char *answer, size_t len)
{
    uint8_t a[ADDRESSES_MAX][4];
    size_t n = dns_addresses(answer, len, sizeof a[0], a[0], ADDRESSES_MAX);
    enum listing all = LISTING_NO;

    for (size_t i = 0; i < n; i++) {
        enum listing one = listing_judge(&list->replies, a[i]);
        if (one == LISTING_YES)
            return one;
        all = one == LISTING_BLOCKED ? one : all;
    }
    return all;
}

static void list_said(struct lookup *u, const struct lookup_query *q, const unsigned char *answer,
                      size_t len)
{
    struct lookups *l = u->all;
    bool allowed = q->kind == ASK_ALLOWED;

    switch (judge(list_of(l, q), answer, len)) {
    case LISTING_YES:
        metric_add(allowed ? METRIC_DNS_TRUSTED : METRIC_DNS_LISTED, 1);
        if (allowed && u->waits)
            u->allowed |= (uint32_t)1 << q->by;
        else if (allowed && lookup_counts(l, l->params.blocked_count + q->by))
            lookup_trusted(u, DNS_TRUST_LIST, q->by);
        else if (!allowed)
            u->finding.listed |= (uint32_t)1 << q->by;
        break;
    case LISTING_BLOCKED: refuses(l, q); break;
    case LISTING_NO: metric_add(METRIC_DNS_NOTHING, 1); break;
    }
}

/* The index of the trusted name that matches; NOBODY: none. */
static uint8_t trusted_by(const struct lookup_params *params, struct span name)
{
    for (size_t i = 0; i < params->name_count; i++)
        if (dns_name_matches(params->name[i], name))
            return (uint8_t)i;
    return NOBODY;
}

/* Notes that the reverse zone has answered: the client has no name unless one follows. */
static void no_name(struct lookup *u)
{
    if (u->own)
        u->own->found.reverse = u->own->found.confirmed = NAME_NONE;
}

/* Looks up the addresses of a PTR name, if the client's names are wanted or the name is trusted. */
static bool follow(struct lookup *u, const char *name, int nth)
{
    const struct lookup_params *params = &u->all->params;
    struct span text = span_of(name);
    uint8_t by = dns_name_is_valid(text) ? trusted_by(params, text) : NOBODY;
    bool told = u->own && names_may_tell(text);

    if (by == NOBODY && !told)
        return false;
    if (u->own)
        snprintf(u->own->pointer[nth], DNS_NAME_ROOM, "%s", name);
    if (told && u->own->found.reverse != NAME_IS) {
        u->own->found.reverse = NAME_IS;
        snprintf(u->own->found.text, DNS_NAME_ROOM, "%s", name);
    }
    lookup_ask(u, name, u->client.family == ADDR_IP4 ? DNS_A : DNS_AAAA,
               (struct lookup_query){u, ASK_ADDRESS, by, (uint8_t)nth});
    return true;
}

/* The owner of an address chooses its PTR names freely, so a name counts only after a query to its
 * own zone. */
static void pointer_said(struct lookup *u, const unsigned char *answer, size_t len)
{
    struct dns_name name[NAMES_MAX];
    size_t n = dns_names(answer, len, name, NAMES_MAX);
    int followed = 0;

    no_name(u);
    for (size_t i = 0; i < n && followed < LOOKUP_POINTERS_MAX; i++)
        followed += follow(u, name[i].text, followed);
    if (followed == 0)
        metric_add(METRIC_DNS_NOTHING, 1);
}

static bool has_address(const struct addr *client, const unsigned char *answer, size_t len)
{
    size_t octets = client->family == ADDR_IP4 ? 4 : 16;
    uint8_t a[ADDRESSES_MAX * 16];
    size_t n = dns_addresses(answer, len, octets, a, ADDRESSES_MAX);

    for (size_t i = 0; i < n; i++)
        if (memcmp(a + octets * i, client->octets, octets) == 0)
            return true;
    return false;
}

static void confirm(struct own_names *own, const char *name)
{
    if (own->found.confirmed == NAME_IS || !names_may_tell(span_of(name)))
        return;
    own->found.confirmed = own->found.reverse = NAME_IS;
    snprintf(own->found.text, DNS_NAME_ROOM, "%s", name);
}

static void name_said(struct lookup *u, const struct lookup_query *q, const unsigned char *answer,
                      size_t len)
{
    bool confirmed = has_address(&u->client, answer, len);

    metric_add(confirmed ? METRIC_DNS_TRUSTED : METRIC_DNS_NOTHING, 1);
    if (confirmed && u->own)
        confirm(u->own, u->own->pointer[q->nth]);
    if (confirmed && q->by != NOBODY)
        lookup_trusted(u, DNS_TRUST_NAME, q->by);
}

void lookup_hear(struct lookup *u, const struct lookup_query *q, int status,
                 const unsigned char *answer, size_t len)
{
    bool something = status == ARES_SUCCESS;
    uint32_t ttl = dns_ttl(answer, answer ? len : 0, LOOKUP_NEGATIVE_S);

    if (!something && status != ARES_ENOTFOUND && status != ARES_ENODATA) {
        missed(u->all, q, status);
        u->silent = u->silent || !query_is_list(q);
        if (q->kind == ASK_ADDRESS && u->own && u->own->found.confirmed == NAME_NONE)
            u->own->found.confirmed = NAME_LATER;
        u->ttl_s = u->ttl_s < LOOKUP_AGAIN_S ? u->ttl_s : LOOKUP_AGAIN_S;
        return;
    }
    answers(u->all, q);
    u->heard++;
    u->ttl_s = u->ttl_s < ttl ? u->ttl_s : ttl;
    if (!something) {
        metric_add(METRIC_DNS_NOTHING, 1);
        if (q->kind == ASK_POINTER)
            no_name(u);
        return;
    }
    switch ((enum kind)q->kind) {
    case ASK_BLOCKED:
    case ASK_ALLOWED: list_said(u, q, answer, len); break;
    case ASK_POINTER: pointer_said(u, answer, len); break;
    case ASK_ADDRESS: name_said(u, q, answer, len); break;
    }
}
