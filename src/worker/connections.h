/* Lists the open connections, for `mirectl connections`. */
#ifndef MIRED_WORKER_CONNECTIONS_H
#define MIRED_WORKER_CONNECTIONS_H

struct note;
struct worker;

enum {
    CONNECTIONS_LINES = 200, /* of all workers together; the others are counted */
    CONNECTIONS_LEAST = 20,  /* of one worker */
    CONNECTIONS_LINE = 320,  /* octets, at most */
};

/* Answers NOTE_CONNECTIONS with NOTE_CONNECTIONS_TOLD, in as many notes as it takes. A line has,
 * with tabs between: address, id, phase, flags, ms since it was accepted, ms in its phase, what it
 * waits for. Nothing in it was sent by the client. Looks at all connections of this worker. */
void connections_tell(struct worker *w, const struct note *query);

#endif
