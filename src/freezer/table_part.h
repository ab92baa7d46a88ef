/* The records and the index of the frozen table. Private to table.c, table_index.c and
 * table_records.c.
 *
 * A record is a hold, or the rest of one. A hold's octets are its packed TCP state (an IPv4 address
 * takes four octets), the optional parts (enum record_flag), and its session. */
#ifndef MIRED_FREEZER_TABLE_PART_H
#define MIRED_FREEZER_TABLE_PART_H

#include "base/mapfile.h"
#include "freezer/table.h"

enum { TABLE_RING = 16384, TABLE_TICK_MS = 32 /* together 524 s */ };

/* Optional parts between TCP state and session, in this order. */
enum record_flag {
    RECORD_BEHIND = 1,      /* a struct addr: the client behind a balancer */
    RECORD_OWN_CHANNEL = 2, /* a uint32_t: the only return channel that it goes back on */
};

enum record_state { RECORD_FREE = 0, RECORD_HOLD = 0x48, RECORD_MORE = 0x4d };

struct record {
    uint8_t state; /* enum record_state; the only field that must be right after a crash */
    uint8_t flags; /* enum record_flag */
    uint16_t len;  /* of all octets */
    uint32_t more; /* the record with the next octets */
    uint32_t next_due, previous_due; /* links; meaningless in a file just opened */
    uint64_t due_ms;
    uint32_t asleep_ms; /* from the freeze until it is due */
    uint16_t ring;      /* which due list, or none */
    uint16_t slot;
    uint8_t octets[FROZEN_RECORD - 32];
};

/* A further record has the same first 8 octets; the rest is data. */
enum { INLINE = sizeof((struct record){0}.octets), MORE_ROOM = FROZEN_RECORD - 8 };

/* The offset of addresses and ports in a record's octets. */
enum { KEY_AT = offsetof(struct tcp_frozen, family), ADDRESSES_AT = KEY_AT + 5 };

_Static_assert(sizeof(struct record) == FROZEN_RECORD,
               "a frozen hold must stay within 256 octets, index included");
_Static_assert(offsetof(struct record, next_due) == 8, "further records begin their octets here");
_Static_assert(offsetof(struct tcp_frozen, local) == ADDRESSES_AT, "addresses follow the ports");
enum { PACKED_MAX = sizeof(struct tcp_frozen) + sizeof(struct addr) + sizeof(uint32_t) };

_Static_assert((int)PACKED_MAX <= (int)INLINE, "all but the session is in a hold's first record");
_Static_assert(TABLE_RING - 1 < UINT16_MAX, "a record's field holds it, and one more");

/* The index of holds by addresses and ports. It is separate from the records, because a search,
 * which each new hold needs, must touch no record but the one that it finds: of millions of records
 * none is in a cache. */
struct table_index {
    uint32_t *bucket;        /* the first of each chain */
    struct index_link *link; /* by the record's id */
    uint32_t buckets, level; /* in use; the power of two at or below */
};

struct index_link {
    uint32_t next; /* of the same bucket; 0: none */
    uint32_t hash;
};

struct frozen_table {
    struct mapfile file;
    uint32_t records;
    uint32_t count;          /* holds */
    uint32_t used_below;     /* no record from here on was ever used */
    uint32_t reserved_below; /* the disk has room for those before */
    uint32_t free;           /* list through .more */
    struct table_index index;
    uint32_t ring[TABLE_RING];
    uint32_t cut;     /* file.cut when it was opened */
    bool damaged;     /* a due hold cannot be read: the file was changed from outside */
    uint64_t tick;    /* the next list to check */
    uint64_t nothing; /* all lists before this tick are empty */
};

static inline struct record *record_at(const struct frozen_table *t, uint32_t id)
{
    return (struct record *)((char *)t->file.body + (size_t)id * FROZEN_RECORD);
}

static inline void record_set_state(struct record *r, enum record_state state)
{
    __atomic_store_n(&r->state, (uint8_t)state, __ATOMIC_RELEASE);
}

/* Reserves room for holds in records below `records`, without touching the memory. Returns 0 or
 * -ENOMEM. */
int index_open(struct table_index *x, uint32_t records);
void index_close(struct table_index *x);

/* The hash of the addresses and ports of these packed octets, which the other functions take. */
uint32_t index_hash(const struct frozen_table *t, const uint8_t *packed);
/* The hold with these addresses and ports; 0: none. */
uint32_t index_find(const struct frozen_table *t, const uint8_t *packed, uint32_t hash);
/* Adds a hold, which t->count already counts. */
void index_add(struct frozen_table *t, uint32_t id, uint32_t hash);
void index_remove(struct frozen_table *t, uint32_t id);

/* Prefetches what adding holds with these hashes will touch, and removing these holds. */
void index_expect(const struct frozen_table *t, const uint32_t *hash, size_t n);
void index_expect_removals(const struct table_index *x, const uint32_t *id, size_t n);

/* Packs all but the session; returns the length, and sets *flags to the parts that are there. */
size_t record_pack(const struct frozen_hold *h, uint8_t out[PACKED_MAX], uint8_t *flags);
/* Unpacks a valid record. */
void record_unpack(const struct record *r, struct frozen_hold *h);

/* The part of packed octets that identifies the connection. */
struct span record_key(const uint8_t *packed);

/* Reserves room on the disk for one more record; false if it is full. */
bool records_reserve(struct frozen_table *t);
/* Frees the disk space after the last record in use. */
void records_trim(struct frozen_table *t);

/* Takes records for `len` octets, as a chain, and returns the id of the first; 0 if there is no
 * room. */
uint32_t records_take(struct frozen_table *t, size_t len);
/* Frees a chain from this record on. */
void records_give(struct frozen_table *t, uint32_t id);

/* Writes a hold's octets into a chain that has room for them. */
void records_write(struct frozen_table *t, uint32_t first, struct span packed, struct span session);
/* Reads a hold; false if its chain is not valid (a damaged file). */
bool records_read(const struct frozen_table *t, uint32_t first, struct frozen_hold *h,
                  char room[FROZEN_ROOM]);
/* Marks the further records of a hold as used; false if its chain is broken. */
bool records_claim(const struct frozen_table *t, uint32_t first, uint8_t *wanted);

#endif
