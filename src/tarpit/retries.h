/* R26: which messages were deferred a while ago. Mail servers retry, harvesters ask for new names.
 * A *message* here is a client's network, the domain of MAIL FROM and a recipient, as one hash.
 *
 * A mapped file of fixed size (`state`/retries) with one word of 32 bits for each message: 19 bits
 * of its hash, when it was deferred, and whether it has come again since. Words are in sets of 16,
 * one cache line each; in a full set the oldest makes room, and a message that has come again counts
 * as a sixteenth of its age. While a flood would replace messages that are younger than half an
 * hour, only some of the new messages are recorded. So what is recorded stays long enough for a
 * retry, whatever the flood.
 *
 * Two messages with the same 19 bits in one set are taken for one: a new name is taken for a retry
 * with a probability of 1 in 32,768 at most. R26 gives a retry an earlier place in a queue and
 * nothing else, so that does no harm.
 *
 * `now` is wall ms. All functions are safe from any process that mapped the file; none blocks or
 * fails; processes that meet in one word may lose one message. */
#ifndef MIRED_TARPIT_RETRIES_H
#define MIRED_TARPIT_RETRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retries; /* opaque */

enum {
    RETRIES_SIZE = 8 << 20, /* octets of the file's body: 2,097,152 messages */
    RETRIES_STEP_MS = 64 * 1000,
    RETRIES_KEPT_MS = 36 * 3600 * 1000, /* a message that does not come again is forgotten */
};

/* Opens or creates the file (path NULL: memory only) with room for size/4 messages. Call it before
 * the processes that share it start. Returns 0 or -errno. */
int retries_open(struct retries **out, const char *path, size_t size);
void retries_close(struct retries *r);

/* The hash of a message. `network` is a network's or correspondent's ledger key, `recipient` the
 * hash of a mailbox. */
uint64_t retries_message(const struct retries *r, uint64_t network, uint64_t recipient);

/* Whether the message was deferred at least `after` ms ago (to within a step), and not again since
 * then. */
bool retries_is_due(const struct retries *r, uint64_t message, uint64_t after, uint64_t now);

/* The message is deferred. */
void retries_deferred(struct retries *r, uint64_t message, uint64_t after, uint64_t now);

/* For the simulator, which plays the same game each time: forgets all messages, and makes the key
 * of this number. */
void retries_restart(struct retries *r, uint64_t number);

#endif
