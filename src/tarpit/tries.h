/* R14: how many passwords were checked out of turn. A leaky bucket for each key: it has room for
 * rate.most (0: takes nothing), and a full one runs empty in rate.period_ms (up to a day). So in any
 * window of w ms it takes at most most * (1 + w / period_ms).
 *
 * One table of fixed size in memory that all workers share, zero at first, so connections to
 * several workers together never exceed that. A place that has run empty is free. Only keys of
 * accounts that have logged in get here, so strangers cannot fill the table; when a set is full,
 * nothing is taken. A worker that an attacker has taken over may write anything: see
 * SECURITY.md.
 *
 * Keys are hashes under the ledger's own key. `now` is wall ms. Safe from any process that has
 * the mapping; nothing blocks or fails, and a process that is killed loses at most its one
 * booking. */
#ifndef MIRED_TARPIT_TRIES_H
#define MIRED_TARPIT_TRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarpit/ledger_allowance.h"

struct tries; /* opaque */

/* The size of the mapping in octets: whole pages. */
size_t tries_size(void);

/* Takes one of `key`. False, and nothing is taken, if the bucket has no room for it. */
bool tries_take(struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now);

/* Gives back one that was taken. */
void tries_give(struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now);

/* How many more can be taken now. */
uint32_t tries_left(const struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now);

#endif
