/* Lines of login queries from strangers to an account; see auth_queue.c. Each worker has one; not
 * thread-safe. */
#ifndef MIRED_WORKER_AUTH_QUEUE_H
#define MIRED_WORKER_AUTH_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct auth_queue;
struct query;
struct worker;

enum auth_queue_place { AUTH_QUEUE_NOT, AUTH_QUEUE_STANDS, AUTH_QUEUE_ASKED };

/* Opens the lines of one worker of `workers`. NULL without memory. */
struct auth_queue *auth_queue_open(uint32_t workers);
/* Frees the lines, which must be empty. */
void auth_queue_close(struct auth_queue *auth_queue);

/* True: the query may be sent now. False: it waits in line, and query_next() will be called for
 * it. */
bool auth_queue_enter(struct auth_queue *auth_queue, struct query *q);

/* Removes a query that is answered, or whose connection is gone. */
void auth_queue_leave(struct auth_queue *auth_queue, struct query *q);

/* Call it at the end of each turn of the loop: sends the queries that may be sent now. True: there
 * are more, and the next turn must not wait. Connections may be freed. */
bool auth_queue_move(struct auth_queue *auth_queue, struct worker *w);

#endif
