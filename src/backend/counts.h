/* How many messages each backend has taken: a shared table by name, which outlives reloads and, in
 * memory that an upgrade hands on, the program (`mired_route_messages_total`). */
#ifndef MIRED_BACKEND_COUNTS_H
#define MIRED_BACKEND_COUNTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { COUNTS_PLACES = 1024, COUNTS_NAME = 120 };

/* All zero: empty. */
struct counts {
    struct count {
        char name[COUNTS_NAME]; /* a longer one is cut; empty: a free place */
        _Atomic uint64_t messages;
    } at[COUNTS_PLACES];
};

/* Gives the backend a place if it has none. For the process that fills the table, before it forks
 * the processes that count. */
void counts_name(struct counts *c, const char *backend);

/* The place of a backend; COUNTS_PLACES if it has none. `c` may be NULL. */
uint32_t counts_place(const struct counts *c, const char *backend);

/* One more message for the backend at that place. Any process; does nothing for COUNTS_PLACES. */
void counts_add(struct counts *c, uint32_t place);

#endif
