/* Strangers who ask about one account at the same time stand in line (R14).
 *
 * An account is under attack once passwords for it have been found wrong; whoever asks then gets a
 * turn, or none. Of a thousand who all ask before that is known each would be looked at. Therefore
 * a few questions about an account, of those who come from networks that it is not known to log in
 * from, are with the clerks at a time. The others stand in line here, and are judged anew when it
 * is their turn to be asked. Who is known stands in no line.
 *
 * Lines are found by a hash of the account, or of all that a spelling that nobody has asked about
 * yet may turn out to be (accounts.c). Two accounts may have one line: they wait for each other
 * then, and nothing else comes of it. */
#include "worker/crowd.h"

#include <stdlib.h>

#include "worker/conn.h"

enum {
    LINES = 256,     /* as many as question.line can tell */
    WITH_CLERKS = 4, /* questions about an account, of all workers; each has one at least */
    BATCH = 64,      /* that leave their lines in one turn of the loop */
};

struct line {
    struct ring standing;
    uint32_t asked;
};

struct crowd {
    uint32_t most; /* that a line may have with the clerks */
    bool moves;    /* there may be a line that can move on */
    struct line line[LINES];
};

struct crowd *crowd_open(uint32_t workers)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);

    if (!crowd)
        return NULL;
    crowd->most = workers < WITH_CLERKS ? WITH_CLERKS / workers : 1;
    for (int i = 0; i < LINES; i++)
        ring_init(&crowd->line[i].standing);
    return crowd;
}

void crowd_close(struct crowd *crowd)
{
    free(crowd);
}

static bool has_room(const struct crowd *crowd, const struct line *line)
{
    return line->asked < crowd->most;
}

bool crowd_enter(struct crowd *crowd, struct question *q)
{
    struct line *line;

    if (q->leave.stranger_to == 0 || q->leave.turn_end)
        return true;
    q->line = (uint8_t)((q->strangers ? q->strangers : q->leave.stranger_to) % LINES);
    line = &crowd->line[q->line];
    if (has_room(crowd, line) && ring_is_empty(&line->standing)) {
        line->asked++;
        q->crowd = CROWD_ASKED;
        return true;
    }
    ring_add(&line->standing, &q->standing);
    q->crowd = CROWD_STANDS;
    return false;
}

void crowd_leave(struct crowd *crowd, struct question *q)
{
    struct line *line = &crowd->line[q->line];

    if (q->crowd == CROWD_STANDS) {
        ring_remove(&q->standing);
    } else if (q->crowd == CROWD_ASKED) {
        line->asked--;
        crowd->moves = crowd->moves || !ring_is_empty(&line->standing);
    }
    q->crowd = CROWD_NOT;
}

/* The first of those who stand in a line that can move on; NULL: there is none. */
static struct question *first_of(struct crowd *crowd)
{
    for (int i = 0; i < LINES; i++) {
        struct line *line = &crowd->line[i];
        if (has_room(crowd, line) && !ring_is_empty(&line->standing))
            return (struct question *)((char *)line->standing.next -
                                       offsetof(struct question, standing));
    }
    return NULL;
}

bool crowd_move(struct crowd *crowd, struct worker *w)
{
    for (int i = 0; crowd->moves && i < BATCH; i++) {
        struct question *q = first_of(crowd);
        if (!q) {
            crowd->moves = false;
            break;
        }
        ring_remove(&q->standing);
        crowd->line[q->line].asked++;
        q->crowd = CROWD_ASKED;
        question_next(w, q);
    }
    return crowd->moves;
}
