/* The freezer: the process that holds connections without sockets (docs/frozen.md). It keeps
 * CAP_NET_ADMIN (and CAP_NET_BIND_SERVICE, to bind ports below 1024 when it thaws) and reads no
 * octet that a client sent: it takes descriptors from workers, keeps the connections frozen, and
 * gives them back when they are due. */
#ifndef MIRED_FREEZER_FREEZER_H
#define MIRED_FREEZER_FREEZER_H

#include <stdbool.h>
#include <stdint.h>

#include "freezer/handoff.h"

struct config;

struct freezer_params {
    const struct config *config;
    int control;     /* channel to the master */
    const int *slot; /* the freezer's ends of the hand-off pairs */
    uint32_t slots;  /* their number; shared->slots of them have a worker */
    unsigned owner;  /* the user that has made the listening sockets */
    struct freezer_shared *shared;
};

/* The status of a process that had only to thaw what was left: nothing is. */
enum { FREEZER_DONE = 3 };

enum { FREEZER_RECORDS = 16 * 1024 * 1024, FREEZER_KEEP_MS = 120000 };

/* Whether the configuration asks for frozen holds. */
bool freezer_is_wanted(const struct config *config);

enum { FREEZER_PATH = 4096 };

/* Writes the path of the table's file in the folder `state`, and returns it. */
const char *freezer_path(const char *state, char path[FREEZER_PATH]);

/* Whether a freezer with one configuration also serves the other one. Configurations that freeze
 * nothing are not compared. */
bool freezer_is_same(const struct config *a, const struct config *b);

/* The body of the process. If its configuration does not ask for it (freezer_is_wanted()), it freezes
 * nothing, thaws what an earlier one has left, at once if `time` is 0, and returns FREEZER_DONE when
 * all of that is with workers. Only one freezer at a time has the table: a new one waits for the old
 * one to end (a reload starts the new one first). NOTE_STOP removes the nftables rule, unless
 * another freezer waits. NOTE_KEPT sets that rule again if any rule of the network namespace has been
 * changed. If it cannot work (no CAP_NET_ADMIN, no nftables), it logs that once and
 * waits to be stopped: all holds then keep their sockets. */
int freezer_run(const struct freezer_params *params);

#endif
