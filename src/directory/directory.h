/* Directories: which recipients exist. Used by clerks (and by `mirectl recipient` through them).
 *
 * A clerk opens all directories once, and queries them for folded addresses, many at a time. These
 * functions never wait for a remote source: threads do (askers.h). For all sources, directory.c
 * decides which forms of an address are tried (with and without the tag, @domain). All functions
 * must be called from one thread. */
#ifndef MIRED_DIRECTORY_DIRECTORY_H
#define MIRED_DIRECTORY_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "query/fair.h"
#include "query/query.h"

struct cache;
struct config;
struct addresses;
struct directory; /* all configured sources, in order */

/* Where an answer goes, and how its query is queued. */
struct directory_asker {
    uint64_t id;
    uint16_t slot; /* of the worker; slots share the lookups (fair.h) */
    enum query_rank rank;
    struct addr client; /* ADDR_NONE: our own */
};

/* `answer` has the asker's id. */
typedef void directory_answered(void *arg, const struct directory_asker *asker,
                                const struct answer *answer);

struct directory_params {
    const struct config *config;
    struct cache *cache;               /* shared with the other clerks */
    const struct addresses *addresses; /* of backends with a name; NULL: none has a name */
    uint32_t slots;                    /* of workers, and the web process's */
    bool confirmed; /* by the administrator: files are right even if they are much shorter */
    bool reloaded;  /* started by a reload */
    directory_answered *answered;
    void *arg;
};

/* Everything that `params` points to must outlive the directory. An unreadable file is only a
 * warning; its answers are ANSWER_LATER until it can be read. Returns NULL, and
 * errno, without memory or descriptors, or if a password_file cannot be read. */
struct directory *directory_open(const struct directory_params *params);

/* Does not wait for queries in flight: they end with the process. */
void directory_close(struct directory *d);

/* Looks up `address` (local@domain, folded). A trap gives ANSWER_TRAP. Otherwise queries the
 * sources in order: the first YES wins; after a NO comes the next source; a reply of the backend's
 * own (OTHER) is final; if no source says YES and one says LATER, the result is LATER (a directory
 * that is down gives 451, never 550). True: the files and the cache had the answer; *out has its
 * result and source, and code, enhanced and text for ANSWER_OTHER. False: params->answered is
 * called once, now or later, but not after QUERY_TIMEOUT_MS. */
bool directory_ask(struct directory *d, const struct directory_asker *asker, struct span address,
                   struct answer *out);

/* Forgets cached answers of remote sources: about an address (folded), from sources of a kind
 * ("ldap"), or all if `what` is empty. False: there is no such source. */
bool directory_forget(struct directory *d, struct span what);

/* Readable when sources have answered; directory_read() then calls params->answered. */
int directory_fd(const struct directory *d);
void directory_read(struct directory *d);

/* Checks files for changes, retries sources that are down, and gives connections that other clerks
 * want to them. Returns in how many ms to call it
 * again; -1: after the next query. */
int directory_look_after(struct directory *d);

#endif
