/* Those who stand in line to ask about an account that does not know them; see crowd.c. A worker's
 * own. */
#ifndef MIRED_WORKER_CROWD_H
#define MIRED_WORKER_CROWD_H

#include <stdbool.h>
#include <stdint.h>

struct crowd;
struct question;
struct worker;

enum crowd_place { CROWD_NOT, CROWD_STANDS, CROWD_ASKED };

/* For one of so many workers; NULL without memory. */
struct crowd *crowd_open(uint32_t workers);
/* Nobody may stand there any more. */
void crowd_close(struct crowd *crowd);

/* True: it may be asked now. False: it stands in line, and question_next() will be called. */
bool crowd_enter(struct crowd *crowd, struct question *q);

/* The question is answered, or nobody's any more. */
void crowd_leave(struct crowd *crowd, struct question *q);

/* Called at the end of each turn of the loop: lets those go on who can. True: there are more, and
 * the next turn must not wait. Connections may be freed. */
bool crowd_move(struct crowd *crowd, struct worker *w);

#endif
