/* The rule that keeps the kernel quiet: a segment for a frozen connection finds no socket, and the
 * kernel would answer it with RST. A table of our own, `inet mired`, drops the RSTs that come from
 * our addresses and ports, belong to no socket (meta skuid 0: the kernel's own; those of live
 * sockets carry our user's) and answer a segment of a conversation (they have no ACK; a socket that
 * gives up sends RST with ACK, so even a mired that runs as root keeps its own). Nothing else in
 * it. */
#ifndef MIRED_FREEZER_RULE_H
#define MIRED_FREEZER_RULE_H

#include <stddef.h>

#include "base/addr.h"

/* Puts the table for these listeners in place of whatever had its name, in one transaction: one at
 * an address means that address alone, 0.0.0.0 any of IPv4, :: any at all (a socket that was passed
 * to us may take both families). 0 or -errno; *why is a static or library text for the log. Needs
 * CAP_NET_ADMIN. */
int rule_set(const struct addr *listen, size_t count, char why[256]);

/* Takes it away; nothing is said when it is gone already. */
void rule_unset(void);

#endif
