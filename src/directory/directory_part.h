/* Inside the directories: inquiries, errands and sources. Private to src/directory.
 *
 * directory.c inquiries: one query to all sources, and the forms of an address
 *   errands.c    queries that files and cache cannot answer, sent to a source by a thread
 *   source_slots.c  which worker slot's errand a source gets next
 *   hung.c     errands that get no answer for long
 *   source.c     a source: its file or its connections, and whether it is down
 *   list_file.c  a file of lines      list_kinds.c  what its lines are     traps.c  files of traps
 *
 * Only errand_run() and errand_rest() run in other threads than the clerk's own. */
#ifndef MIRED_DIRECTORY_DIRECTORY_PART_H
#define MIRED_DIRECTORY_DIRECTORY_PART_H

#include "base/sharing.h"
#include "config/routes.h"
#include "directory/askers.h"
#include "directory/cache.h"
#include "directory/directory.h"
#include "query/fair.h"

struct addresses;
struct config_recipients;
struct backend_directory;
struct list_file;
struct ldap_directory;
struct socketmap_directory;
struct traps;

/* The connection of one thread to a remote source; by config->kind. */
union line {
    struct backend_directory *backend;
    struct socketmap_directory *socketmap;
    struct ldap_directory *ldap;
    void *any;
};

struct source {
    const struct config_recipients *config;
    struct list_file *file; /* RECIPIENTS_FILE */
    union line *line;       /* else: one for each thread */
    _Atomic int *found;     /* shared by its lines: see remote.h */
    struct route backends;  /* RECIPIENTS_BACKEND: the backends that it queries */
    struct cache_source cached;
    struct source_slots *slots; /* whose errands come first; NULL: it had none yet */
    _Atomic bool *open;         /* whether each thread has a connection; the thread writes it */
    _Atomic uint32_t lines;     /* how many have one */
    _Atomic bool give;          /* the next thread that has an answer closes its connection */
    struct ring waits;          /* its errands that wait for a thread, unless it is a file */
    struct ring link;           /* in the directory's `waits`, if there are any */
    uint32_t waiting;           /* how many */
    uint32_t running;           /* errands that threads run now */
    uint32_t hung;              /* of these, those that have no place (hung.c) */
    uint64_t silent_us;         /* monotonic: when the last of them ended without an answer */
    uint32_t room;              /* queries at once that it has accepted so far */
    uint64_t grow_ms;           /* monotonic: when to try more of them */
    bool regrow;                /* it answered nobody when `room` was last made smaller */
    uint64_t pause_ms;          /* monotonic: until then, no thread opens a connection */
    uint64_t refused_ms;        /* monotonic: the last of them */
    uint64_t doubted_ms;        /* monotonic: since when it may be down; 0: there is no doubt */
    bool kept;                  /* the newest version of a file is rejected */
    bool down;                  /* as this clerk knows it; the cache is authoritative */
    char probe[QUERY_TEXT_MAX]; /* the query that failed, for the next try */
    size_t probe_len;
    struct buf good; /* a query that it has answered */
};

/* One query, which goes to one source after another. */
struct inquiry {
    struct directory_asker asker;
    struct answer answer;
    uint64_t until_ms;  /* monotonic: the worker does not wait longer */
    struct route route; /* the directories of its domain */
    size_t section;     /* the current one of them */
    int form;
    enum answer_result of_source; /* the result of its forms at that source */
    enum answer_result known;     /* an old answer in the cache; ANSWER_LATER: none */
    bool later;                   /* a source could not answer */
    size_t len;
    char address[]; /* folded */
};

/* One form of an address, for one remote source. */
struct errand {
    struct task task; /* first */
    struct fair_item item;
    struct ring wait;        /* in its source's `waits`; in `runs` while it runs and has a place */
    struct inquiry *inquiry; /* NULL: only to renew the cache, or to try whether the source is up */
    struct source *source;
    uint32_t slot;        /* of the worker that has caused it */
    struct answer answer; /* ANSWER_OTHER's */
    uint64_t given_us;    /* monotonic: when a thread got it, and when that thread began */
    uint64_t begun_us;
    uint64_t took_us;
    bool hung; /* it runs and has no place */
    enum answer_result result;
    struct buf good; /* as its source's */
    size_t len;
    char form[];
};

struct directory {
    const struct config *config;
    struct cache *cache;               /* a file needs none */
    struct sharing *sharing;           /* with the other clerks */
    uint32_t wants;                    /* sharing_wants() as last seen */
    uint32_t pid;                      /* of this clerk */
    const struct addresses *addresses; /* where backends with a name are */
    struct traps *traps;
    struct source *source;
    size_t sources;
    uint32_t *first; /* of each section, its source; see source_of() */
    uint32_t *place; /* of a section that asks backends, for each list of backends: its source */
    struct askers *askers;
    struct fair *fair;
    struct ring waits; /* sources that have errands that wait */
    struct ring runs;  /* errands that run and have a place, the oldest first */
    uint32_t hung;     /* errands that run and have none */
    uint32_t idle;     /* sources, without files, for which no thread runs an errand */
    uint32_t most;     /* lookups at once, to one source and with a place */
    uint32_t threads;  /* for them, and for those without a place */
    uint32_t slots;    /* of workers; our own errands count as those of one more */
    directory_answered *answered;
    void *arg;
};

/* ---- source.c ---- */

/* Opens a source. `backends` are those that a RECIPIENTS_BACKEND queries. False without memory, or if
 * its password_file cannot be read. */
bool source_open(struct source *s, const struct directory *d, const struct config_recipients *r,
                 const struct route *backends, bool confirmed);
void source_close(const struct directory *d, struct source *s);
/* The connection of that thread, opened when it is first needed. For that thread only. */
union line source_line(const struct directory *d, struct source *s, uint32_t asker);
bool source_is_file(const struct source *s);
/* For that thread only: records whether it has a connection; closes it. */
void source_note_line(struct source *s, uint32_t asker);
void source_rest(struct source *s, uint32_t asker);

/* Checks whether a file has changed, and whether its newest version is rejected. */
void source_look(struct source *s);

/* How long answers are valid for an asker of that rank. In directory.c. */
struct cache_source source_cached_for(const struct source *s, enum query_rank rank);

/* Records in this clerk's gauge whether the source is down. */
void source_know(struct source *s, bool down);
/* Records that the source is down; the next try queries `form`. */
void source_know_down(struct source *s, struct span form);
/* Records the end of a query for `form`. */
void source_was_asked(struct directory *d, struct source *s, struct span form, bool down);
/* Records how long a query took. */
void source_took(const struct source *s, uint64_t us);

/* ---- errands.c ---- */

/* Call it when all sources are open. */
void errands_open(struct directory *d);

enum { ERRAND_REFUSED_US = 1000000 }; /* a refusal that takes longer is none: nothing answers */

/* Queues a query to a source for that form, for an inquiry (which the errand then owns) or, with
 * NULL, for the cache. `slot`: of the worker that has caused it; d->slots: none has. False without
 * memory. errands_go() starts it. */
bool errand_send(struct directory *d, struct source *s, struct span form, struct inquiry *q,
                 uint32_t slot);
/* Gives threads the errands that may run now. */
void errands_go(struct directory *d);
/* Frees all waiting errands. */
void errands_forget(struct directory *d);

/* In threads; see askers.h. */
bool errand_run(void *arg, uint32_t asker, struct task *t);
void errand_rest(void *arg, uint32_t asker, void *to);
bool errand_has_line(void *arg, uint32_t asker, const void *to);

/* ---- hung.c ---- */

/* Call it before sources are opened; `sources`: how many are asked over connections. */
void hung_open(struct directory *d, size_t sources);
/* Whether such a source may get one more query, as far as the others need the places. */
bool hung_may_go(const struct directory *d, const struct source *s);
/* A thread has got the errand, which has left the source's `waits`; it has ended. */
void hung_begins(struct directory *d, struct errand *e);
void hung_ends(struct directory *d, struct errand *e);
/* Takes places from errands that have run for long. Returns in how many ms to call it again; -1: after
 * the next call of errands_go(). */
int hung_look(struct directory *d);

/* ---- scarce.c ---- */

/* What becomes of an errand that brought no answer: it waits for another try; it ends, and the source
 * is as it was; it ends, and the source is down. */
enum scarce { SCARCE_WAIT, SCARCE_LATER, SCARCE_DOWN };

/* Call it when such an errand has ended; changes how many queries the source gets at once. */
enum scarce scarce_refused(struct directory *d, struct source *s, struct errand *e);
/* Call it when the source has answered. */
void scarce_answered(struct directory *d, struct source *s);
/* Whether the source may get one more query now. */
bool scarce_may_go(const struct source *s);
/* Gives a connection up if another clerk wants one and has fewer. */
void scarce_share(struct directory *d, struct source *s);

/* ---- directory.c ---- */

/* Continues an inquiry with the result of one form at its current source; frees it when it is
 * answered. */
void inquiry_go_on(struct directory *d, struct inquiry *q, enum answer_result r);

#endif
