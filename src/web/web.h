/* The web process: control socket, /metrics, the page. Never in the path of mail. */
#ifndef MIRED_WEB_WEB_H
#define MIRED_WEB_WEB_H

#include <stdint.h>

struct config;
struct metrics;
struct ledger;
struct observed;
struct log_ring;

struct web_params {
    const struct config *config;
    int control;        /* channel to the master */
    int control_listen; /* the control socket, listening; the master's */
    int ask, answer;    /* to the clerks, as workers have it */
    uint16_t answer_slot;
    uint32_t generation; /* of the configuration */
    const struct metrics *metrics;
    struct ledger *ledger;
    struct observed *observed;
    const struct log_ring *log; /* NULL: there is none */
    uint64_t started_ms;        /* wall time of the master's start */
};

/* The body of the process; ends when the master says so or is gone, once the answers that are owed
 * have been given. */
int web_run(const struct web_params *params);

#endif
