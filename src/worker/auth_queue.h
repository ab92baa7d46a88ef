/* Those who stand in line to ask about an account that does not know them; see auth_queue.c. A
 * worker's own. */
#ifndef MIRED_WORKER_AUTH_QUEUE_H
#define MIRED_WORKER_AUTH_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct auth_queue;
struct query;
struct worker;

enum auth_queue_place { AUTH_QUEUE_NOT, AUTH_QUEUE_STANDS, AUTH_QUEUE_ASKED };

/* For one of so many workers; NULL without memory. */
struct auth_queue *auth_queue_open(uint32_t workers);
/* Nobody may stand there any more. */
void auth_queue_close(struct auth_queue *auth_queue);

/* True: it may be asked now. False: it stands in line, and query_next() will be called. */
bool auth_queue_enter(struct auth_queue *auth_queue, struct query *q);

/* The query is answered, or its connection is gone. */
void auth_queue_leave(struct auth_queue *auth_queue, struct query *q);

/* Called at the end of each turn of the loop: lets those go on who can. True: there are more, and
 * the next turn must not wait. Connections may be freed. */
bool auth_queue_move(struct auth_queue *auth_queue, struct worker *w);

#endif
