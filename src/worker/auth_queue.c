/* Strangers who ask about one account at the same time stand in line (R14).
 *
 * An account is under attack once passwords for it have been found wrong; a login then gets a
 * turn, or none. Of a thousand who all ask before that is known each would be looked at. Therefore
 * a few queries about an account, of those who come from networks that it is not known to log in
 * from, are with the clerks at a time. The others stand in line here, and are judged anew when it
 * is their turn to be asked. Who is known stands in no line.
 *
 * Lines are found by a hash of the account, or of all that a spelling that nobody has asked about
 * yet may turn out to be (accounts.c). Two accounts may have one line: they wait for each other
 * then, and nothing else comes of it. */
#include "worker/auth_queue.h"

#include <stdlib.h>

#include "base/container.h"
#include "worker/queries.h"

enum {
    LINES = 256,     /* as many as query.line can tell */
    WITH_CLERKS = 4, /* queries about an account, of all workers; each has one at least */
    BATCH = 64,      /* that leave their lines in one turn of the loop */
};

struct line {
    struct ring standing;
    uint32_t asked;
};

struct auth_queue {
    uint32_t most; /* that a line may have with the clerks */
    bool moves;    /* there may be a line that can move on */
    struct line line[LINES];
};

struct auth_queue *auth_queue_open(uint32_t workers)
{
    struct auth_queue *auth_queue = calloc(1, sizeof *auth_queue);

    if (!auth_queue)
        return NULL;
    auth_queue->most = workers < WITH_CLERKS ? WITH_CLERKS / workers : 1;
    for (int i = 0; i < LINES; i++)
        ring_init(&auth_queue->line[i].standing);
    return auth_queue;
}

void auth_queue_close(struct auth_queue *auth_queue)
{
    free(auth_queue);
}

static bool has_room(const struct auth_queue *auth_queue, const struct line *line)
{
    return line->asked < auth_queue->most;
}

bool auth_queue_enter(struct auth_queue *auth_queue, struct query *q)
{
    struct line *line;

    if (q->permit.stranger_to == 0 || q->permit.turn_end)
        return true;
    q->line = (uint8_t)((q->strangers ? q->strangers : q->permit.stranger_to) % LINES);
    line = &auth_queue->line[q->line];
    if (has_room(auth_queue, line) && ring_is_empty(&line->standing)) {
        line->asked++;
        q->auth_queue = AUTH_QUEUE_ASKED;
        return true;
    }
    ring_add(&line->standing, &q->standing);
    q->auth_queue = AUTH_QUEUE_STANDS;
    return false;
}

void auth_queue_leave(struct auth_queue *auth_queue, struct query *q)
{
    struct line *line = &auth_queue->line[q->line];

    if (q->auth_queue == AUTH_QUEUE_STANDS) {
        ring_remove(&q->standing);
    } else if (q->auth_queue == AUTH_QUEUE_ASKED) {
        line->asked--;
        auth_queue->moves = auth_queue->moves || !ring_is_empty(&line->standing);
    }
    q->auth_queue = AUTH_QUEUE_NOT;
}

/* The first of those who stand in a line that can move on; NULL: there is none. */
static struct query *first_of(struct auth_queue *auth_queue)
{
    for (int i = 0; i < LINES; i++) {
        struct line *line = &auth_queue->line[i];
        if (has_room(auth_queue, line) && !ring_is_empty(&line->standing))
            return container_of(line->standing.next, struct query, standing);
    }
    return NULL;
}

bool auth_queue_move(struct auth_queue *auth_queue, struct worker *w)
{
    for (int i = 0; auth_queue->moves && i < BATCH; i++) {
        struct query *q = first_of(auth_queue);
        if (!q) {
            auth_queue->moves = false;
            break;
        }
        ring_remove(&q->standing);
        auth_queue->line[q->line].asked++;
        q->auth_queue = AUTH_QUEUE_ASKED;
        query_next(w, q);
    }
    return auth_queue->moves;
}
