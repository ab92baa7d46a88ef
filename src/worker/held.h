/* What an administrator asks of the connections that this worker holds: to answer them now, how many
 * there are, and how many each of some clients has. The answers are notes to the master
 * (query/notes.h). */
#ifndef MIRED_WORKER_HELD_H
#define MIRED_WORKER_HELD_H

struct note;
struct worker;

/* NOTE_RELEASE: answers the holds of an address or a network now, and says how many with
 * NOTE_RELEASED: at once, twice a second, and at the end. */
void held_release(struct worker *w, const struct note *asked);

/* NOTE_COUNT: answers with NOTE_COUNTED how many of a network are held, and which lists name it, if
 * it is a single address. */
void held_count(const struct worker *w, const struct note *question);

/* NOTE_TALLY: answers with NOTE_TALLIED how many of each client are held. */
void held_tally(const struct worker *w, const struct note *question);

#endif
