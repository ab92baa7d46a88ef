/* Looks up clients in the DNS (R16): block-lists (`dnsbl`), allow-lists (`dnswl`), confirmed names
 * (`exempt`), and names for backends (XCLIENT, XFORWARD). No connection ever waits for an
 * answer. */
#ifndef MIRED_WORKER_LISTS_H
#define MIRED_WORKER_LISTS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "dns/names.h"

struct conn;
struct log_line;
struct worker;

/* False without memory. Any other error causes a warning, and nothing is looked up then. */
bool lists_open(struct worker *w);
void lists_close(struct worker *w);

/* Call it before the greeting: what is known of the client counts from now on, and a look-up begins
 * for the rest. Frees nothing. */
void lists_greet(struct worker *w, struct conn *c);

/* The connection ends: a look-up that it started forgets it. */
void lists_forget(struct worker *w, const struct conn *c);

/* Whether an allow-list has that address, or a confirmed name in `exempt`, as far as is known. */
bool lists_trust(const struct worker *w, const struct addr *peer);

/* Sends the results of the lists' tests to the master again. */
void lists_tell_again(const struct worker *w);

/* Appends the lists that have that address, with commas between: "suspect:NETWORK" for a network of
 * `suspect`, and zones of `dnsbl`. */
void lists_names(const struct worker *w, const struct addr *peer, struct buf *names);

/* The client's names for a backend. True: they are still being looked up. */
bool lists_client_names(const struct worker *w, const struct addr *peer, struct client_names *out);

/* Adds the fields `listed` and `trusted`, if something is known. */
void lists_journal(const struct worker *w, const struct addr *peer, struct log_line *l);

#endif
