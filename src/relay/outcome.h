/* Mixed answers: from the backends' replies for each recipient to the one reply that the client
 * hears (docs/mixed-answers.md). Pure except for the partial_delivery table.
 *
 * A message has a job for each route that its recipients have; their results together are its
 * outcome. */
#ifndef MIRED_RELAY_OUTCOME_H
#define MIRED_RELAY_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/partial_delivery.h"
#include "smtp/client.h"

/* How the job for one route ended. */
struct outcome_part {
    const struct job *job;
    uint16_t unsettled; /* enum reply_id, a 4xx, for recipients about which no backend has
                           decided; 0: all have been answered */
};

/* Marks recipients that have this message already; returns the number of the others. */
uint32_t outcome_begin(struct job *j, struct partial_delivery *s, uint64_t now);

/* A job has ended while others of its message go on: records the recipients that have the message,
 * so that they keep only one copy if this process dies before the others end. Only for a message
 * with a Message-ID: without one, the next message with the same octets may be another one, which
 * may come before the others end. */
void outcome_note(const struct job *j, struct partial_delivery *s, uint64_t now);

/* The client that waits for the outcome. */
struct outcome_client {
    bool (*hears)(const void *arg); /* whether a reply may still reach it. Asked only when it
                                       matters, which is seldom. NULL: it may */
    const void *arg;
};

/* The end of all jobs: returns the client's reply (its arg lives in the jobs), and records the
 * deliveries unless all recipients have the message: then nothing is left of what outcome_note()
 * recorded, for the next message with the same octets may be another one. For that reason nothing is
 * recorded either of a message without a Message-ID whose client cannot hear that it must retry.
 * *accepted: recipients that have the message now, earlier tries included; *before: those of earlier
 * tries. */
struct reply outcome_end(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                         uint64_t now, struct outcome_client client, uint32_t *accepted,
                         uint32_t *before);

/* Whether the job's message has a Message-ID, by which a retry is recognised. */
bool outcome_is_named(const struct job *j);

/* After outcome_end(): the client does not hear how the jobs ended, and will retry. Records the
 * recipients that have the message. Only for a message with a Message-ID, because otherwise another
 * message might look the same. */
void outcome_unheard(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                     uint64_t now);

/* Whether a mixed answer has parted this recipient from those that the transaction has already, or
 * whether it lets others begin the transaction this time. */
bool outcome_apart(const struct envelope *e, struct span recipient, uint32_t declared,
                   struct partial_delivery *s, uint64_t now);

#endif
