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
    uint64_t used_ms; /* monotonic: when it was accepted, or made its last request */
    uint64_t tag;     /* of the note whose result it waits for; 0: none */
    /* called if the client leaves while `tag` is open; NULL: wait */
    void (*given_up)(struct control *c);
    /* A long result: called whenever there is room for more; false at its end, after the last line
     * was written. `drop` frees `state`. */
    bool (*more)(struct control *c);
    void *state;
    void (*drop)(void *state);
    bool waits;         /* for a later result; see control_wait() */
    bool asked;         /* has made a request */
    bool asked_routing; /* `recipient`: of an address whose local part is a route */
    bool over;          /* no more requests; closed when all is written */
};

/* Begins to accept connections. Returns 0 or -errno. */
int control_open(struct steering *s, int listen_fd);
void control_close(struct steering *s);

/* Sends the last line of a result: `body` (an object, taken over) with "v" and "ok":true. */
void control_done(struct control *c, json_t *body);

/* Sends a line before the last one. */
void control_part(struct control *c, json_t *body);

/* Sends "ok":false with a code of commands.h and a sentence. */
void control_fail(struct control *c, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs a change with the user and process that made it; `about` may be NULL. */
void control_log(const struct control *c, const char *command, const char *about);
/* The same with one of its options. */
void control_log_with(const struct control *c, const char *command, const char *about,
                      const char *key, const char *value);

/* The result comes later; `drop` frees `state` if the client hangs up before that. */
void control_wait(struct control *c, void *state, void (*drop)(void *state));
/* The result has been sent now; `c` may be freed. */
void control_waited(struct control *c);

/* Continues after a later result; `c` may be freed. */
void control_resume(struct control *c);

/* Accepts no more connections; those that wait for an answer stay until they have it. */
void control_finish(struct steering *s);

#endif
