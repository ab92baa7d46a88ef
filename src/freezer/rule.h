/* The nftables rule for frozen connections. A segment for a frozen connection finds no socket, and
 * the kernel would answer it with RST. A table of mired's own drops an RST if it comes from our
 * addresses and ports, answers a segment of a connection (it has no ACK; a socket that gives up, and
 * a port without a listener, send RST with ACK), and belongs to no connection that the kernel knows.
 * The table has nothing else.
 *
 * The last condition depends on the kernel. From Linux 6.13 on such an RST belongs to the socket
 * that received the segment: the listener, or a connection that is closing, whose RST passes. Before
 * that, and if nothing listens, it belongs to a socket of the kernel's own, which has no address and
 * no owner (IPv4), or to none (IPv6). Then the RSTs of all are dropped.
 *
 * Several mireds may share a network namespace, so each has a table of its own. Its name is that of
 * the state folder's file: `mired_DEVICE_INODE`, in hexadecimal. No two folders that exist at the
 * same time have the same name, and the mired that starts after a kill finds the table again. */
#ifndef MIRED_FREEZER_RULE_H
#define MIRED_FREEZER_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum { RULE_NAME = 48 };

/* Writes the name of the table of the mired with this state folder. Returns 0 or -errno. */
int rule_name(const char *state, char name[RULE_NAME]);

/* Replaces the table with one for these listeners, in one transaction. A listener at one address
 * adds that address alone, 0.0.0.0 all of IPv4, :: all of both families (a socket that was passed
 * to us may accept both). The table's comment is `state`, if it has only harmless characters.
 * `owner` is the user that has made the listening sockets, unless a service manager has (as root).
 * Returns 0, or -errno with the reason in `why`. Needs CAP_NET_ADMIN. */
int rule_set(const char *name, const char *state, unsigned owner, const struct addr *listen,
             size_t count, char why[256]);

/* The kernel's number of the rules in this network namespace, which each change of any table changes;
 * 0 if it cannot be read. Needs CAP_NET_ADMIN. */
uint32_t rule_number(void);

/* Deletes the table; does nothing if there is none. */
void rule_unset(const char *name);

/* Deletes the table `inet mired` of an earlier version if it has one of these listeners: it is the
 * one that this mired made before its upgrade. Without them it may be that of another mired, which
 * needs it. */
void rule_unset_earlier(const struct addr *listen, size_t count);

#endif
