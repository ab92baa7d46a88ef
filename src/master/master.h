/* The master: binds, starts the others, restarts what dies, and never parses an octet from the
 * network.
 *
 * This header is shared by the files of this folder; others use only master_run().
 *
 *   master.c      the process: signals, start, end
 *   runtime.c       what all generations share: folders, lock, mappings, unix sockets
 *   listener.c    listening sockets
 *   generation.c  one reading of the configuration and the children made from it
 *   child.c       one child: fork, notes, death, restart
 *   role.c        what a child does: the table of roles
 *   heartbeat.c   whether children still answer; the service manager's watchdog
 *   activation.c  sockets that a service manager has made
 *   notes.c       notes from children
 *   upgrade.c     switching to another version of the program */
#ifndef MIRED_MASTER_MASTER_H
#define MIRED_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/loop.h"
#include "master/backoff.h"
#include "master/listener.h"
#include "master/runtime.h"
#include "query/notes.h"

struct config;

enum role_id {
    ROLE_WORKER,
    ROLE_CLERK,
    ROLE_STORE,
    ROLE_FREEZER,
    ROLE_WEB,
    ROLE_FLEET,
    ROLE_COUNT
};

enum child_state {
    CHILD_STARTING, /* forked, not yet heard of */
    CHILD_READY,
    CHILD_LEAVING, /* told to drain or stop: its end is expected */
    CHILD_DEAD,    /* waits for its restart */
};

struct child {
    struct watch channel; /* first; fd -1 when the other end is gone */
    struct child *next;
    struct generation *generation;
    enum role_id role;
    uint32_t index; /* of its role in its generation; a worker's slot */
    enum child_state state;
    bool accepts; /* a worker that has been told to take no more clients, and may still do it */
    pid_t pid;
    int row;             /* of metrics */
    uint64_t started_ms; /* monotonic */
    struct backoff backoff;
    struct alarm restart;
    uint32_t unanswered; /* heartbeat.c */
};

/* The receiver of an answer: a child, by its process id, and the tag that it chose. pid 0: none. */
struct asker {
    pid_t pid;
    uint64_t tag;
};

enum generation_state {
    GENERATION_COMING,
    GENERATION_CURRENT,
    GENERATION_PARTING, /* its workers have been told to take no more clients */
    GENERATION_OLD,     /* ... and take none */
};

struct generation {
    struct generation *next;
    uint32_t id;
    enum generation_state state;
    struct config *config;       /* NULL: an earlier program's, taken in by an upgrade */
    struct tls_server *tls;      /* NULL: no certificate */
    struct addresses *addresses; /* NULL: no backend has a name */
    int (*ask)[2];               /* enum query_queue: workers write to [1], clerks read from [0] */
    int (*answer)[2]; /* for each answer slot: clerks write to [1], the asker reads from [0] */
    uint32_t slots;   /* one a worker, and web's */
    int (*own)[2];    /* for each clerk: workers write to [1], it reads from [0] */
    uint32_t clerks;
    _Atomic uint32_t *auth;  /* what clerks can check (enum smtp_auth); shared */
    uint32_t started;        /* children begun */
    uint32_t deaths;         /* while coming */
    size_t listeners_before; /* sockets beyond these were added for it, while coming */
    struct asker asker;      /* of the reload that made it */
    struct alarm deadline;   /* while coming and parting */
};

struct master {
    struct loop loop; /* first */
    const char *config_file;
    const char *program; /* its path, for an upgrade */
    pid_t pid;
    struct asker upgrade_asker; /* of the upgrade that made us */
    struct runtime runtime;
    struct listeners listeners;
    struct generation *generations; /* newest first */
    struct generation *current, *coming, *parting;
    uint32_t last_generation;
    struct child *children;
    struct watch signals;
    struct alarm stop_alarm, heartbeat;
    bool stopping, draining, reload_again;
    int status; /* of the process */
};

static inline struct master *master_of(struct loop *loop)
{
    return (struct master *)loop;
}

/* The process, from a checked configuration to the exit status. `warnings` are logged. */
int master_run(const char *config_file, struct config *config, struct buf *warnings);

/* Logs each line of the text by itself. */
void master_log_lines(enum log_level level, const struct buf *text);

/* Ends the process: tells all, waits, kills. `status` is the exit status. */
void master_stop(struct master *m, int status);

/* Lets workers end with their last connection, then stops. */
void master_drain(struct master *m);

/* Reads the configuration again and starts a generation from it; the asker gets NOTE_RESULT when it
 * serves, or when it failed. */
void master_reload(struct master *m, struct asker asker);

/* Replaces the process by the program now at m->program. Returns only on failure: then the asker
 * gets NOTE_RESULT; on success it gets it from the new program, when that serves. */
void master_upgrade(struct master *m, struct asker asker);

/* ---- upgrade.c ---- */

/* Takes over from the program that this process was before, if it was one: listeners, the inherited
 * runtime, children (as the current generation). 1; 0 when there was none; -errno. */
int upgrade_inherit(struct master *m);

/* NOTE_RESULT to the asker, if it still lives, and a line in the log. */
void master_answer(struct master *m, struct asker asker, bool done, const char *event,
                   const char *text);

/* ---- generation.c ---- */

/* Starts the children of a new generation from `config` (takes ownership). 0; or -1 with messages
 * in *errors, and nothing has changed. */
int generation_start(struct master *m, struct config *config, struct asker asker,
                     uint64_t patience_ms, struct buf *errors);

/* Called when a child, of `g`, has become ready, died, ended as told, ... */
void generation_child_ready(struct master *m, struct child *c);
void generation_child_died(struct master *m, struct generation *g);
void generation_child_gone(struct master *m, struct generation *g);

/* ... or a worker takes no more clients. */
void generation_child_drains(struct master *m, struct generation *g);

/* At the end, when no child is left. */
void generation_release_all(struct master *m);

/* How many children of that role are alive, in any state; g NULL: in all generations. */
uint32_t generation_count(const struct master *m, const struct generation *g, enum role_id role);

/* ---- child.c ---- */

/* Adds a child and starts it. 0 or -errno. */
int child_add(struct master *m, struct generation *g, enum role_id role, uint32_t index);

/* Takes in a child that an earlier program has started: role, index, pid, row, state and the
 * channel's descriptor are `known`. 0 or -errno. */
int child_adopt(struct master *m, struct generation *g, const struct child *known);

/* NOTE_DRAIN or NOTE_STOP: its end is expected from now on. One that is dead is forgotten. */
void child_leave(struct master *m, struct child *c, enum note_kind note);

/* Takes note of every child that has ended. */
void child_reap(struct master *m);

struct child *child_by_pid(const struct master *m, pid_t pid);

/* ---- role.c ---- */

enum retirement {
    RETIRE_DRAIN, /* accept no more, end with the last connection */
    RETIRE_LAST,  /* stop when the workers of its generation have ended */
    RETIRE_STOP,  /* stop when the next generation serves */
};

struct role {
    const char *name;
    uint32_t (*count)(const struct config *config);
    int (*body)(struct master *m, const struct child *c); /* in the child; returns its status */
    enum retirement retirement;
    bool secrets; /* holds passwords or keys: no core dumps, no debugger */
    /* Whether the children that a reload finds do for the new configuration as well: they are then
     * the next generation's. NULL: never. */
    bool (*kept)(const struct config *before, const struct config *now);
};
extern const struct role role_table[ROLE_COUNT];

/* ---- heartbeat.c ---- */

/* From now on. */
void heartbeat_start(struct master *m);

/* ---- notes.c ---- */

void note_from_child(struct master *m, struct child *c, const struct note *n);

#endif
