/* The table of routes with names and domains of any octets: whatever the configuration holds and a
 * client asks for, the answer is that of a naive reading of the rules.
 *
 * A line is a name of the table, in which the first octet chooses its section; a line behind an
 * empty one is a domain that is looked up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/routes.h"

enum { NAMES_MAX = 64 };

struct naive {
    struct span name[NAMES_MAX];
    size_t count;
};

static bool ends_with(struct span domain, struct span suffix)
{
    if (span_equal(domain, span_after(suffix, 1)))
        return true;
    return domain.len > suffix.len &&
           span_equal(span_after(domain, domain.len - suffix.len), suffix);
}

/* The name that decides; empty: none does. */
static struct span rule_of(const struct naive *n, struct span domain)
{
    struct span best = {"", 0};

    for (size_t i = 0; i < n->count; i++) {
        struct span name = n->name[i];
        if (name.len && name.at[0] == '.' ? ends_with(domain, name) && name.len > best.len
                                          : span_equal(name, domain)) {
            best = name;
            if (name.at[0] != '.')
                return best;
        }
    }
    return best;
}

static struct span take_line(struct span *in)
{
    size_t end = span_find(*in, '\n');
    struct span line = span_first(*in, end);

    *in = span_after(*in, end + 1);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct routes *r = routes_new();
    struct naive n = {.count = 0};
    uint32_t section = 0;

    while (r && in.len) {
        struct span name = take_line(&in);
        if (name.len < 2)
            break;
        section += (unsigned char)name.at[0] % 3;
        name = span_after(name, 1);
        bool odd = span_equal(name, SPAN(".")) || memchr(name.at, '\0', name.len);
        if (odd || n.count == NAMES_MAX) /* config_fold_domain() takes none of these */
            continue;
        if (routes_add(r, ROUTE_BACKEND, section, name) < 0)
            abort();
        n.name[n.count++] = name;
    }
    if (!r || routes_end(r) < 0)
        abort();
    while (in.len) {
        struct span domain = take_line(&in);
        if (domain.len && domain.at[0] == '.')
            continue;
        struct route route = routes_find(r, ROUTE_BACKEND, domain);
        struct span rule = rule_of(&n, domain);
        if (!span_equal(span_of(route.rule), rule) || (route.count == 0) != (rule.len == 0))
            abort();
        for (size_t i = 1; i < route.count; i++)
            if (route.section[i - 1] >= route.section[i])
                abort();
    }
    routes_free(r);
    return 0;
}
