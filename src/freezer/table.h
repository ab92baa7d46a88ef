/* The frozen table: every frozen hold, in a mapped file that outlives all processes
 * (docs/frozen.md).
 *
 * A hold is a record of FROZEN_RECORD octets: the connection's TCP state, the session as the worker
 * packed it, and when its reply is due. Longer data continues in further records. Disk and memory
 * are used when records are first used, from the beginning of the file; if the disk is full, so is
 * the table. The links of the free list and of the due lists are in the records; the index by
 * addresses is separate, in memory (table_part.h). table_open() rebuilds all of them: after a crash
 * only the state of each record counts, which is set last when a hold is put in and first when it
 * is removed.
 *
 * One process (the freezer). Time is an argument: wall ms. */
#ifndef MIRED_FREEZER_TABLE_H
#define MIRED_FREEZER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "freezer/tcp.h"

enum { FROZEN_RECORD = 232, FROZEN_SESSION_MAX = 4096 };
enum {
    FROZEN_ROOM =
        FROZEN_SESSION_MAX + sizeof(struct tcp_frozen) + sizeof(struct addr) + sizeof(uint32_t)
};

struct frozen_table;
struct tally;

/* A hold, for table_put() and from table_due(). */
struct frozen_hold {
    struct tcp_frozen tcp;
    uint64_t due_ms, frozen_ms; /* wall */
    uint16_t slot;              /* of the worker that froze it */
    uint32_t way;               /* the only return channel that it goes back on; 0: any */
    /* the client behind a load balancer; ADDR_NONE: the other end is the client */
    struct addr client;
    struct span session; /* borrowed */
};

/* In two steps, because the freezer may not make, rename or remove files once it is confined.
 * table_prepare() makes an empty file if there is none, and sets aside one that does not fit; nobody
 * may have it open. table_open() opens what is there then, with room for `records`, and drops holds
 * that were due more than `keep_ms` before `now`. A hold that was frozen after `now` (the clock has
 * gone back) waits its whole time again. Both return 0 or -errno; the latter -ESTALE if the file does
 * not fit. */
int table_prepare(const char *path, uint32_t records);
int table_open(struct frozen_table **t, const char *path, uint32_t records, uint64_t now,
               uint64_t keep_ms);
void table_close(struct frozen_table *t);

/* Whether the file was truncated (mapfile.h), or a hold in it is damaged, so that its content is
 * not reliable. No hold is due then; close the table and open it again, which checks all of it. */
bool table_is_cut(const struct frozen_table *t);

/* Puts a hold in; it replaces one with the same addresses and ports. Returns 0, -ENOSPC, or -E2BIG
 * (the session is too long). */
int table_put(struct frozen_table *t, const struct frozen_hold *h);

/* Prefetches what table_put() of these holds, and table_drop() of these records, will touch: of
 * millions nothing is in a cache. For a whole batch, before the first of it is used. */
void table_expect(const struct frozen_table *t, const struct frozen_hold *const *h, size_t n);
void table_expect_drops(const struct frozen_table *t, const uint32_t *id, size_t n);

/* Forgets the hold with these addresses and ports, if there is one. */
void table_forget(struct frozen_table *t, const struct frozen_hold *h);

/* The clock was set by `by` ms: all holds are due so much later. Then close the table and open it
 * again, because the lists of what is due are of the time before. */
void table_clock_was_set(struct frozen_table *t, int64_t by);

/* Finds the next hold that is due at `now`: fills *h (session points into room[]) and *id. False if
 * there is none. Each hold is returned once; it stays in the table until table_drop(), or
 * table_again() makes it due again. */
bool table_due(struct frozen_table *t, uint64_t now, uint32_t *id, struct frozen_hold *h,
               char room[FROZEN_ROOM]);

/* Makes the hold due again at `when`. Its own due time does not change. */
void table_again(struct frozen_table *t, uint32_t id, uint64_t when);
void table_drop(struct frozen_table *t, uint32_t id);

/* When table_due() should next be called; UINT64_MAX when nothing is frozen. */
uint64_t table_next(struct frozen_table *t);

/* Makes the holds of a network's clients (NULL: all) due at `now`, which becomes their hold.due_ms.
 * Returns how many. */
uint32_t table_release(struct frozen_table *t, const struct network *n, uint64_t now);

/* How many holds there are; and how many of a network, which reads all of them. */
uint32_t table_count(const struct frozen_table *t);
uint32_t table_count_of(const struct frozen_table *t, const struct network *n);

/* Counts all holds into the tally. 0; or -E2BIG without looking: there are too many to look at often
 * (a look at each takes about 0.1 us). */
int table_tally(const struct frozen_table *t, struct tally *tally);

#endif
