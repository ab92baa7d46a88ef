/* How the clerks share the connections that a source accepts.
 *
 * A source may accept fewer connections than the clerks would open together, and refuse all others.
 * Then a clerk that has none must not take the source for down while it answers another clerk, and
 * a clerk that has some must give one up. So each clerk records here when a source has answered, and
 * asks here for a connection.
 *
 * The table is lost at a restart or upgrade. If more sources are in use than it has places, the one
 * that answered the longest time ago loses its place; then a clerk at worst takes a crowded source
 * for down, until its next try.
 *
 * Times are monotonic us, given by the caller. All functions may be called by several processes at
 * once, never block, and leave no lock behind when a process dies in the middle. */
#ifndef MIRED_DIRECTORY_SHARING_H
#define MIRED_DIRECTORY_SHARING_H

#include <stdbool.h>
#include <stdint.h>

struct sharing;

enum {
    SHARING_PLACES = 4096, /* 96 KiB when all are in use */
    SHARING_WANT_MS = 1000 /* so long a clerk's request stands */
};

/* Call it before the processes that share it start. Returns 0 or -errno. */
int sharing_open(struct sharing **out);
void sharing_close(struct sharing *s);

/* The source has answered at `now_us`. */
void sharing_answered(struct sharing *s, uint64_t source, uint64_t now_us);

/* When the source last answered any clerk; 0: not known. */
uint64_t sharing_last_answer(const struct sharing *s, uint64_t source);

/* The clerk `pid`, which has `lines` connections to the source, wants another one. */
void sharing_want(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines,
                  uint64_t now_us);

/* Changes whenever any clerk wants a connection. */
uint32_t sharing_wants(const struct sharing *s);

/* True: the clerk `pid`, which has `lines` connections to the source, must give one up for another
 * clerk that has fewer. Each request is met by one clerk. */
bool sharing_must_give(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines,
                       uint64_t now_us);

#endif
