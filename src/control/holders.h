/* Asks the processes that hold connections, workers and freezers: counts the held connections of a
 * network or of several clients, and lets them be answered.
 *
 *   web --NOTE_COUNT, NOTE_TALLY, NOTE_RELEASE--> master --> every worker and freezer, of all
 *                                                            generations
 *   web <--the same note-- master: how many it asked (NOTE_RELEASE: and their names)
 *   web <--NOTE_COUNTED, NOTE_TALLIED, NOTE_RELEASED-- master <-- each of them
 *
 * The result of a count comes after 300 ms at the latest, with the answers so far. The result of a
 * release comes when every process has done it or has been silent for 1.5 s; it names each process
 * that died, hangs, or is of a version that does not answer. In the web process, on its loop. */
#ifndef MIRED_CONTROL_HOLDERS_H
#define MIRED_CONTROL_HOLDERS_H

#include <jansson.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "query/notes.h"
#include "query/tally.h"

enum { HOLDERS_COUNT_MS = 300, HOLDERS_SILENT_MS = 1500 };

struct asking;

struct holders {
    struct loop *loop;
    int channel; /* to the master */
    uint64_t last_tag;
    struct asking *askings; /* under way */
};

/* The result. Valid during the call. */
struct held {
    int64_t held, frozen; /* connections with and without a socket: how many there are; or how many
                             have been answered, and how many the freezer has given back to workers
                             to be answered */
    unsigned missing;     /* processes that did not answer */
    const char *names;    /* their names, each with the reason; of a release only, else "" */
    const json_t
        *listed; /* an object with the name of each list that names the client; of a count */
    const struct tally
        *tally[2]; /* of a tally, else NULL: connections with a socket, and without */
    bool known;    /* the master has said how many it asked */
};

typedef void held_told(void *arg, const struct held *h);

/* Ask all processes; `told` is called once, later. Return 0, or -errno if the master cannot be
 * reached; then `told` is not called. */
int holders_count(struct holders *h, const struct network *n, held_told *told, void *arg);
int holders_tally(struct holders *h, const struct tally *clients, held_told *told, void *arg);
int holders_release(struct holders *h, const struct network *n, held_told *told, void *arg);

/* `told` must not be called with this `arg` any more. */
void holders_forget(struct holders *h, const void *arg);

/* Calls `told` for all that still wait, with what is known so far. */
void holders_close(struct holders *h);

/* Handles a note of the kinds above from the master. */
void holders_note(struct holders *h, const struct note *n);

#endif
