/* Replays a recorded attack against the policy: the actions of clients from a log, one event a
 * line.
 *
 *     SECONDS ADDRESS known|unknown|relay|password|message [COUNT]
 *
 * in order of time, from any beginning; `#` begins a comment. The recorded clients do not react to
 * the replies that they would have got: it is a replay, not a game. */
#ifndef MIRED_SIM_RECORDED_H
#define MIRED_SIM_RECORDED_H

#include <stdio.h>

#include "base/addr.h"
#include "tarpit/rules.h"

enum recorded_kind {
    RECORDED_KNOWN,
    RECORDED_UNKNOWN,
    RECORDED_RELAY,
    RECORDED_PASSWORD,
    RECORDED_MESSAGE
};

struct recorded_event {
    uint64_t ms; /* since the first */
    struct addr from;
    enum recorded_kind kind;
    uint32_t count; /* recipients of a message, or how often in a row */
};

struct recorded {
    struct recorded_event *event;
    size_t count;
};

struct recorded_result {
    uint64_t verdicts, told, masked; /* asked for; told within the hold; put off by a 450 */
    uint64_t messages;
    double held_s, longest_s; /* of all replies together, and of one */
};

/* Reads it all. 0; -ENOMEM; or the number of the first line that is wrong. The caller frees it with
 * recorded_free(). */
int recorded_read(FILE *in, struct recorded *out);
void recorded_free(struct recorded *r);

/* False without memory. */
bool recorded_run(const struct recorded *r, const struct tarpit_rules *rules,
                  struct recorded_result *out);

#endif
