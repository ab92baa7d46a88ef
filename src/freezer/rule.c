/* The nftables table `inet mired`, through libnftables. Runs in the freezer. */
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "freezer/rule.h"

static int run(const char *commands, char why[256])
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft)
        return -ENOMEM;
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    int failed = nft_run_cmd_from_buffer(nft, commands);
    if (failed && why) {
        const char *said = nft_ctx_get_error_buffer(nft);
        snprintf(why, 256, "%.*s", (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(nft);
    return failed ? -EPERM : 0;
}

/* A set of those listeners for which `is_in` is true, and its rule; without such listeners there is
 * neither. */
struct set {
    const char *name, *type, *match;
    bool (*is_in)(const struct addr *a);
    bool with_address;
};

static bool is_any(const struct addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->octets, zero, sizeof zero) == 0;
}

static bool is_any_for_ip4(const struct addr *a)
{
    return is_any(a);
}

static bool is_any_for_ip6(const struct addr *a)
{
    return a->family == ADDR_IP6 && is_any(a);
}

static bool is_one_ip4(const struct addr *a)
{
    return a->family == ADDR_IP4 && !is_any(a);
}

static bool is_one_ip6(const struct addr *a)
{
    return a->family == ADDR_IP6 && !is_any(a);
}

static const struct set sets[] = {
    {"any4", "inet_service", "meta nfproto ipv4 tcp sport", is_any_for_ip4, false},
    {"any6", "inet_service", "meta nfproto ipv6 tcp sport", is_any_for_ip6, false},
    {"own4", "ipv4_addr . inet_service", "ip saddr . tcp sport", is_one_ip4, true},
    {"own6", "ipv6_addr . inet_service", "ip6 saddr . tcp sport", is_one_ip6, true},
};

enum { SETS = sizeof sets / sizeof sets[0] };

static bool is_same(const struct addr *a, const struct addr *b, bool with_address)
{
    return a->port == b->port && (!with_address || addr_equal(a, b));
}

/* Appends the set's elements, each once, and returns how many, or -ENOMEM. */
static int add_elements(struct buf *b, const struct set *s, const struct addr *listen, size_t count)
{
    char text[ADDR_TEXT];
    int n = 0, r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        bool there = !s->is_in(&listen[i]);
        for (size_t k = 0; k < i && !there; k++)
            there = s->is_in(&listen[k]) && is_same(&listen[i], &listen[k], s->with_address);
        if (there)
            continue;
        r = s->with_address ? buf_addf(b, "%s %s . %u", n ? "," : "", addr_format(&listen[i], text),
                                       listen[i].port)
                            : buf_addf(b, "%s %u", n ? "," : "", listen[i].port);
        n++;
    }
    return r < 0 ? r : n;
}

static int write_rules(struct buf *b, const struct addr *listen, size_t count)
{
    int n[SETS] = {0};
    int r = buf_addf(b, "table inet mired\n"
                        "delete table inet mired\n"
                        "table inet mired {\n");

    for (size_t i = 0; i < SETS && r == 0; i++) {
        struct buf elements = {0};
        n[i] = add_elements(&elements, &sets[i], listen, count);
        r = n[i] < 0 ? n[i] : 0;
        if (n[i] > 0)
            r = buf_addf(b, "  set %s { type %s; elements = {%.*s } }\n", sets[i].name,
                         sets[i].type, (int)elements.len, elements.at);
        buf_free(&elements);
    }
    if (r == 0)
        r = buf_addf(b, "  chain output {\n"
                        "    type filter hook output priority filter; policy accept;\n");
    for (size_t i = 0; i < SETS && r == 0; i++)
        if (n[i] > 0)
            r = buf_addf(b, "    %s @%s tcp flags & (rst | ack) == rst meta skuid 0 drop\n",
                         sets[i].match, sets[i].name);
    return r < 0 ? r : buf_addf(b, "  }\n}\n%c", '\0');
}

int rule_set(const struct addr *listen, size_t count, char why[256])
{
    struct buf b = {0};
    int r = write_rules(&b, listen, count);

    if (r == 0)
        r = run(b.at, why);
    buf_free(&b);
    return r;
}

void rule_unset(void)
{
    run("table inet mired\ndelete table inet mired\n", NULL);
}
