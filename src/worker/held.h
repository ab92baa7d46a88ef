/* Carries out an administrator's requests about held connections of this worker: answers them now,
 * counts them, or counts those of several clients. The results are notes to the master
 * (query/notes.h). */
#ifndef MIRED_WORKER_HELD_H
#define MIRED_WORKER_HELD_H

struct note;
struct worker;

/* NOTE_RELEASE: answers the holds of an address or a network now, and reports how many with
 * NOTE_RELEASED: at once, twice a second, and at the end. */
void held_release(struct worker *w, const struct note *asked);

/* NOTE_COUNT: reports with NOTE_COUNTED how many connections of a network are held, and, for a
 * single address, the lists that have it. */
void held_count(const struct worker *w, const struct note *query);

/* NOTE_TALLY: reports with NOTE_TALLIED how many connections of each client are held. */
void held_tally(const struct worker *w, const struct note *query);

#endif
