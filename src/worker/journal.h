/* What a session leaves in the log: a line when it ends, one for each message, one for each refused
 * recipient; holds at debug level. Sessions and refused recipients are rationed (ration.h). Values
 * are escaped by the log. */
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
/* Writes the sums of what was not written. */
void journal_close(struct worker *w);

/* The session ends; `detail` (or NULL) goes behind the reason's name. */
void journal_session(struct worker *w, struct conn *c, enum close_reason reason,
                     const char *detail);

/* A decision of the connection's life, a line at debug level: `what` is a word or two, the format
 * tells why or about what ("" for nothing). Never a password, nor a message's content. */
void journal_step(const struct conn *c, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A reply is held for `ms`. */
void journal_hold(struct worker *w, const struct conn *c, const struct reply *reply, uint64_t ms);

/* A recipient that is not taken: `code` is what the client hears, `why` one word. */
struct refusal {
    struct span address;
    int code;
    const char *why;
    struct span text; /* the backend's words, or empty */
    struct tarpit_hold hold;
};
void journal_refused(struct worker *w, const struct conn *c, const struct refusal *r);

/* A message's hand-over ended after `us` microseconds; `would` is what judge_delivered() says. */
void journal_message(struct worker *w, const struct conn *c, const struct relay_result *result,
                     uint64_t us, const struct tarpit_hold *would);

#endif
