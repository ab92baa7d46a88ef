/* Checks of the keys for DNS queries about clients: names in `exempt`, `dnsbl`, `dnswl`,
 * `resolver`. Called by check.c. */
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"
#include "dns/name.h"

enum { NAMES_MAX = 255, LISTS_MAX = 32, RESOLVERS_MAX = 8 };

/* Reads and folds a name of at least two labels. The last one must not be a number, because the
 * text is then a wrong address. */
static bool read_name(const char *text, size_t most, char out[256])
{
    if (!value_domain(text, out))
        return false;
    struct span name = span_of(out);
    const char *last = strrchr(out, '.');
    return dns_name_is_valid(name) && name.len <= most && last &&
           strspn(last + 1, "0123456789") < strlen(last + 1);
}

static bool add_name(struct config_strings *names, const char *text)
{
    bool below = text[0] == '.';
    char name[258] = ".", *folded = name + 1;

    return read_name(text + below, DNS_NAME_MAX, folded) &&
           strings_add(names, below ? name : folded);
}

static void check_exempt(struct reader *r)
{
    struct config *c = r->config;
    struct config_strings names = {0};
    struct place at = reader_main(r, "exempt");
    char right[256];
    struct network n;

    for (size_t i = 0; i < c->exempt_names.count; i++) {
        const char *text = c->exempt_names.at[i];
        if (network_parse(span_of(text), &n))
            (void)networks_add(&c->exempt, &n);
        else if (!add_name(&names, text))
            reader_wrong(r, at, "exempt: \"%.80s\" is neither a network nor a name; expected %s",
                         text,
                         value_network_right(text,
                                             "10.0.0.0/8, 192.0.2.7, [2001:db8::]/32, "
                                             "\"mail.example.org\" or \".outbound.example.org\"",
                                             right));
    }
    if (names.count > NAMES_MAX)
        reader_wrong(r, at, "exempt: %zu names; at most %d are allowed", names.count, NAMES_MAX);
    strings_free(&c->exempt_names);
    c->exempt_names = names;
}

static void check_reply(struct reader *r, enum section_kind s, size_t i, struct config_list *l)
{
    l->patterns.at = calloc(l->reply.count + 1, sizeof *l->patterns.at);
    if (!l->patterns.at)
        return;
    for (size_t k = 0; k < l->reply.count; k++)
        if (!listing_pattern_read(span_of(l->reply.at[k]), &l->patterns.at[l->patterns.count++]))
            reader_wrong(r, reader_place(r, s, i, "reply"),
                         "reply: \"%.80s\" is not valid; expected \"127.0.0.2\", "
                         "\"127.0.0.[2..11]\" or \"127.0.[0;1].[2;4..6]\"",
                         l->reply.at[k]);
}

static void check_lists(struct reader *r, enum section_kind s, struct config_list *list,
                        size_t count)
{
    const char *kind = sections[s].name;
    char zone[256];

    if (count > LISTS_MAX)
        reader_wrong(r, r->section[s][LISTS_MAX], "%zu %s sections; at most %d are allowed", count,
                     kind, LISTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (read_name(list[i].zone, DNS_ZONE_MAX, zone)) {
            free(list[i].zone);
            list[i].zone = strdup(zone);
        } else {
            reader_wrong(r, r->section[s][i],
                         "%s \"%.80s\" is not a zone; expected %s \"list.example.org\" { }", kind,
                         list[i].zone, kind);
        }
        check_reply(r, s, i, &list[i]);
        if (s == SECTION_DNSBL && !reader_is_set(r, s, i, "weight"))
            list[i].weight = r->config->tarpit.suspect_offences;
    }
}

static void check_resolver(struct reader *r)
{
    struct config *c = r->config;
    struct place at = reader_main(r, "resolver");

    c->resolvers = calloc(c->resolver.count + 1, sizeof *c->resolvers);
    if (!c->resolvers)
        return;
    for (size_t i = 0; i < c->resolver.count; i++) {
        struct span text = span_of(c->resolver.at[i]);
        struct addr *a = &c->resolvers[i];
        if (!addr_parse(text, a) && !(addr_parse_port(text, a) && a->port))
            reader_wrong(r, at,
                         "resolver: \"%.80s\" is not valid; expected an address, \"127.0.0.1\", "
                         "\"::1\" or, with a port, \"127.0.0.1:5353\", \"[::1]:5353\"",
                         c->resolver.at[i]);
    }
    if (c->resolver.count > RESOLVERS_MAX)
        reader_wrong(r, at, "resolver: %zu of them; at most %d are allowed", c->resolver.count,
                     RESOLVERS_MAX);
}

void config_check_dns(struct reader *r)
{
    struct config *c = r->config;

    check_exempt(r);
    check_lists(r, SECTION_DNSBL, c->dnsbl, c->dnsbl_count);
    check_lists(r, SECTION_DNSWL, c->dnswl, c->dnswl_count);
    check_resolver(r);
}
