/* Settling mixed answers (DESIGN: "Handing mail on"): what a backend said of each recipient of a
 * message that got one 451 for all, remembered for the retry. A mapped, set-associative table that
 * all workers share. */
#ifndef MIRED_RELAY_SETTLE_H
#define MIRED_RELAY_SETTLE_H

#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "smtp/reply.h"

struct settle;

/* path NULL: memory only. 0 or -errno. Before the workers are started. */
int settle_open(struct settle **out, const char *path, uint64_t keep_ms);
void settle_close(struct settle *s);

/* A recipient was refused: the retry is told so at RCPT. The text is cut to fit. */
void settle_refused(struct settle *s, const struct addr *client, struct span sender,
                    struct span recipient, const struct reply *reply, uint64_t now);
/* 1 and *reply (arg in room[]) when it was. */
int settle_was_refused(struct settle *s, const struct addr *client, struct span sender,
                       struct span recipient, uint64_t now, struct reply *reply, char room[64]);

/* A recipient has the message already: the retry skips it. */
void settle_delivered(struct settle *s, const struct addr *client, struct span sender,
                      struct span recipient, uint64_t message_hash, uint64_t now);
int settle_was_delivered(struct settle *s, const struct addr *client, struct span sender,
                         struct span recipient, uint64_t message_hash, uint64_t now);

/* The key of spool hashes: the same for all workers and over restarts. */
const struct sipkey *settle_key(const struct settle *s);

#endif
