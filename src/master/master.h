/* The master: binds, starts the other processes, restarts those that die, and never parses an octet
 * from the network.
 *
 * This header is shared by the files of this folder; others use only master_run().
 *
 *   master.c      the process: signals, start, end
 *   runtime.c     what all generations share: folders, lock, mappings, unix sockets
 *   listener.c    listening sockets; listener_loss.c: those that stop listening
 *   generation.c  one reading of the configuration and the children made from it
 *   child.c       one child: fork, notes, death, restart
 *   role.c        what a child does: the table of roles
 *   heartbeat.c   whether children still answer; the service manager's watchdog
 *   activation.c  sockets that a service manager has made
 *   notes.c       notes from children
 *   store_queue.c connections of workers on their way to the store
 *   upgrade.c     switching to another version of the program; inherited.c: processes of the earlier
 *                 one that serve on
 *   folder.c      folders that belong to the service's user, entered safely
 *   users.c       a user for each kind of process; privileges.c changes identities
 *   check.c       `mired -t` */
#ifndef MIRED_MASTER_MASTER_H
#define MIRED_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/loop.h"
#include "master/backoff.h"
#include "master/listener.h"
#include "master/reload_pace.h"
#include "master/runtime.h"
#include "master/store_queue.h"
#include "query/notes.h"

struct config;

enum role_id {
    ROLE_WORKER,
    ROLE_CLERK,
    ROLE_STORE,
    ROLE_FREEZER,
    ROLE_WEB,
    ROLE_FLEET,
    ROLE_KEEPER,
    ROLE_COUNT
};

enum child_state {
    CHILD_STARTING, /* forked, not ready yet */
    CHILD_READY,
    CHILD_LEAVING, /* told to drain or stop: its end is expected */
    CHILD_DEAD,    /* waits for its restart */
};

/* ANSWERS: as many as the web process has connections that wait for one. */
enum { CHILD_RELEASES = 8, CHILD_ANSWERS = 64 };

/* The answer to a command, which found no room or memory and is sent again. */
struct owed_answer {
    uint64_t tag;
    char *text; /* NULL: there was no memory for it either */
    enum note_result result;
};

struct child {
    struct watch channel; /* first; fd -1 when the other end is gone */
    struct child *next;
    struct generation *generation;
    enum role_id role;
    uint32_t index; /* of its role in its generation; a worker's slot */
    enum child_state state;
    bool accepts; /* a worker that was told to stop accepting and may still accept */
    pid_t pid;
    int row;             /* of metrics */
    uint64_t started_ms; /* monotonic */
    struct backoff backoff;
    struct alarm restart, owing;
    enum note_kind owed; /* found no room or memory, and is sent again; 0: none */
    struct owed_answer answers[CHILD_ANSWERS]; /* of the web process; oldest first */
    unsigned answer_count;
    uint32_t unanswered; /* heartbeat.c */
    bool pongs;          /* it has answered NOTE_PING, to this program or an earlier one */
    uint32_t unexpected; /* notes that its role does not send */
    uint64_t releases[CHILD_RELEASES]; /* tags of releases that it has not answered; 0: none */
};

/* The receiver of an answer: a child, by its process id, and the tag that it chose. pid 0: none. */
struct asker {
    pid_t pid;
    uint64_t tag;
    bool accepts_shorter; /* files are right even if they are much shorter than before */
};

enum generation_state {
    GENERATION_COMING,
    GENERATION_CURRENT,
    GENERATION_PARTING, /* its workers have been told to stop accepting */
    GENERATION_OLD,     /* its workers have stopped accepting */
};

struct generation {
    struct generation *next;
    uint32_t id;
    enum generation_state state;
    struct config *config;       /* NULL: of an earlier program, inherited by an upgrade */
    struct users users;          /* of its children */
    struct tls_server *tls;      /* NULL: no certificate */
    struct addresses *addresses; /* NULL: no backend has a name */
    /* The pairs between workers (or web) and clerks; generation_share.h says which is whose. */
    int (*ask)[2];    /* QUERY_QUEUES for each slot; clerks read from [0] */
    int (*answer)[2]; /* one for each slot; clerks write to [1] */
    int (*own)[2];    /* `owns` for each clerk, which reads from [0] */
    uint32_t slots;   /* one a worker, and web's */
    uint32_t clerks, owns;
    /* What clerks can check (enum smtp_auth), and for each verifier how many logins its file had when
     * they took it; shared, workers only read it. Then its descriptor. */
    _Atomic uint32_t *auth;
    int auth_fd;
    struct proposals **proposals; /* of each worker, to the keeper; shared */
    _Atomic uint32_t *logins; /* of each slot: what the clerks allow the keeper to book; shared */
    int *bell;                /* of each worker, to wake the keeper */
    unsigned keeps;           /* the roles whose children it keeps of the current one, as bits */
    bool thaws;               /* it has a freezer only for what earlier ones have left */
    uint32_t started;         /* children that were started */
    uint32_t deaths;          /* while coming */
    size_t listeners_before;  /* sockets beyond these were added for it, while coming */
    uint32_t taking_before;   /* the worker slots that took thawed connections before it came */
    struct asker asker;       /* of the reload that made it */
    struct alarm deadline;    /* while coming and parting */
    struct alarm pause;       /* while coming: until the next child is started */
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
    pid_t group;                /* process group of all children; 0: none yet (child.c) */
    struct watch signals, lost; /* lost: listener_loss.c */
    struct store_queue store_queue;
    struct alarm stop_alarm, heartbeat, look_alarm; /* look_alarm: listener_loss.c */
    struct reload_pace pace;
    struct alarm reload_alarm;    /* set while a reload waits for its turn (reload_pace.h) */
    struct asker waiting_asker;   /* of that reload */
    uint64_t refused_ms;          /* monotonic: master_refuse() has logged; 0: never */
    struct alarm inherited_alarm; /* inherited.c */
    struct backoff inherited_tries;
    bool inherited_lack; /* the earlier program's processes, which serve, lack one */
    bool stopping, draining, reload_again, reload_waits;
    int status; /* of the process */
};

static inline struct master *master_of(struct loop *loop)
{
    return (struct master *)loop;
}

/* The process, from a checked configuration to the exit status. `warnings` are logged. */
int master_run(const char *config_file, struct config *config, struct buf *warnings);

/* Logs each line of the text as a line of its own. */
void master_log_lines(enum log_level level, const struct buf *text);

/* Ends the process: tells all children to stop, waits, and kills the rest. `status` is the exit
 * status. */
void master_stop(struct master *m, int status);

/* Lets workers end with their last connection, then stops. */
void master_drain(struct master *m);

/* Reads the configuration again and starts a generation from it. The asker gets NOTE_RESULT when
 * the generation serves or has failed. After an upgrade that has failed to open the runtime it is an
 * upgrade. */
void master_reload(struct master *m, struct asker asker);

/* Replaces the process by the program that is now at m->program. Returns only on failure, after a
 * NOTE_RESULT to the asker; on success the new program sends it when it serves. */
void master_upgrade(struct master *m, struct asker asker);

/* ---- upgrade.c ---- */

/* After an upgrade, takes over from the earlier program of this process: listeners, runtime, and
 * children (as the current generation). Returns 1; 0 if there was no upgrade; or -errno. */
int upgrade_inherit(struct master *m);

/* Begins this program again if it is to take over from an earlier one and cannot now: there were no
 * descriptors or no memory, or the configuration could not be read. The children of the earlier
 * program serve meanwhile. `m`: what has been taken over; NULL if nothing was. Returns if there is no
 * upgrade, or after two seconds of trying. */
void upgrade_try_again(const struct master *m, const char *config_file);

/* This program has all that it needs of the earlier one. */
void upgrade_is_done(void);

/* Sends NOTE_RESULT to the asker, if it still runs, and writes a line in the log. */
void master_answer(struct master *m, struct asker asker, bool done, const char *event,
                   const char *text);

/* The same for what fails because something else is under way: it costs nothing to ask for, so there
 * is at most one line a second in the log. A web process that was taken over could fill it. */
void master_refuse(struct master *m, struct asker asker, const char *event, const char *text);

/* Tells the service manager that a start or a reload is over, whatever has come of it: it does nothing
 * else for mired before it hears that. Not while mired ends, which it has been told. `serves`: what it
 * shows from now on; NULL: what it has shown. */
void master_tell_ready(const struct master *m, const char *serves);

/* Whether a start, a reload or an upgrade is in progress, so that no other can begin. */
static inline bool master_is_busy(const struct master *m)
{
    return m->coming || m->parting || m->reload_waits || !m->current;
}

/* Sends RESULT_BUSY to the asker, if it still runs. */
void master_answer_busy(struct master *m, struct asker asker);

/* ---- generation.c ---- */

/* Starts the children of a new generation from `config` (takes ownership). 0; or -1 with messages
 * in *errors, and nothing has changed. */
int generation_start(struct master *m, struct config *config, struct asker asker,
                     uint64_t patience_ms, struct buf *errors);

/* Ends the generation that is about to start, if there is one: a reload or an upgrade fails with `why`. */
void generation_give_up_coming(struct master *m, const char *why);

/* Called when a child, of `g`, has become ready, died, ended as told, ... */
void generation_child_ready(struct master *m, struct child *c);
void generation_child_died(struct master *m, struct generation *g);
void generation_child_gone(struct master *m, struct generation *g);

/* ... or when a worker has stopped accepting. */
void generation_child_drains(struct master *m, struct generation *g);

/* At the end, when no child is left. */
void generation_release_all(struct master *m);

/* How many children of that role are alive, in any state; g NULL: in all generations. */
uint32_t generation_count(const struct master *m, const struct generation *g, enum role_id role);

/* ---- child.c ---- */

/* Adds a child and starts it. 0 or -errno. */
int child_add(struct master *m, struct generation *g, enum role_id role, uint32_t index);

/* Adds a child that an earlier program has started: `known` has role, index, pid, row, state and
 * the channel's descriptor. Returns 0 or -errno. */
int child_adopt(struct master *m, struct generation *g, const struct child *known);

/* Sends a note that has nothing else. If there is no room or memory for it now, it is sent again later,
 * unless another one takes its place: a worker that does not hear NOTE_DRAIN would serve an earlier
 * configuration for ever. 0 or -errno. */
int child_tell(struct master *m, struct child *c, enum note_kind note);
void child_tell_later(struct master *m, struct child *c, enum note_kind note);

/* Sends NOTE_RESULT: what has become of the command with this tag. Also after a while, if there is no
 * room or memory for it now: mirectl would wait in vain. `text` is copied. */
void child_answer(struct master *m, struct child *c, uint64_t tag, enum note_result result,
                  const char *text);

/* Sends NOTE_DRAIN or NOTE_STOP: its end is expected from now on. A dead child is removed. */
void child_leave(struct master *m, struct child *c, enum note_kind note);

/* Handles every child that has ended. */
void child_reap(struct master *m);

/* ---- spool_count.c ---- */

/* Makes the shared count of octets in spools the sum of what the workers that live say. */
void spool_count_again(struct master *m);

struct child *child_by_pid(const struct master *m, pid_t pid);

/* ---- role.c ---- */

enum retirement {
    RETIRE_DRAIN, /* accept no more, end with the last connection */
    RETIRE_LAST,  /* stop when the workers of its generation have ended */
    RETIRE_STOP,  /* stop when the next generation serves */
    /* the same, but serve earlier workers to their end while the current generation has none of that
     * role */
    RETIRE_REPLACED,
};

struct role {
    const char *name;
    uint32_t (*count)(const struct config *config);
    int (*body)(struct master *m, const struct child *c); /* in the child; returns its status */
    enum retirement retirement;
    /* Whether the existing children also fit the new configuration at a reload; the next generation
     * then keeps them, and tells them NOTE_KEPT when it serves. NULL: never. */
    bool (*kept)(const struct master *m, const struct config *before, const struct config *now);
};
extern const struct role role_table[ROLE_COUNT];

/* ---- heartbeat.c ---- */

/* Starts the heartbeat. */
void heartbeat_start(struct master *m);

/* ---- inherited.c ---- */

/* A process of the current generation has died, or a socket has no worker, and this program cannot
 * replace it, because an earlier program has started the generation. Does nothing for others. */
void inherited_lack(struct master *m);

/* After an upgrade: watches the sockets, and goes on with what the earlier program could not do for
 * such processes. */
void inherited_start(struct master *m);

/* ---- listener_loss.c ---- */

/* Replaces sockets that stop listening, from now on. Call it after listeners_add(), or
 * listeners_heed(). */
void listeners_watch(struct master *m);

/* ---- notes.c ---- */

void note_from_child(struct master *m, struct child *c, const struct note *n);

/* A worker has ended, and its connections with it: answers what it was asked to release. */
void notes_worker_ended(struct master *m, struct child *c);

#endif
