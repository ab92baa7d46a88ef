/* Fair shares of a number of places among the networks of clients (a /24, a /48): for DNS queries,
 * which clients can trigger and can make time out.
 *
 * A network may use a quarter as many places as are free. So one network alone gets a fifth of all,
 * and many networks divide the places among themselves. A network without a place gets one in any
 * case, up to SHARES_BEYOND times as many places as there are. If SHARES_SILENT queries of a
 * network in a row were not answered, it has one place until SHARES_SILENT_S have passed without
 * another unanswered query. Pure, not thread-safe; the memory is fixed. */
#ifndef MIRED_DNS_SHARES_H
#define MIRED_DNS_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum { SHARES_BEYOND = 4, SHARES_SILENT = 3, SHARES_SILENT_S = 60 };

struct shares;

/* Opens `places` places; NULL without memory. */
struct shares *shares_open(uint32_t places);
void shares_close(struct shares *s);

/* Takes a place for a client; false: its network uses its whole share. now_s: monotonic seconds. */
bool shares_take(struct shares *s, const struct addr *client, uint64_t now_s);

/* Gives a place back. `silent`: the query was not answered. */
void shares_give(struct shares *s, const struct addr *client, uint64_t now_s, bool silent);

#endif
