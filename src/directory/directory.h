/* Directories: who is a recipient. Blocking; used by clerks (and `mirectl recipient` through them).
 *
 * A directory is opened once per clerk from its section of the configuration and asked for one
 * folded address at a time. Which addresses are tried (with and without the tag, @domain) is
 * decided in directory.c for all sources alike. */
#ifndef MIRED_DIRECTORY_DIRECTORY_H
#define MIRED_DIRECTORY_DIRECTORY_H

#include "base/addr.h"
#include "base/bytes.h"
#include "clerk/ask.h"

struct cache;
struct config;
struct places;
struct directory; /* all configured sources, in order */

/* `cache` is shared with the other clerks, `places` says where backends with a name are (or is
 * NULL); both outlive this. Never fails for what a source lacks
 * (an unreadable file is a warning, and its answers ANSWER_LATER until it can be read). NULL only
 * without memory. */
struct directory *directory_open(const struct config *config, struct cache *cache,
                                 const struct places *places);
void directory_close(struct directory *d);

/* Asks the sources in order: the first YES wins; a NO falls through to the next; a reply of the
 * backend's own (OTHER) ends it; LATER anywhere without a YES is LATER (a directory that is down
 * gives 451, never 550). `address` is local@domain, folded. Fills result, source, and
 * code/enhanced/text for ANSWER_OTHER. */
void directory_ask(struct directory *d, struct span address, struct answer *out);

/* What directory_ask() left for when the answer has been sent: asks a source anew for what will
 * soon be too old. */
void directory_renew(struct directory *d);

/* Tries sources that are down again, without waiting to be asked. Returns in how many ms to call it
 * again; -1: when somebody has been asked. */
int directory_look_after(struct directory *d);

#endif
