/* Clients and networks as the ledger counts them; see whom.h. Pure. */
#include "control/whom.h"

struct whom whom_of(const struct network *n)
{
    uint8_t client = n->base.family == ADDR_IP4 ? 32 : 64, own = client == 32 ? 24 : 48;

    /* An address stands for its client: in IPv6 that is the /64, or the IPv4 address that is in
     * it. */
    if (n->bits == addr_bits(&n->base)) {
        struct addr who = addr_client(&n->base);
        return (struct whom){.network = {who, who.family == ADDR_IP4 ? 32 : 64}, .client = true};
    }
    if (n->bits > client)
        return (struct whom){.network = {addr_client(&n->base), client}, .client = true};
    return (struct whom){.network = *n, .client = n->bits == client, .own = n->bits == own};
}

struct ledger_key whom_key(const struct ledger *l, const struct whom *who)
{
    return who->client ? ledger_key_client(l, &who->network.base)
                       : ledger_key_network(l, &who->network.base);
}

bool whom_is_wide(const struct whom *who)
{
    return who->network.bits < (who->network.base.family == ADDR_IP4 ? 8 : 32);
}
