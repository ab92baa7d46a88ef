/* A worker's side of one backend for unit tests: the test owns the clock and makes the links. */
#ifndef MIRED_TESTS_BACKENDS_H
#define MIRED_TESTS_BACKENDS_H

#include "backend/limit.h"
#include "backend/pool_part.h"
#include "base/sharing.h"

struct backends {
    struct loop loop;
    struct config config;
    struct config_backend one;
    struct pool pool;
    struct backend b;
    struct sharing *sharing;
    struct delivery delivery;
    unsigned changes, broke; /* calls of these callbacks */
    int listener;            /* backends_listen() */
};

/* cmocka's setup and teardown; two workers share the backend, which is up. */
int backends_setup(void **state);
int backends_teardown(void **state);

/* A link that serves: idle, or in the middle of a delivery. */
struct link *backends_link(struct backends *t, bool idle);

/* A link that has not been greeted yet. */
struct link *backends_new_link(struct backends *t);

/* From now on new links are accepted, but nothing is said to them. */
void backends_listen(struct backends *t);

/* A delivery that can wait in the line; the same one each time. */
struct delivery *backends_delivery(struct backends *t);

#endif
