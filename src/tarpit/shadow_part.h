/* Private to shadow*.c: the table of shadows and their queued steps. */
#ifndef MIRED_TARPIT_SHADOW_PART_H
#define MIRED_TARPIT_SHADOW_PART_H

#include "tarpit/shadow.h"

enum { SHADOW_BUCKETS = 1024 };

struct queued {
    struct queued *next;
    struct shadow_step step; /* its spans are in `text` */
    uint64_t at;             /* when the client really did it */
    uint64_t mailbox[];      /* followed by the text */
};

struct shadow {
    bool used, attached, stranger, held, put_off, gone, brought;
    uint32_t retry_ms; /* of a deferred message: how long until its sender retries */
    uint8_t rule;
    uint16_t steps;
    uint32_t next_of_client; /* index + 1 */
    uint32_t heap_at;
    uint64_t owner, client;
    uint64_t end;     /* when the last step's hold ends */
    uint64_t at, due; /* the last judged step's real time; when the next one is judged */
    uint64_t longest; /* of the current message's holds */
    struct queued *first, **last;
};

struct shadows {
    struct tarpit *tarpit;
    uint32_t count, strangers, steps;
    uint32_t free; /* index + 1 of the first free one, linked by next_of_client */
    uint32_t of_client[SHADOW_BUCKETS]; /* index + 1 */
    uint32_t heap[SHADOWS_MOST];        /* indices, the earliest `due` first */
    struct shadow at[SHADOWS_MOST];
};

/* The attached shadow of a connection; NULL: it has none. */
struct shadow *shadow_find(struct shadows *s, uint32_t handle, uint64_t owner);

/* How many shadows a client has; `idle`: how many of these have no connection any more and no
 * message. */
uint32_t shadow_count(struct shadows *s, uint64_t client, uint32_t *idle);

/* Begins a shadow; NULL if there is no room for it. */
struct shadow *shadow_begin(struct shadows *s, uint64_t client, bool stranger);

/* Drops its queued steps and frees it. */
void shadow_end(struct shadows *s, struct shadow *x);

/* Restores the heap's order after a change of `due`, or for a new shadow. */
void shadow_sift(struct shadows *s, uint32_t index);

/* Computes when the next step is judged, or when the shadow ends if there is none. */
void shadow_reckon(struct shadows *s, struct shadow *x);

/* Queues a copy of a step. False if there is no room. */
bool shadow_queue(struct shadows *s, struct shadow *x, const struct shadow_step *step,
                  uint64_t now);

/* Takes the first queued step, which the caller frees. There is one. */
struct queued *shadow_take(struct shadows *s, struct shadow *x);

/* Frees a step that will not be judged. The credit of good mail is booked. */
void shadow_drop(const struct shadows *s, struct queued *q);

#endif
