/* Inside the directories: inquiries, errands and sources. Private to src/directory.
 *
 *   directory.c  inquiries: one query on its way through the sources, and the forms of an address
 *   errands.c    queries that files and cache cannot answer, sent to a source by a thread
 *   source.c     a source: its file or its connections, and whether it is down
 *   list_file.c  a file of lines      list_kinds.c  what its lines are     traps.c  files of traps
 *
 * All of it is the clerk's own thread's, but for errand_run() and errand_rest(). */
#ifndef MIRED_DIRECTORY_DIRECTORY_PART_H
#define MIRED_DIRECTORY_DIRECTORY_PART_H

#include "directory/askers.h"
#include "directory/cache.h"
#include "directory/directory.h"
#include "directory/fair.h"

struct config_recipients;
struct backend_directory;
struct list_file;
struct ldap_directory;
struct socketmap_directory;
struct traps;

/* A connection of one thread's to a remote source; by config->kind. */
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
    _Atomic int *found;     /* shared by its lines: what one finds out for all (remote.h) */
    struct cache_source cached;
    uint32_t running;           /* errands with threads */
    uint64_t spoke_us;          /* monotonic: time of its last answer */
    bool kept;                  /* the newest version of a file is rejected */
    bool down;                  /* as this clerk knows it; the cache is authoritative */
    char probe[QUERY_TEXT_MAX]; /* what it was asked for when it could not be */
    size_t probe_len;
};

/* One query on its way through the sources. */
struct inquiry {
    struct directory_asker asker;
    struct answer answer;
    uint64_t until_ms; /* monotonic: the asker does not wait longer */
    size_t source;     /* where it stands */
    int form;
    enum answer_result of_source; /* what its forms have come to there */
    enum answer_result known;     /* an old answer of the cache's; ANSWER_LATER: none */
    bool later;                   /* a source could not tell */
    size_t len;
    char address[]; /* folded */
};

/* One form, asked of one remote source. */
struct errand {
    struct task task; /* first */
    struct fair_item item;
    struct inquiry *inquiry; /* NULL: for the cache, or to see whether the source is up */
    struct source *source;
    struct answer answer; /* ANSWER_OTHER's */
    uint64_t begun_us, took_us;
    enum answer_result result;
    size_t len;
    char form[];
};

struct directory {
    const struct config *config;
    struct cache *cache; /* a file needs none */
    struct traps *traps;
    struct source *source;
    size_t sources;
    struct askers *askers;
    struct fair *fair;
    uint32_t most, room; /* lookups at once: allowed, and what the sources have taken so far */
    uint64_t grow_ms;
    directory_answered *answered;
    void *arg;
};

/* ---- source.c ---- */

/* False without memory, or when its password_file cannot be read. */
bool source_open(struct source *s, const struct directory *d, const struct addresses *addresses,
                 const struct config_recipients *r, bool confirmed);
void source_close(const struct directory *d, struct source *s);
bool source_is_file(const struct source *s);

/* Whether a file has changed, and whether its newest version is kept back. */
void source_look(struct source *s);

/* How long answers are valid for an asker of that rank. In directory.c. */
struct cache_source source_cached_for(const struct source *s, enum query_rank rank);

/* Up or down, as far as this clerk's gauge goes. */
void source_know(struct source *s, bool down);
/* It could not be asked for `form`, and will be tried with it. */
void source_know_down(struct source *s, struct span form);
/* It has been asked for `form`. */
void source_was_asked(struct directory *d, struct source *s, struct span form, bool down);
/* It took so long. */
void source_took(const struct source *s, uint64_t us);

/* ---- errands.c ---- */

/* Asks a source for that form, for an inquiry (whose owner the errand is then) or for the cache.
 * False without memory. It begins with errands_go(). */
bool errand_send(struct directory *d, struct source *s, struct span form, struct inquiry *q);
/* Gives threads what may be asked now. */
void errands_go(struct directory *d);
/* All that wait are freed. */
void errands_forget(struct directory *d);

/* In threads; see askers.h. */
bool errand_run(void *arg, uint32_t asker, struct task *t);
void errand_rest(void *arg, uint32_t asker);

/* ---- directory.c ---- */

/* What one form has come to at the source where the inquiry stands: it goes on, and is freed when
 * it has been answered. */
void inquiry_go_on(struct directory *d, struct inquiry *q, enum answer_result r);

#endif
