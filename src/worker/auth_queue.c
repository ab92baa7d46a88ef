/* Strangers that try passwords of one account at the same time wait in line (R14).
 *
 * An account counts as under attack after wrong passwords for it; a login then needs a turn. But if
 * a thousand strangers try at the same moment, each password would be checked before that is known.
 * So for each account, only a few queries from networks where it has never logged in are with the
 * clerks at a time. The others wait in line here, and are judged again when they reach its front.
 * Logins from networks that the account knows do not wait in line.
 *
 * A hash of the account selects the line; for an unknown spelling, a hash of the accounts that it
 * may belong to (accounts.c). If two accounts have the same line they wait for each other, which
 * does no other harm. */
#include "worker/auth_queue.h"

#include <stdlib.h>

#include "base/container.h"
#include "worker/queries.h"

enum {
    LINES = 256, /* the range of query.line */
    /* queries about one account, of all workers together; each may have at least one */
    WITH_CLERKS = 4,
    BATCH = 64, /* queries that leave their lines in one turn of the loop */
};

struct line {
    struct ring standing;
    uint32_t asked;
};

struct auth_queue {
    uint32_t most; /* how many queries of a line may be with the clerks */
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

/* The first query of a line that may send one; NULL if there is none. */
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
