/* Connections of the control socket. */
#ifndef MIRED_CONTROL_SOCKET_H
#define MIRED_CONTROL_SOCKET_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/loop.h"

struct steering;

struct control {
    struct watch watch; /* first */
    struct steering *steering;
    struct control *next;
    struct buf in, out;
    uid_t uid;
    pid_t pid;
    uint64_t tag;                        /* of the note whose result it waits for; 0: none */
    void (*given_up)(struct control *c); /* the asker has gone while `tag` is open; NULL: wait */
    /* A long result: called whenever there is room for more; false at its end, after the last line
     * was written. `drop` frees `state`. */
    bool (*more)(struct control *c);
    void *state;
    void (*drop)(void *state);
    bool waits;       /* for what comes later; see control_wait() */
    bool asked;       /* has made a request */
    bool asked_route; /* `recipient`: of an address whose local part is a route */
    bool over;        /* no more requests; closed when all is written */
};

/* Begins to take connections. 0 or -errno. */
int control_open(struct steering *s, int listen_fd);
void control_close(struct steering *s);

/* The last line of a result: `body` (taken over; an object) with "v" and "ok":true. */
void control_done(struct control *c, json_t *body);

/* A line before the last one. */
void control_part(struct control *c, json_t *body);

/* "ok":false with a code of commands.h and a sentence. */
void control_fail(struct control *c, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A change is logged with who asked for it; `about` may be NULL. */
void control_log(const struct control *c, const char *command, const char *about);
/* The same with one of its options. */
void control_log_with(const struct control *c, const char *command, const char *about,
                      const char *key, const char *value);

/* The result comes later; `drop` frees `state` if the asker hangs up before. */
void control_wait(struct control *c, void *state, void (*drop)(void *state));
/* It has been given now; `c` may be gone afterwards. */
void control_waited(struct control *c);

/* Goes on after a result that came later than its request; `c` may be gone afterwards. */
void control_resume(struct control *c);

/* Takes no more connections; those that are owed an answer stay until they have it. */
void control_finish(struct steering *s);

#endif
