/* Domains of sections: folded, put into the table of routes, and compared with `domains`.
 *
 * A domain that nothing serves is an error. A section, or a domain of one, that no mail or login
 * can reach causes a warning: it is probably a typing error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"
#include "dns/name.h"

enum {
    TOLD_MAX = 10,     /* domains that are named for one kind of mistake */
    BACKENDS_MAX = 64, /* of one domain: relay.c has a bit for each */
};

static const enum section_kind section_of[ROUTE_KINDS] = {[ROUTE_RECIPIENTS] = SECTION_RECIPIENTS,
                                                          [ROUTE_AUTH] = SECTION_AUTH,
                                                          [ROUTE_BACKEND] = SECTION_BACKEND};

static size_t count_of(const struct config *c, enum route_kind kind)
{
    return kind == ROUTE_RECIPIENTS ? c->recipients_count
           : kind == ROUTE_AUTH     ? c->auth_count
                                    : c->backend_count;
}

static struct config_strings *domains_of(const struct config *c, enum route_kind kind, size_t i)
{
    return kind == ROUTE_RECIPIENTS ? &c->recipients[i].domains
           : kind == ROUTE_AUTH     ? &c->auth[i].domains
                                    : &c->backend[i].domains;
}

static const char *title_of(const struct config *c, enum route_kind kind, size_t i)
{
    return kind == ROUTE_RECIPIENTS ? config_recipients_name(c->recipients[i].kind)
           : kind == ROUTE_AUTH     ? config_auth_name(c->auth[i].kind)
                                    : c->backend[i].name;
}

bool config_fold_domain(struct reader *r, struct place at, const char *key, char **text)
{
    bool suffix = **text == '.';
    char folded[257] = ".";

    if (strncmp(*text, "*.", 2) == 0) {
        reader_wrong(r, at,
                     "%s: \"%.80s\" is a pattern, and patterns match nothing; expected \"%.80s\" "
                     "for that domain and all below it",
                     key, *text, *text + 1);
        return false;
    }
    if (!value_domain(*text + suffix, folded + 1) || !dns_name_is_valid(span_of(folded + 1))) {
        reader_wrong(r, at, "%s: \"%.80s\" is not a domain; expected example.org", key, *text);
        return false;
    }
    char *copy = strdup(folded + !suffix);
    if (!copy)
        return false;
    free(*text);
    *text = copy;
    return true;
}

/* ---- the table ---- */

static bool add_section(struct reader *r, struct routes *table, enum route_kind kind, size_t i)
{
    struct config_strings *list = domains_of(r->config, kind, i);
    int error = 0;

    if (list->count == 0)
        return routes_add(table, kind, (uint32_t)i, (struct span){0}) == 0;
    for (size_t k = 0; k < list->count && !error; k++)
        if (config_fold_domain(r, reader_place(r, section_of[kind], i, "domains"), "domains",
                               &list->at[k]))
            error = routes_add(table, kind, (uint32_t)i, span_of(list->at[k]));
    return error == 0;
}

static bool fill(struct reader *r, struct routes *table)
{
    const struct config *c = r->config;
    bool good = true;

    for (size_t i = 0; i < c->domains.count && good; i++)
        good = routes_add_local(table, span_of(c->domains.at[i])) == 0;
    for (int k = 0; k < ROUTE_KINDS; k++)
        for (size_t i = 0; i < count_of(c, (enum route_kind)k) && good; i++)
            good = add_section(r, table, (enum route_kind)k, i);
    return good && routes_end(table) == 0;
}

/* ---- what does not fit ---- */

/* A mistake that many domains may share: the first ones are named, the others counted. */
struct telling {
    struct reader *reader;
    struct place at;
    size_t told;
};

static bool may_tell(struct telling *t)
{
    if (++t->told == TOLD_MAX + 1)
        reader_wrong(t->reader, t->at, "... and so for further domains");
    return t->told <= TOLD_MAX;
}

/* Checks that each of `domains` has a backend, and a directory if there are any directories. */
static void check_served(struct reader *r)
{
    const struct config *c = r->config;
    struct telling t = {r, reader_main(r, "domains"), 0};

    for (size_t i = 0; i < c->domains.count; i++) {
        const char *name = c->domains.at[i];
        struct route backend = config_route(c, ROUTE_BACKEND, span_of(name));
        struct route directory = config_route(c, ROUTE_RECIPIENTS, span_of(name));
        bool silent = backend.count > 0 && (directory.count > 0 || c->recipients_count == 0);
        if (silent || !may_tell(&t))
            continue;
        if (backend.count == 0)
            reader_wrong(r, t.at,
                         "domains: no backend gets the mail of \"%s\"; expected a backend whose "
                         "domains name it, or one without domains",
                         name);
        else
            reader_wrong(r, t.at,
                         "domains: no recipients section knows the people of \"%s\"; expected one "
                         "whose domains name it, or one without domains",
                         name);
    }
}

static bool has_server(const struct config *c, const struct route *backends)
{
    for (size_t i = 0; i < backends->count; i++)
        if (c->backend[backends->section[i]].kind != BACKEND_STORE)
            return true;
    return false;
}

static void wants_server(struct telling *t, const char *section, struct span domain)
{
    if (may_tell(t))
        reader_wrong(t->reader, t->at,
                     "%s \"backend\" needs a mail server to ask%s%.*s; expected backend "
                     "\"smtp://127.0.0.1:10025\" { }",
                     section, domain.len ? " for " : "", (int)domain.len,
                     domain.len ? domain.at : "");
}

/* A directory that asks the backend needs a backend that can be asked, for each of its domains that
 * is ours. */
static void check_domain_askable(struct telling *t, size_t section, struct span domain)
{
    const struct config *c = t->reader->config;
    struct route directory = config_route(c, ROUTE_RECIPIENTS, domain);
    struct route backends = config_route(c, ROUTE_BACKEND, domain);

    for (size_t i = 0; i < directory.count; i++)
        if (directory.section[i] == section && !has_server(c, &backends))
            wants_server(t, "recipients", domain);
}

/* The domains of ours that have a rule of their own. */
static void check_directory_askable(struct reader *r, size_t section)
{
    const struct config *c = r->config;
    struct telling t = {r, r->section[SECTION_RECIPIENTS][section], 0};

    for (size_t i = 0; i < c->domains.count; i++)
        check_domain_askable(&t, section, span_of(c->domains.at[i]));
    for (size_t i = 0; i < c->backend_count; i++)
        for (size_t k = 0; k < c->backend[i].domains.count; k++) {
            struct span domain = span_of(c->backend[i].domains.at[k]);
            const char *rule = "";
            if (routes_is_local(c->routes, domain, &rule) && !span_equal(span_of(rule), domain))
                check_domain_askable(&t, section, domain);
        }
}

/* A verifier that asks the backend needs a backend for each of its domains. */
static void check_verifier_askable(struct reader *r, size_t section)
{
    const struct config *c = r->config;
    const struct config_strings *list = &c->auth[section].domains;
    struct telling t = {r, r->section[SECTION_AUTH][section], 0};

    for (size_t k = 0; k < list->count + (list->count == 0); k++) {
        struct span domain = list->count ? span_of(list->at[k]) : (struct span){0};
        struct route backends = config_route(c, ROUTE_BACKEND, domain);
        if (!has_server(c, &backends))
            wants_server(&t, "auth", domain);
    }
}

static void check_backends(struct reader *r)
{
    const struct config *c = r->config;
    struct route backends;

    for (size_t i = 0; i < c->recipients_count; i++)
        if (c->recipients[i].kind == RECIPIENTS_BACKEND && r->section[SECTION_RECIPIENTS][i].line)
            check_directory_askable(r, i);
    for (size_t i = 0; i < c->auth_count; i++)
        if (c->auth[i].kind == AUTH_BACKEND && r->section[SECTION_AUTH][i].line)
            check_verifier_askable(r, i);
    for (uint32_t n = 0; n < routes_lists(c->routes, ROUTE_BACKEND); n++)
        if (routes_list(c->routes, ROUTE_BACKEND, n, &backends) && backends.count > BACKENDS_MAX)
            reader_wrong(r, r->section[SECTION_BACKEND][backends.section[BACKENDS_MAX]],
                         "%zu backends serve the same domain; expected at most %d", backends.count,
                         BACKENDS_MAX);
}

/* ---- what is never reached ---- */

/* Clients that may send anywhere. */
static bool is_sent_elsewhere(const struct config *c)
{
    return c->auth_count > 0 || c->relay.count > 0;
}

/* Sections that one of `domains` leads to. */
static bool *reached_sections(const struct config *c, enum route_kind kind)
{
    bool *reached = calloc(count_of(c, kind) + 1, sizeof *reached);

    for (size_t i = 0; reached && i < c->domains.count; i++) {
        struct route route = config_route(c, kind, span_of(c->domains.at[i]));
        for (size_t k = 0; k < route.count; k++)
            reached[route.section[k]] = true;
    }
    return reached;
}

/* Whether one of `domains` is below a suffix of a section. Compares them by name, each with the
 * rule that it leads to. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct rules {
    const char **at;
    size_t count;
};

static struct rules rules_reached(const struct config *c, enum route_kind kind)
{
    struct rules rules = {calloc(c->domains.count + 1, sizeof *rules.at), 0};

    for (size_t i = 0; rules.at && i < c->domains.count; i++)
        rules.at[rules.count++] = config_route(c, kind, span_of(c->domains.at[i])).rule;
    if (rules.at)
        qsort(rules.at, rules.count, sizeof *rules.at, by_text);
    return rules;
}

static void warn_of_domains(struct reader *r, enum route_kind kind, size_t i,
                            const struct rules *rules)
{
    const struct config *c = r->config;
    const struct config_strings *list = domains_of(c, kind, i);
    unsigned told = 0;

    for (size_t k = 0; k < list->count && told <= TOLD_MAX; k++) {
        const char *name = list->at[k];
        if (routes_is_local(c->routes, span_of(name), NULL) ||
            bsearch(&name, rules->at, rules->count, sizeof *rules->at, by_text))
            continue;
        struct place at = reader_place(r, section_of[kind], i, "domains");
        if (told++ == TOLD_MAX)
            reader_warn(r, at, "... and so for further domains");
        else
            reader_warn(r, at,
                        "%s \"%s\": nothing is ever sent to \"%s\": `domains` has neither it nor "
                        "a suffix of it",
                        sections[section_of[kind]].name, title_of(c, kind, i), name);
    }
}

/* A section for the mail of `domains` (not for logins, whose names may have any domain). */
static void warn_of_sections(struct reader *r, enum route_kind kind)
{
    const struct config *c = r->config;
    bool *reached = reached_sections(c, kind);
    struct rules rules = rules_reached(c, kind);

    for (size_t i = 0; reached && rules.at && i < count_of(c, kind); i++) {
        if (domains_of(c, kind, i)->count)
            warn_of_domains(r, kind, i, &rules);
        else if (!reached[i])
            reader_warn(r, r->section[section_of[kind]][i],
                        "%s \"%s\" has no domains, and each of `domains` has another section: it "
                        "is never used",
                        sections[section_of[kind]].name, title_of(c, kind, i));
    }
    free(reached);
    free(rules.at);
}

static void warn_of_the_rest(struct reader *r)
{
    const struct config *c = r->config;

    if (c->auth_count && config_route(c, ROUTE_AUTH, (struct span){0}).count == 0)
        reader_warn(r, (struct place){0},
                    "each auth section has domains: nobody logs in with a name without a domain");
    if (is_sent_elsewhere(c) && config_route(c, ROUTE_BACKEND, (struct span){0}).count == 0)
        reader_warn(r, (struct place){0},
                    "each backend has domains: clients that log in, or are in `relay`, cannot send "
                    "to other domains (550 5.4.4)");
}

void config_make_routes(struct reader *r)
{
    struct routes *table = routes_new();

    if (table && fill(r, table)) {
        r->config->routes = table;
        return;
    }
    reader_wrong(r, (struct place){0}, "no memory");
    routes_free(table);
}

void config_check_routes(struct reader *r)
{
    const struct config *c = r->config;

    if (r->wrong) /* a malformed domain would be reported twice */
        return;
    check_served(r);
    check_backends(r);
    if (r->wrong)
        return;
    warn_of_sections(r, ROUTE_RECIPIENTS);
    if (!is_sent_elsewhere(c)) /* otherwise it may be for domains that are not ours */
        warn_of_sections(r, ROUTE_BACKEND);
    warn_of_the_rest(r);
}
