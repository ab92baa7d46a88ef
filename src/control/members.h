/* What the web process asks the fleet process for (R25): the state of the fleet, and orders to the
 * other members to do what was done here.
 *
 *   web --NOTE_FLEET_ASK--> master --> fleet        "status", "order VERB NETWORK UNTIL", or
 *                                                   "order release-account ID NAME"
 *   web <--NOTE_FLEET_TOLD-- master <-- fleet       the answer, in one or several notes
 *
 * An order of another member comes the other way, as NOTE_FLEET_DO, and is answered by
 * NOTE_FLEET_DONE. In the web process, on its loop. */
#ifndef MIRED_CONTROL_MEMBERS_H
#define MIRED_CONTROL_MEMBERS_H

#include "base/loop.h"
#include "query/notes.h"

enum { MEMBERS_ANSWER_MS = 3000 };

struct members_asking;

struct members_asks {
    struct loop *loop;
    int channel; /* to the master */
    uint64_t last_tag;
    struct members_asking *askings; /* under way */
};

/* What the fleet process answers to an order, "mx2, mx3;mx4": the members that have done it, and
 * those that have not said so. NULL: nobody answered. */
struct members_did {
    char done[256], missed[256];
};
void members_did_read(const char *answer, struct members_did *did);

/* `answer` is valid during the call; NULL if there is no fleet process, or if it did not answer. */
typedef void members_told(void *arg, const char *answer);

/* 0, or -errno: `told` will not be called. Otherwise it is called once, later. */
int member_ask(struct members_asks *a, const char *query, members_told *told, void *arg);

/* `told` will not be called with this `arg` any more. */
void member_ask_forget(struct members_asks *a, const void *arg);
void member_asks_close(struct members_asks *a);

/* NOTE_FLEET_TOLD. */
void member_asks_note(struct members_asks *a, const struct note *n);

#endif
