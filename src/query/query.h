/* Queries from workers to clerks, and the answers. Each worker slot has SOCK_SEQPACKET pairs of its
 * own, which no other worker can reach. All clerks of the generation read queries from them, so an
 * idle clerk takes the next query, and answer on another pair of the slot. The web process is an
 * asker like a worker. A packet is one of the structs below, followed by its texts. If a clerk
 * dies, its queries get no answer; the worker has a timer.
 *
 * Logins from networks that are new to the account have a pair of their own, which the first of
 * several clerks does not read. So password guessing does not delay other queries, however many
 * guesses there are and however slowly a verifier refuses them.
 *
 * A SCRAM login is two queries, and the second must reach the clerk that answered the first: each
 * slot has a pair to each clerk for that, and `login_id` identifies the clerk. */
#ifndef MIRED_QUERY_QUERY_H
#define MIRED_QUERY_QUERY_H

#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum query_queue { QUERY_FIRST, QUERY_STRANGERS, QUERY_QUEUES };

enum query_kind { QUERY_RECIPIENT = 1, QUERY_PASSWORD, QUERY_SCRAM, QUERY_FORGET, QUERY_KINDS };

/* The order in which clerks serve queries: query/fair.h. */
enum query_rank {
    RANK_FIRST, /* logged in, exempt, or our own */
    RANK_USUAL, /* not in debt */
    RANK_SLIP,  /* in debt for a mistake or two: less than twice pace_after (R4) */
    RANK_DEBT,  /* in debt */
    RANKS
};

enum { QUERY_TEXT_MAX = 4096, QUERY_TIMEOUT_MS = 20000 };

struct query_head {
    uint64_t id;       /* chosen by the worker; the answer has the same */
    uint64_t login_id; /* QUERY_SCRAM: 0, or the login_id of the answer to the first message */
    uint16_t slot;     /* which worker slot to answer */
    uint16_t kind;     /* enum query_kind */
    uint16_t first;    /* octets of the first text: folded address | user | message */
    uint16_t second;   /* octets of the second: nothing | password | channel binding data */
    uint32_t rank;     /* QUERY_RECIPIENT: enum query_rank, how it is queued */
    struct addr client;
};

struct query_packet {
    struct query_head head;
    char text[QUERY_TEXT_MAX];
};

/* A login_id has the clerk's index in its upper half, and in its lower half a number that is never
 * 0. */
static inline uint64_t scram_id(uint32_t clerk, uint32_t number)
{
    return (uint64_t)clerk << 32 | number;
}

static inline uint32_t scram_id_clerk(uint64_t login_id)
{
    return (uint32_t)(login_id >> 32);
}

enum answer_result {
    ANSWER_YES = 1,
    ANSWER_NO,
    ANSWER_LATER,
    ANSWER_OTHER,
    ANSWER_MORE, /* QUERY_SCRAM: send `text` to the client, and its answer back with `login_id` */
    ANSWER_TRAP  /* QUERY_RECIPIENT: an address of `traps` */
};

struct answer {
    uint64_t id;
    uint64_t login_id; /* ANSWER_MORE */
    /* ANSWER_MORE: for strangers: delay the reply until this long after the query */
    uint16_t wait_ms;
    uint16_t result; /* enum answer_result */
    uint16_t code;   /* ANSWER_OTHER: the source's own reply, e.g. a backend's 552 */
    uint8_t enhanced[3];
    uint16_t source; /* index of the `recipients` section that answered */
    uint16_t len, name_len;
    char text[512];
    char name[256]; /* the verifier's name for the account; empty: unknown */
};

static inline struct span answer_name(const struct answer *a)
{
    return (struct span){a->name, a->name_len};
}

/* A name that does not fit is left out. */
void answer_set_name(struct answer *a, struct span name);

/* Sends a query; the lengths are those of the spans. Returns 0, -EAGAIN when the queue is full (try
 * again when `fd` is writable), or -errno. */
int query_send(int fd, const struct query_head *head, struct span first, struct span second);

/* Reads and checks one query; blocks if `fd` does. Returns 1, 0 at the end, or -errno (-EBADMSG:
 * malformed, skip it). */
int query_read(int fd, struct query_packet *a);

int answer_send(int fd, const struct answer *a);
int answer_read(int fd, struct answer *a);

#endif
