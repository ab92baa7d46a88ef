/* The nftables rule for frozen connections. A segment for a frozen connection finds no socket, and
 * the kernel would answer it with RST. The table `inet mired` drops an RST if it comes from our
 * addresses and ports, belongs to no socket (meta skuid 0 is the kernel; RSTs of live sockets have
 * our user), and answers a segment of a connection (it has no ACK; a socket that gives up sends RST
 * with ACK, so this works even if all of mired runs as root). The table has nothing else. */
#ifndef MIRED_FREEZER_RULE_H
#define MIRED_FREEZER_RULE_H

#include <stddef.h>

#include "base/addr.h"

/* Replaces the table with one for these listeners, in one transaction. A listener at one address
 * adds that address alone, 0.0.0.0 all of IPv4, :: all of both families (a socket that was passed
 * to us may accept both). Returns 0, or -errno with the reason in `why`. Needs CAP_NET_ADMIN. */
int rule_set(const struct addr *listen, size_t count, char why[256]);

/* Deletes the table; does nothing if there is none. */
void rule_unset(void);

#endif
