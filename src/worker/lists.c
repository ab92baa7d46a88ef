/* Looks up clients in the DNS (R16, docs/tarpit.md): block-lists (`dnsbl`), allow-lists (`dnswl`),
 * confirmed names (`exempt`), and names for backends (`xclient`, `xforward`).
 *
 * A look-up (src/dns) starts when a client is greeted, and nothing waits for its answers. Listings
 * go into the ledger, where the next reply finds them. Trust goes into the worker's table of
 * findings, which each reply consults before it is held, and to the one connection that started the
 * look-up: its held reply is sent at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "dns/lookup.h"
#include "query/notes.h"
#include "worker/conn.h"
#include "worker/hold.h"
#include "worker/journal.h"
#include "worker/lists.h"
#include "worker/who.h"
#include "worker/worker_part.h"

struct lists {
    struct lookups *lookups;
    struct lookup_list *blocked, *allowed;
    bool judges, names; /* lists or trusted names are configured; clients' names are needed */
};

/* Whether it is the machine itself. Other loopback addresses are ordinary clients. */
static bool is_this_machine(const struct addr *a)
{
    static const struct addr four = {.octets = {127, 0, 0, 1}, .family = ADDR_IP4};

    return addr_is_loopback(a) && (a->family != ADDR_IP4 || addr_equal(a, &four));
}

static void book(struct worker *w, const struct addr *client, uint32_t listed)
{
    struct tarpit_who who = who_of(w, client, conn_is_exempt(w, client));
    double weight = 0;

    for (size_t i = 0; i < w->config->dnsbl_count; i++)
        if (listed >> i & 1 && w->config->dnsbl[i].weight > weight)
            weight = w->config->dnsbl[i].weight;
    if (weight > 0)
        tarpit_listed(&w->tarpit, &who, weight, w->loop.wall);
}

static void found(void *arg, void *owner, const struct addr *client, const struct dns_finding *f)
{
    struct worker *w = arg;
    struct conn *c = owner;

    if (f->trust == DNS_TRUST_NONE) {
        book(w, client, f->listed);
    } else if (c) {
        c->flags |= CONN_EXEMPT;
        journal_step(c, "becomes exempt", "a list or its name speaks for it");
        if (c->phase == CONN_HELD)
            hold_release(w, c); /* may free the connection */
    }
}

/* Whether mired tells a backend the client of a message. */
static bool sends_xclient(const struct config *c)
{
    for (size_t i = 0; i < c->backend_count; i++)
        if (c->backend[i].xclient || c->backend[i].xforward)
            return true;
    return false;
}

/* Applies what is known of a client; true: it must be looked up. */
static bool is_to_be_judged(struct worker *w, struct conn *c)
{
    struct dns_finding f;
    bool fresh = false;

    if (c->flags & CONN_EXEMPT || w->config->listen[c->listener].submission)
        return false;
    bool known = lookups_known(w->lists->lookups, &c->peer, &f, &fresh);
    if (known && f.trust != DNS_TRUST_NONE)
        c->flags |= CONN_EXEMPT;
    else if (known && fresh && f.listed)
        book(w, &c->peer, f.listed);
    return !fresh;
}

void lists_greet(struct worker *w, struct conn *c)
{
    struct client_names names;
    uint32_t what = 0;
    bool open;

    if (!w->lists || is_this_machine(&c->peer))
        return;
    if (w->lists->judges && is_to_be_judged(w, c))
        what |= LOOKUP_TRUST;
    if (w->lists->names && !lookups_names(w->lists->lookups, &c->peer, &names, &open))
        what |= LOOKUP_CLIENT_NAMES;
    if (what && lookups_start(w->lists->lookups, &c->peer, what, c))
        c->flags |= CONN_LOOKED_UP;
}

bool lists_client_names(const struct worker *w, const struct addr *peer, struct client_names *out)
{
    bool open = false;

    *out = (struct client_names){0};
    if (is_this_machine(peer))
        *out = (struct client_names){NAME_IS, NAME_IS, "localhost"};
    else if (w->lists && w->lists->names)
        (void)lookups_names(w->lists->lookups, peer, out, &open);
    return open;
}

bool lists_trust(const struct worker *w, const struct addr *peer)
{
    struct dns_finding f;
    bool fresh;

    return w->lists && (w->config->dnswl_count || w->config->exempt_names.count) &&
           lookups_known(w->lists->lookups, peer, &f, &fresh) && f.trust != DNS_TRUST_NONE;
}

void lists_forget(struct worker *w, const struct conn *c)
{
    if (c->flags & CONN_LOOKED_UP)
        lookups_disown(w->lists->lookups, &c->peer, c);
}

/* The stored finding of a client; empty if there is none. */
static struct dns_finding known(const struct worker *w, const struct addr *peer)
{
    struct dns_finding f;
    bool fresh;

    if (w->lists && lookups_known(w->lists->lookups, peer, &f, &fresh))
        return f;
    return (struct dns_finding){0};
}

static void add_names(const struct worker *w, const struct addr *peer, const struct dns_finding *f,
                      struct buf *names)
{
    const struct network *suspect = suspects_find(&w->suspects, peer);
    const struct config *config = w->config;
    char text[ADDR_TEXT];

    if (suspect)
        (void)buf_addf(names, "suspect:%s", network_format(suspect, text));
    for (size_t i = 0; i < config->dnsbl_count; i++)
        if (f->listed >> i & 1)
            (void)buf_addf(names, "%s%s", names->len ? "," : "", config->dnsbl[i].zone);
}

void lists_names(const struct worker *w, const struct addr *peer, struct buf *names)
{
    struct dns_finding f = known(w, peer);

    add_names(w, peer, &f, names);
}

void lists_journal(const struct worker *w, const struct addr *peer, struct log_line *l)
{
    struct dns_finding f = known(w, peer);
    struct buf names = {0};

    add_names(w, peer, &f, &names);
    if (names.len)
        log_span(l, "listed", buf_span(&names));
    buf_free(&names);
    if (f.trust != DNS_TRUST_NONE)
        log_text(l, "trusted",
                 f.trust == DNS_TRUST_LIST ? w->config->dnswl[f.by].zone
                                           : w->config->exempt_names.at[f.by]);
}

/* ---- tests of lists ---- */

/* For `status` and the page. */
static void tried(void *arg, const char *zone, enum list_state now)
{
    char text[NOTE_TEXT];

    snprintf(text, sizeof text, "%s %s", zone, list_state_name(now));
    worker_tell(arg, NOTE_LIST, text);
}

void lists_tell_again(const struct worker *w)
{
    if (w->lists)
        lookups_tell_again(w->lists->lookups);
}

/* ---- opening and closing ---- */

static struct lookup_list *make_lists(const struct config_list *list, size_t count)
{
    struct lookup_list *l = calloc(count + 1, sizeof *l);

    for (size_t i = 0; l && i < count; i++)
        l[i] = (struct lookup_list){list[i].zone, list[i].patterns, !list[i].test};
    return l;
}

static int open_lookups(struct worker *w, struct lists *s)
{
    const struct config *c = w->config;

    s->blocked = make_lists(c->dnsbl, c->dnsbl_count);
    s->allowed = make_lists(c->dnswl, c->dnswl_count);
    if (!s->blocked || !s->allowed)
        return -ENOMEM;
    return lookups_open(&s->lookups,
                        &(struct lookup_params){.loop = &w->loop,
                                                .blocked = s->blocked,
                                                .blocked_count = c->dnsbl_count,
                                                .allowed = s->allowed,
                                                .allowed_count = c->dnswl_count,
                                                .name = (const char *const *)c->exempt_names.at,
                                                .name_count = c->exempt_names.count,
                                                .client_names = s->names,
                                                .server = c->resolvers,
                                                .server_count = c->resolver.count,
                                                .found = found,
                                                .tried = tried,
                                                .arg = w});
}

bool lists_open(struct worker *w)
{
    const struct config *c = w->config;

    bool judges = c->dnsbl_count + c->dnswl_count + c->exempt_names.count > 0;
    w->sends_xclient = sends_xclient(c);
    if (!judges && !w->sends_xclient)
        return true;
    w->lists = calloc(1, sizeof *w->lists);
    if (!w->lists)
        return false;
    w->lists->judges = judges;
    w->lists->names = w->sends_xclient;
    int error = open_lookups(w, w->lists);
    if (error) { /* mail must not wait for lists */
        log_warn("DNS: %s: treating clients as not listed", strerrordesc_np(-error));
        lists_close(w);
    }
    return true;
}

void lists_close(struct worker *w)
{
    if (!w->lists)
        return;
    lookups_close(w->lists->lookups);
    free(w->lists->blocked);
    free(w->lists->allowed);
    free(w->lists);
    w->lists = NULL;
}
