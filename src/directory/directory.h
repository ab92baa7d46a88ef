/* Directories: who is a recipient. Used by clerks (and `mirectl recipient` through them).
 *
 * A directory is opened once per clerk from its section of the configuration and asked for folded
 * addresses, many at a time: nothing here waits for a remote source, threads of its own do
 * (askers.h). Which addresses are tried (with and without the tag, @domain) is decided in
 * directory.c for all sources alike. All functions are for one thread. */
#ifndef MIRED_DIRECTORY_DIRECTORY_H
#define MIRED_DIRECTORY_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "directory/fair.h"
#include "query/query.h"

struct cache;
struct config;
struct addresses;
struct directory; /* all configured sources, in order */

/* Who asks, for whom: where the answer goes, and how the question is queued. */
struct directory_asker {
    uint64_t id;
    uint16_t slot;
    enum query_rank rank;
    struct addr client; /* ADDR_NONE: our own */
};

/* `answer` has the asker's id. */
typedef void directory_answered(void *arg, const struct directory_asker *asker,
                                const struct answer *answer);

struct directory_params {
    const struct config *config;
    struct cache *cache;               /* shared with the other clerks */
    const struct addresses *addresses; /* where backends with a name are; NULL: none has one */
    bool confirmed; /* by a reload: files are right as they are, also if they are much shorter */
    directory_answered *answered;
    void *arg;
};

/* What the params points to outlives the directory. Never fails for what a source lacks (an
 * unreadable file is a warning, and its answers ANSWER_LATER until it can be read). NULL without
 * memory, or when a password_file cannot be read. */
struct directory *directory_open(const struct directory_params *params);

/* What is being asked is not waited for: it is left to the end of the process. */
void directory_close(struct directory *d);

/* A trap is ANSWER_TRAP. Else asks the sources in order: the first YES wins; a NO falls through to
 * the next; a reply of the backend's own (OTHER) ends it; LATER anywhere without a YES is LATER (a
 * directory that is down gives 451, never 550). `address` is local@domain, folded. True: what the
 * files and the cache know has been enough, and result, source, and code/enhanced/text for
 * ANSWER_OTHER are in *out. False: params->answered is called once, now or later. Nobody is told an
 * answer later than QUERY_TIMEOUT_MS.
 */
bool directory_ask(struct directory *d, const struct directory_asker *asker, struct span address,
                   struct answer *out);

/* Forgets what remote sources said: of an address (folded), of the sources of a kind ("ldap"), or,
 * of nothing, all. False: there is no such source. */
bool directory_forget(struct directory *d, struct span what);

/* Readable when sources have answered; then directory_read() tells whom they have answered. */
int directory_fd(const struct directory *d);
void directory_read(struct directory *d);

/* Looks whether files have changed, and tries sources that are down again, without waiting to be
 * asked. Returns in how many ms to call it again; -1: when somebody has been asked. */
int directory_look_after(struct directory *d);

#endif
