/* Writes the log lines of a session: one when it ends, one for each message, one for each refused
 * recipient; holds at debug level. Lines of sessions and refused recipients are rationed
 * (ration.h). The log escapes all values. */
#ifndef MIRED_WORKER_JOURNAL_H
#define MIRED_WORKER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/close_reason.h"
#include "tarpit/tarpit.h"

struct conn;
struct relay_result;
struct reply;
struct worker;

/* False without memory. */
bool journal_open(struct worker *w);
/* Writes the sums of the lines that were not written. */
void journal_close(struct worker *w);

/* The session ends; `detail` (or NULL) follows the reason's name. */
void journal_session(struct worker *w, struct conn *c, enum close_reason reason,
                     const char *detail);

/* Writes a decision of the connection's life at debug level: `what` is a word or two, and the
 * format says why or about what ("" for nothing). Never pass a password or a message's content. */
void journal_step(const struct conn *c, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A reply is held for `ms`. */
void journal_hold(struct worker *w, const struct conn *c, const struct reply *reply, uint64_t ms);

/* A refused recipient: `code` is the code of the reply, `why` one word. */
struct refusal {
    struct span address;
    int code;
    const char *why;
    struct span text; /* the backend's words, or empty */
    struct tarpit_hold hold;
};
void journal_refused(struct worker *w, const struct conn *c, const struct refusal *r);

/* A message's hand-over ended after `us` microseconds; `would` is what judge_delivered() says,
 * `correspondent` what judge_by_correspondent() said before. */
void journal_message(struct worker *w, const struct conn *c, const struct relay_result *result,
                     uint64_t us, const struct tarpit_hold *would, bool correspondent);

#endif
