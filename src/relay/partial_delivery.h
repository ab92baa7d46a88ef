/* The memory of mixed answers (docs/mixed-answers.md): which recipients have a message already, and
 * which recipients get a transaction of their own when the sender tries again. A mapped,
 * set-associative table that all workers share.
 *
 * Senders retry from other hosts and networks, so the keys of groups do not contain the client; who
 * is believed about a delivery, outcome.c decides. The table does not
 * store replies of backends: only the client that sends a message learns them, from the backend
 * itself. */
#ifndef MIRED_RELAY_PARTIAL_DELIVERY_H
#define MIRED_RELAY_PARTIAL_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/siphash.h"

struct partial_delivery;

/* Opens or creates the table (path NULL: memory only). Entries are valid for `keep_ms`. Call it
 * before the workers start. Returns 0 or -errno. */
int partial_open(struct partial_delivery **out, const char *path, uint64_t keep_ms);
void partial_close(struct partial_delivery *s);

/* False if nothing is recorded of any message of this sender to this recipient (empty: whether a
 * message was mixed), so that there is no need to know the message's hash, for which all of its
 * octets are read. */
bool partial_is_marked(const struct partial_delivery *s, struct span sender, struct span recipient,
                       uint64_t now);

/* Maps the table again, so that this process can only read it. Called before the process becomes a
 * user that cannot open the file. Returns 0 or -errno. */
int partial_read_only(struct partial_delivery *s);

/* From now on this process can only read the table, and proposes its changes to the keeper: `change`
 * is called with each one, and `settle` when the process needs the keeper to have made them. Returns
 * 0 or -errno. */
struct partial_change {
    uint64_t key, value, until; /* until 0: the entry goes */
    uint32_t flags;             /* private to the table */
    bool of_backend;
};
int partial_propose_to(struct partial_delivery *s,
                       void (*change)(void *arg, const struct partial_change *what),
                       void (*settle)(void *arg), void *arg);

/* `may` is called, with the same `arg`, before a record that a recipient has a message is read: false
 * if a withdrawal of it may not have been made yet. Then the record does not count. */
void partial_believe_if(struct partial_delivery *s, bool (*may)(void *arg, uint64_t key));

/* Waits until other processes can see the changes of this one. */
void partial_settle(struct partial_delivery *s);

/* The keeper makes a change that may say anything: it concerns entries of messages and backends
 * only, and no entry lasts longer than its kind does.
 *
 * `late`, called with `ring`, says whether the process that proposes it may have gone on without it:
 * the client may have heard 451 already, and its retry may have found nothing and have been taken. A
 * record of a message without a Message-ID would then say of the next message with the same octets
 * that it was delivered, and that message would be lost. So it is withdrawn instead. NULL: never. */
void partial_carry_out(struct partial_delivery *s, const struct partial_change *what,
                       bool (*late)(const void *ring), const void *ring, uint64_t now);

/* The wall clock was set by `by_ms` and is `now` (ms): entries last as long as they would have. 0: it
 * is not known by how much, and no entry lasts longer than a new one. For the keeper. */
void partial_clock_was_set(struct partial_delivery *s, int64_t by_ms, uint64_t now);

/* A message, as a record knows it. */
struct partial_message {
    uint64_t name;   /* by the hash of its octets; outcome.c has more of them for a message with a
                        Message-ID, one for each kind of believer */
    uint64_t source; /* who sends it, where it has no Message-ID: the record counts for no other; 0:
                        for everybody */
    bool named;      /* it has a Message-ID (spool_identify()) */
};

static inline struct partial_message partial_named(uint64_t name)
{
    return (struct partial_message){.name = name, .named = true};
}

static inline struct partial_message partial_nameless(uint64_t name, uint64_t source)
{
    return (struct partial_message){.name = name, .source = source};
}

/* Records that a recipient has the message: a retry skips it. */
void partial_delivered(struct partial_delivery *s, struct span sender, struct span recipient,
                       struct partial_message message, uint64_t now);
/* The recipient's copy does not count any more. */
void partial_forget(struct partial_delivery *s, struct span sender, struct span recipient,
                    uint64_t message);
bool partial_was_delivered(const struct partial_delivery *s, struct span sender,
                           struct span recipient, struct partial_message message, uint64_t now);

/* Whether this message has had a mixed answer before; records that it has one now. */
bool partial_was_mixed(struct partial_delivery *s, struct span sender, uint64_t message,
                       uint64_t now);

/* Whether it has had one. */
bool partial_is_mixed(const struct partial_delivery *s, struct span sender, uint64_t message,
                      uint64_t now);

/* Groups of recipients with the same kind of answer, which may share a transaction. */
enum partial_group { PARTIAL_TAKEN, PARTIAL_LATER, PARTIAL_REFUSED };
enum { PARTIAL_RESTS = PARTIAL_REFUSED + 1 }; /* private: PARTIAL_LATER, after partial_rest() */

/* At RCPT, before its octets, a message is recognised by the SIZE that MAIL declared (0: none). So
 * other messages of the sender to the same people are not split because of this one. */
enum { PARTIAL_ANY_SIZE = -1 }; /* for a sender that declares another SIZE each time */

void partial_put_in_group(struct partial_delivery *s, struct span sender, struct span recipient,
                          int64_t size, enum partial_group group, uint64_t now);
/* PARTIAL_TAKEN for recipients that are not in the table. */
enum partial_group partial_group_of(const struct partial_delivery *s, struct span sender,
                                    struct span recipient, int64_t size, uint64_t now);

/* A recipient of PARTIAL_LATER has begun a transaction and kept those of other groups out of it. It
 * lets them go first once: the next partial_has_rested() is true, and those after it are false. */
void partial_rest(struct partial_delivery *s, struct span sender, struct span recipient,
                  int64_t size, uint64_t now);
bool partial_rests(const struct partial_delivery *s, struct span sender, struct span recipient,
                   int64_t size, uint64_t now);
bool partial_has_rested(struct partial_delivery *s, struct span sender, struct span recipient,
                        int64_t size, uint64_t now);

/* Stores a word about a backend for 30 days, over restarts; the caller decides what it means. */
void partial_note_backend(struct partial_delivery *s, struct span name, uint64_t word,
                          uint64_t now);
bool partial_backend(const struct partial_delivery *s, struct span name, uint64_t now,
                     uint64_t *word);

/* The key of spool hashes: the same for all workers, over restarts and in a fleet (R25). Valid until
 * the next call. */
const struct sipkey *partial_key(struct partial_delivery *s);

#endif
