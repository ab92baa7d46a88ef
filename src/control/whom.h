/* Which client or network a command or the page is about. */
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

/* The ledger's entry of a client or of the network around it. */
struct ledger_key whom_key(const struct ledger *l, const struct whom *who);

/* A network too wide to be released without a second thought: a typing error would release
 * everybody. */
bool whom_is_wide(const struct whom *who);

#endif
