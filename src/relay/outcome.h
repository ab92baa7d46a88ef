/* Mixed answers: from the backend's reply for each recipient to the one reply that the client hears
 * (docs/mixed-answers.md). Pure except for the partial_delivery table. */
#ifndef MIRED_RELAY_OUTCOME_H
#define MIRED_RELAY_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/partial_delivery.h"
#include "smtp/client.h"

/* Marks recipients that have this message already; returns the number of the others. */
uint32_t outcome_begin(struct job *j, struct partial_delivery *s, uint64_t now);

/* The job's end: returns the client's reply (its arg lives in the job), and records the deliveries.
 * *accepted: recipients that have the message now, earlier tries included. */
struct reply outcome_end(const struct job *j, struct partial_delivery *s, uint64_t now,
                         uint32_t *accepted);

/* The client does not hear how the job ended, and will retry. Records the recipients that have the
 * message. Only for a message with a Message-ID, because otherwise another message might look the
 * same. */
void outcome_unheard(const struct job *j, struct partial_delivery *s, uint64_t now);

/* Whether this recipient must have a transaction of its own, because after a mixed answer it is in
 * another group than the recipients that the transaction already has. */
bool outcome_apart(const struct envelope *e, struct span recipient, uint32_t declared,
                   const struct partial_delivery *s, uint64_t now);

#endif
