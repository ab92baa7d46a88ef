/* Checks `relay`: clients in it may send to any domain, so a network in which strangers have
 * addresses makes mired an open relay. Pure except for its messages. */
#include "config/reader.h"

/* Of IPv6, fc00::/7 is the widest network that a site can own. */
enum { WIDEST_IP4 = 8, WIDEST_IP6 = 7 };

/* A public network that is wider than this is hardly one site's. */
enum { WIDE_IP4 = 16, WIDE_IP6 = 32 };

/* Whether only the site itself can have addresses there: loopback, RFC 1918, link-local, fc00::/7.
 */
static bool is_private(const struct network *n)
{
    static const char *const text[] = {"127.0.0.0/8",    "10.0.0.0/8",     "172.16.0.0/12",
                                       "192.168.0.0/16", "169.254.0.0/16", "fc00::/7",
                                       "fe80::/10"};
    struct network own;

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        if (network_parse(span_of(text[i]), &own) && n->bits >= own.bits &&
            network_contains(&own, &n->base))
            return true;
    return false;
}

void config_check_relay(struct reader *r)
{
    const struct config_networks *relay = &r->config->relay;
    char text[ADDR_TEXT];

    for (size_t i = 0; i < relay->count; i++) {
        const struct network *n = &relay->at[i];
        bool six = n->base.family == ADDR_IP6;
        if (n->bits < (six ? WIDEST_IP6 : WIDEST_IP4))
            reader_wrong(r, reader_main(r, "relay"),
                         "relay: \"%s\" would let strangers send anywhere; expected the "
                         "networks of your own machines, such as 10.0.0.0/8",
                         network_format(n, text));
        else if (!is_private(n) && n->bits < (six ? WIDE_IP6 : WIDE_IP4))
            reader_warn(r, reader_main(r, "relay"),
                        "relay: \"%s\" is a wide public network; each of its addresses may send "
                        "anywhere without a login",
                        network_format(n, text));
    }
}
