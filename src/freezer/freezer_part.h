/* Private to the freezer's process: its state, and the batches in which connections go in and out
 * (batches.c). freezer.c has the loop, the master's notes, the beginning and the end. */
#ifndef MIRED_FREEZER_FREEZER_PART_H
#define MIRED_FREEZER_FREEZER_PART_H

#include <sys/statvfs.h>

#include "base/loop.h"
#include "freezer/calls.h"
#include "freezer/freezer.h"
#include "freezer/handoff.h"
#include "freezer/released.h"
#include "freezer/releases.h"
#include "freezer/return_channels.h"
#include "freezer/rule.h"
#include "freezer/table.h"
#include "freezer/tcp.h"
#include "query/notes.h"

/* A hold that goes into the table, */
struct coming {
    struct frozen_hold hold;
    const struct handoff_item *item; /* as it came */
    bool noted;                      /* the table has it */
};

/* and out of it. */
struct leaving {
    struct frozen_hold hold;
    struct return_channel *way;
    uint32_t id;
    char room[FROZEN_ROOM];
};

struct freezer {
    struct loop loop;
    const struct freezer_params *params;
    struct frozen_table *table;
    struct calls *calls;
    struct watch control;
    struct alarm due, begin;
    int lock;             /* held by the freezer that has the table */
    int unprepared;       /* why the table's file could not be made; 0: it could */
    struct statvfs room;  /* of the disk then */
    char rule[RULE_NAME]; /* the name of its nftables table */
    uint32_t rule_number; /* of the rules when that was set, and nothing else; 0: not known */
    bool said_full;       /* logged that the disk has no room for it */
    bool done;            /* it only had to thaw what was left, and has */
    struct return_channels ways;
    uint64_t begun_ms;
    int64_t wall_ahead; /* the wall clock's lead over the monotonic clock, ms */
    struct handoff in;
    struct coming coming[TCP_JOBS];
    struct leaving leaving[TCP_JOBS];
    uint64_t frozen, thawed, lost;
    struct releases releases;
    struct released released;    /* the last ones: what arrives now may have been meant */
    struct note asked[RELEASES]; /* releases that wait until this freezer has the table */
    unsigned asked_count;
};

_Static_assert((int)TCP_JOBS >= (int)HANDOFF_BATCH, "what comes together is frozen together");

/* Freezes what f->in has of the worker in this slot; its return channels are added. Connections that
 * cannot be frozen go back. */
void batch_freeze(struct freezer *f, uint16_t slot);

/* Thaws up to TCP_JOBS of those that are due, and gives them to their workers. True: more may be
 * due. */
bool batch_thaw(struct freezer *f);

/* Warns that the disk has no room for the table; once, however long that lasts. */
void freezer_say_full(struct freezer *f);

#endif
