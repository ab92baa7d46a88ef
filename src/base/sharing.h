/* How processes share the connections that a server accepts: the clerks those of a directory (a
 * source), the workers those of a backend. Each kind of process has a table of its own.
 *
 * A server may accept fewer connections than the processes would open together, and refuse all
 * others. Then a process that has none must not take the server for down while it answers another
 * one, and a process that has some must give one up. So each process records here when a server has
 * answered, and asks here for a connection.
 *
 * The table is lost at a restart or upgrade. If more servers are in use than it has places, the one
 * that answered the longest time ago loses its place; then a process at worst takes a crowded server
 * for down, until its next try. A process that was taken over can write anything, so its word needs
 * a bound where that matters.
 *
 * Times are monotonic us, given by the caller. All functions may be called by several processes at
 * once, never block, and leave no lock behind when a process dies in the middle. */
#ifndef MIRED_BASE_SHARING_H
#define MIRED_BASE_SHARING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct sharing;

enum {
    SHARING_PLACES = 4096, /* 96 KiB when all are in use */
    SHARING_WANT_MS = 1000 /* so long a process' request stands */
};

/* Call it before the processes that share it start. Returns 0 or -errno. */
int sharing_open(struct sharing **out);
void sharing_close(struct sharing *s);

/* An id for the server of this name, never 0; the same for all processes of a table. */
uint64_t sharing_id(const struct sharing *s, struct span name);

/* The server has answered at `now_us`. */
void sharing_answered(struct sharing *s, uint64_t source, uint64_t now_us);

/* When the server last answered any process; 0: not known. */
uint64_t sharing_last_answer(const struct sharing *s, uint64_t source);

/* The process `pid`, which has `lines` connections to the server, wants another one. */
void sharing_want(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines,
                  uint64_t now_us);

/* Changes whenever any process wants a connection. */
uint32_t sharing_wants(const struct sharing *s);

/* True: the process `pid`, which has `lines` connections to the server, must give one up for another
 * process that has fewer. Each request is met by one process. */
bool sharing_must_give(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines,
                       uint64_t now_us);

#endif
