/* The client or network that a command or the page is about. Pure. */
#ifndef MIRED_CONTROL_WHOM_H
#define MIRED_CONTROL_WHOM_H

#include <stdbool.h>

#include "base/addr.h"
#include "tarpit/ledger.h"

struct whom {
    struct network network;
    bool client; /* one client: an IPv4 address, an IPv6 /64 */
    bool own;    /* the size of a client's network, which has an entry of its own */
};

struct whom whom_of(const struct network *n);

/* The key of the ledger's entry of a client or a network. */
struct ledger_key whom_key(const struct ledger *l, const struct whom *who);

/* Whether a network is so wide that a release needs --all, because a typing error would release all
 * clients. */
bool whom_is_wide(const struct whom *who);

#endif
