/* Which sections of the configuration serve a domain: `domains` at the top, and in `recipients`,
 * `auth` and `backend`.
 *
 * A name means itself; ".example.org" means example.org and all below it (as in `exempt`). A domain
 * gets the sections that name it exactly; if there are none, those with its longest suffix; if
 * there are none either, those without `domains`. Sections keep their order. Names are folded:
 * lower case, A-labels, no final dot.
 *
 * One process fills the table once; after that it is only read. A look-up hashes the domain once,
 * label by label from its end. It takes as many probes as the domain has labels, however many names
 * there are. Pure. */
#ifndef MIRED_CONFIG_ROUTES_H
#define MIRED_CONFIG_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum route_kind { ROUTE_RECIPIENTS, ROUTE_AUTH, ROUTE_BACKEND, ROUTE_KINDS };

struct routes;

/* What serves a domain. Borrowed from the table. */
struct route {
    const char *rule;        /* the name or suffix that decided, with its dot; "": no name, these
                                are the sections without `domains` */
    uint32_t list;           /* the same number for the same sections; see routes_list() */
    const uint32_t *section; /* their numbers, ascending */
    size_t count;            /* 0: nothing serves it */
};

/* NULL without memory. */
struct routes *routes_new(void);
void routes_free(struct routes *r);

/* Adds a name or suffix of `domains` at the top; 0 or -ENOMEM. */
int routes_add_local(struct routes *r, struct span name);

/* Adds a name or suffix to section number `section` of a kind; an empty one adds the section to
 * those without `domains`. Sections come in ascending order. 0 or -ENOMEM. */
int routes_add(struct routes *r, enum route_kind kind, uint32_t section, struct span name);

/* Ends the filling; nothing can be looked up before. 0 or -ENOMEM. */
int routes_end(struct routes *r);

/* Whether `domains` has the domain. *rule (NULL: not wanted) is the name or suffix that says so. */
bool routes_is_local(const struct routes *r, struct span domain, const char **rule);

/* The sections that serve the domain; for an empty domain, those without `domains`. For a suffix
 * (".example.org"), those that serve the domains below it that no other rule names. */
struct route routes_find(const struct routes *r, enum route_kind kind, struct span domain);

/* Numbers of lists are below this. */
uint32_t routes_lists(const struct routes *r, enum route_kind kind);
/* The sections of a list. False: no domain has it. */
bool routes_list(const struct routes *r, enum route_kind kind, uint32_t list, struct route *out);

/* Names and suffixes in the table. */
size_t routes_names(const struct routes *r);

#endif
