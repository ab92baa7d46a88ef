/* The listening sockets of a worker: it accepts from them, pauses, and gets others in their place.
 *
 * The master makes the sockets and keeps them (master/listener.h). Other processes have them too, so
 * an attacker in one of these can end their listening (master/listener_loss.c). */
#ifndef MIRED_WORKER_LISTENING_H
#define MIRED_WORKER_LISTENING_H

#include <stdbool.h>

struct note;
struct worker;

/* Makes the sockets of w->params ready; they are not watched yet. False without memory. */
bool listening_open(struct worker *w);

/* Accepts from now on. Returns 0 or -errno. */
int listening_start(struct worker *w);

/* Accepts no more and closes the sockets, so that an attacker who takes this worker over from now on
 * does not have them. */
void listening_stop(struct worker *w);

/* NOTE_LISTENER: takes the note's socket in place of the one that it names. If there is none of that
 * name, or this worker accepts no more, the descriptor stays the caller's. */
void listening_replace(struct worker *w, struct note *n);

/* Frees the memory; the sockets stay open. */
void listening_close(struct worker *w);

#endif
