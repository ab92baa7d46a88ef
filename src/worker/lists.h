/* What the DNS says of a client (R16): lists that know it as bad (`dnsbl`) or good (`dnswl`), names
 * that it can show to be its own (`exempt`), and the names that a backend is told (XCLIENT,
 * XFORWARD). No connection ever waits for an answer. */
#ifndef MIRED_WORKER_LISTS_H
#define MIRED_WORKER_LISTS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "dns/names.h"

struct conn;
struct log_line;
struct worker;

/* False without memory. Any other error is warned about, and nothing is looked up then. */
bool lists_open(struct worker *w);
void lists_close(struct worker *w);

/* The client is about to be greeted: what is known of it counts from now on, and a look-up begins
 * for what is not. Frees nothing. */
void lists_greet(struct worker *w, struct conn *c);

/* The connection ends: a look-up that was begun for it forgets it. */
void lists_forget(struct worker *w, const struct conn *c);

/* Whether an allow-list or a confirmed name is known to speak for that address. */
bool lists_trust(const struct worker *w, const struct addr *peer);

/* Tells the master again what the tests of the lists came to. */
void lists_tell_again(const struct worker *w);

/* Appends what names that address as bad, with commas between: "suspect:NETWORK" for a network of
 * `suspect`, and zones of `dnsbl`. */
void lists_names(const struct worker *w, const struct addr *peer, struct buf *names);

/* The client's names, as a backend is told them. True: they are still being looked up. */
bool lists_client_names(const struct worker *w, const struct addr *peer, struct client_names *out);

/* Adds the fields `listed` and `trusted` where something is known. */
void lists_journal(const struct worker *w, const struct addr *peer, struct log_line *l);

#endif
