/* Domains and the sections that serve them; see routes.h.
 *
 * All names are in one open-addressed table. An entry has two meanings, one for its name and one
 * for the suffix with that name. Each says whether it is local, and has a list of sections for each
 * kind. Lists are nodes of a tree: a node adds one section to those of its parent. So domains with
 * the same sections share a node, and adding a section is a single step. */
#include "config/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PLACES = 64, NO_LIST = 0 /* the empty list, where no rule is */ };

/* What the configuration says about a name or a suffix. */
struct meaning {
    uint32_t list[ROUTE_KINDS]; /* NO_LIST: no rule */
    bool local;
};

struct entry {
    char *name; /* with a dot in front, which is not part of its key; NULL: a free place */
    uint64_t hash;
    uint32_t len; /* without the dot */
    struct meaning exact, suffix;
};

struct node {
    uint32_t parent, section, count;
    uint32_t child; /* its latest */
    uint32_t *sections;
    bool used; /* a domain, or those without a rule, have it */
};

struct lists {
    struct node *node; /* node[NO_LIST] is the empty one */
    uint32_t count, room;
    uint32_t rest; /* the list of sections without `domains` */
};

struct routes {
    struct entry *entry;
    size_t places, names;
    struct lists lists[ROUTE_KINDS];
};

/* ---- hashes ---- */

/* FNV-1a, from the end to the front: on the way it is the hash of each suffix. */
#define HASH_START UINT64_C(14695981039346656037)

static uint64_t hash_on(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)c) * UINT64_C(1099511628211);
}

static uint64_t hash_of(struct span name)
{
    uint64_t hash = HASH_START;

    for (size_t i = name.len; i > 0; i--)
        hash = hash_on(hash, name.at[i - 1]);
    return hash;
}

/* Where the name is, or would be. */
static struct entry *place_of(const struct routes *r, struct span name, uint64_t hash)
{
    size_t at = (size_t)(hash ^ hash >> 32) & (r->places - 1);

    for (;; at = (at + 1) & (r->places - 1)) {
        struct entry *e = &r->entry[at];
        if (!e->name ||
            (e->hash == hash && e->len == name.len && memcmp(e->name + 1, name.at, name.len) == 0))
            return e;
    }
}

/* ---- filling ---- */

struct routes *routes_new(void)
{
    struct routes *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->places = FIRST_PLACES;
    r->entry = calloc(r->places, sizeof *r->entry);
    bool good = r->entry;
    for (int k = 0; k < ROUTE_KINDS; k++) {
        r->lists[k].room = 16;
        r->lists[k].node = calloc(r->lists[k].room, sizeof *r->lists[k].node);
        r->lists[k].count = 1;
        good = good && r->lists[k].node;
    }
    if (good)
        return r;
    routes_free(r);
    return NULL;
}

void routes_free(struct routes *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->entry && i < r->places; i++)
        free(r->entry[i].name);
    for (int k = 0; k < ROUTE_KINDS; k++) {
        for (uint32_t i = 0; r->lists[k].node && i < r->lists[k].count; i++)
            free(r->lists[k].node[i].sections);
        free(r->lists[k].node);
    }
    free(r->entry);
    free(r);
}

/* Half of the places stay free. */
static int grow(struct routes *r)
{
    struct routes larger = *r;

    larger.places = r->places * 2;
    larger.entry = calloc(larger.places, sizeof *larger.entry);
    if (!larger.entry)
        return -ENOMEM;
    for (size_t i = 0; i < r->places; i++) {
        const struct entry *e = &r->entry[i];
        if (e->name)
            *place_of(&larger, (struct span){e->name + 1, e->len}, e->hash) = *e;
    }
    free(r->entry);
    r->entry = larger.entry;
    r->places = larger.places;
    return 0;
}

/* The meaning of a name or a suffix, for changes; NULL without memory. */
static struct meaning *meaning_of(struct routes *r, struct span name)
{
    bool suffix = name.len && name.at[0] == '.';
    struct span key = span_after(name, suffix);
    uint64_t hash = hash_of(key);

    if (r->names * 2 >= r->places && grow(r) < 0)
        return NULL;
    struct entry *e = place_of(r, key, hash);
    if (!e->name) {
        e->name = malloc(key.len + 2);
        if (!e->name)
            return NULL;
        e->name[0] = '.';
        memcpy(e->name + 1, key.at, key.len);
        e->name[key.len + 1] = '\0';
        e->hash = hash;
        e->len = (uint32_t)key.len;
        r->names++;
    }
    return suffix ? &e->suffix : &e->exact;
}

int routes_add_local(struct routes *r, struct span name)
{
    struct meaning *m = meaning_of(r, name);

    if (!m)
        return -ENOMEM;
    m->local = true;
    return 0;
}

/* The list with one more section: its parent's latest child, or a new one. */
static int list_with(struct lists *l, uint32_t *list, uint32_t section)
{
    struct node *parent = &l->node[*list];

    if (parent->count &&
        parent->section == section) /* it has the section already: the name was given twice */
        return 0;
    if (parent->child && l->node[parent->child].section == section) {
        *list = parent->child;
        return 0;
    }
    if (l->count == l->room) {
        struct node *more = reallocarray(l->node, l->room * 2, sizeof *more);
        if (!more)
            return -ENOMEM;
        l->node = more;
        l->room *= 2;
        parent = &l->node[*list];
    }
    l->node[l->count] =
        (struct node){.parent = *list, .section = section, .count = parent->count + 1};
    parent->child = l->count;
    *list = l->count++;
    return 0;
}

int routes_add(struct routes *r, enum route_kind kind, uint32_t section, struct span name)
{
    struct lists *l = &r->lists[kind];

    if (name.len == 0)
        return list_with(l, &l->rest, section);
    struct meaning *m = meaning_of(r, name);
    return m ? list_with(l, &m->list[kind], section) : -ENOMEM;
}

static int write_sections(struct lists *l)
{
    for (uint32_t i = 1; i < l->count; i++) {
        struct node *n = &l->node[i]; /* its parent's number is smaller */
        n->sections = calloc(n->count, sizeof *n->sections);
        if (!n->sections)
            return -ENOMEM;
        if (n->count > 1)
            memcpy(n->sections, l->node[n->parent].sections, (n->count - 1) * sizeof *n->sections);
        n->sections[n->count - 1] = n->section;
    }
    l->node[l->rest].used = l->rest != NO_LIST;
    return 0;
}

int routes_end(struct routes *r)
{
    int error = 0;

    for (int k = 0; k < ROUTE_KINDS && !error; k++)
        error = write_sections(&r->lists[k]);
    for (size_t i = 0; i < r->places && !error; i++)
        for (int k = 0; k < ROUTE_KINDS && r->entry[i].name; k++) {
            struct node *node = r->lists[k].node;
            uint32_t exact = r->entry[i].exact.list[k], suffix = r->entry[i].suffix.list[k];
            node[exact].used = node[exact].used || exact != NO_LIST;
            node[suffix].used = node[suffix].used || suffix != NO_LIST;
        }
    return error;
}

/* ---- looking up ---- */

/* The meaning that decides about a domain: its name's, or its longest suffix's; NULL if none. `has`
 * says whether a meaning is a rule. */
static const struct meaning *walk(const struct routes *r, struct span domain, const char **rule,
                                  bool (*has)(const struct meaning *m, int kind), int kind)
{
    bool pattern = domain.len && domain.at[0] == '.';
    struct span name = span_after(domain, pattern);
    const struct meaning *found = NULL;
    uint64_t hash = HASH_START;

    for (size_t i = name.len; i > 0; i--) {
        hash = hash_on(hash, name.at[i - 1]);
        if (i > 1 && name.at[i - 2] != '.')
            continue;
        const struct entry *e = place_of(r, span_after(name, i - 1), hash);
        if (e->name && has(&e->suffix, kind)) {
            found = &e->suffix;
            *rule = e->name;
        }
        if (i == 1 && !pattern && e->name && has(&e->exact, kind)) {
            found = &e->exact;
            *rule = e->name + 1;
        }
    }
    return found;
}

static bool is_local(const struct meaning *m, int kind)
{
    return m->local;
}

static bool has_list(const struct meaning *m, int kind)
{
    return m->list[kind] != NO_LIST;
}

bool routes_is_local(const struct routes *r, struct span domain, const char **rule)
{
    const char *by = "";
    bool local = walk(r, domain, &by, is_local, 0) != NULL;

    if (rule)
        *rule = by;
    return local;
}

static struct route route_of(const struct lists *l, uint32_t list, const char *rule)
{
    const struct node *n = &l->node[list];

    return (struct route){.rule = rule, .list = list, .section = n->sections, .count = n->count};
}

struct route routes_find(const struct routes *r, enum route_kind kind, struct span domain)
{
    const struct lists *l = &r->lists[kind];
    const char *rule = "";
    const struct meaning *m = walk(r, domain, &rule, has_list, (int)kind);

    return route_of(l, m ? m->list[kind] : l->rest, rule);
}

uint32_t routes_lists(const struct routes *r, enum route_kind kind)
{
    return r->lists[kind].count;
}

bool routes_list(const struct routes *r, enum route_kind kind, uint32_t list, struct route *out)
{
    const struct lists *l = &r->lists[kind];

    if (list >= l->count || !l->node[list].used)
        return false;
    *out = route_of(l, list, "");
    return true;
}

size_t routes_names(const struct routes *r)
{
    return r->names;
}
