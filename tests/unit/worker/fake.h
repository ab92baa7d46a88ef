/* A worker without its process, for unit tests of its files: the worker's own code, with small
 * fakes where it ends.
 *
 *   clock    stands still; fake_pass() moves it and lets what is due happen. fake.c takes the
 *            place of base/clock.c when the test is linked
 *   client   the other end of a socket pair
 *   clerk    the other ends of the worker's pairs: the test reads queries and sends answers
 *   freezer  the other end of the hand-off pair; none until fake_freezer()
 *   ledger   in memory only
 *
 * The tarpit is the real one, with the rules that the test sets. There is no relay: tests end
 * before DATA. */
#ifndef MIRED_TEST_WORKER_FAKE_H
#define MIRED_TEST_WORKER_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "freezer/handoff.h"
#include "query/query.h"
#include "worker/worker_part.h"

struct fake {
    struct worker *w;
    struct config config;
    struct config_listen listen;
    struct worker_params params;
    struct freezer_shared shared;
    _Atomic uint32_t auth;
    int clerk[QUERY_QUEUES], own, answers, freezer; /* the test's ends */
    int own_pair[1];
};

struct fake_client {
    int fd; /* the client's end */
    struct addr peer;
    struct conn *c; /* may be gone: see fake_is_open() */
    int worker_fd;
};

/* Opens a worker whose clock stands, and closes it. Rules are the defaults without drip and freeze;
 * example.org is local; AUTH PLAIN, LOGIN and SCRAM are offered to everybody. Between the two calls
 * a test may change f->w->tarpit.rules and f->config. */
void fake_open(struct fake *f);
void fake_close(struct fake *f);

/* Moves the clock; each alarm on the way is called at its own time. */
void fake_pass(struct fake *f, uint64_t ms);

/* Turns the loop until nothing more happens now. */
void fake_turn(struct fake *f);

/* Connects from that address. */
struct fake_client fake_connect(struct fake *f, const char *address);

/* The client sends this, and the worker gets it. */
void fake_say(struct fake *f, const struct fake_client *client, const char *text);

/* What the client has heard since the last call. Good until the next one. */
const char *fake_heard(const struct fake_client *client);

/* Hangs up, and the worker gets to know it. */
void fake_hang_up(struct fake *f, struct fake_client *client);

/* Whether the worker still has the connection. */
bool fake_is_open(const struct fake *f, const struct fake_client *client);

/* Greeting, EHLO and MAIL, heard by the client. */
struct fake_client fake_in_mail(struct fake *f, const char *address);

/* The clerk's next query from that socket; false: there is none. */
bool fake_asked(int clerk, struct query_packet *q);
void fake_answer(struct fake *f, uint64_t id, enum answer_result result);

/* Live offences of that address in the ledger, and more of them. */
double fake_offences(const struct fake *f, const char *address);
void fake_owe(struct fake *f, const char *address, double offences);

/* There is a freezer from now on. */
void fake_freezer(struct fake *f);

#endif
