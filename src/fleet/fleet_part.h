/* Private to the fleet process: its state, shared by
 *
 *   fleet.c    the process: joins, leaves, notes
 *   send.c     from the ring and from sweeps of the ledger to Redis
 *   receive.c  the stream, and answers about single keys
 *   settled.c  mixed answers, for retries that come to another member
 *   accounts.c what accounts have sent
 *   orders.c   what the web process asks, and orders to other members
 *   status.c   how the fleet is: each member's figures */
#ifndef MIRED_FLEET_FLEET_PART_H
#define MIRED_FLEET_FLEET_PART_H

#include "fleet/fleet.h"
#include "fleet/members.h"
#include "fleet/mirror.h"
#include "fleet/orderbook.h"
#include "fleet/outbox.h"
#include "fleet/pace.h"
#include "fleet/servers.h"
#include "fleet/usage.h"
#include "query/notes.h"

enum {
    KEY_TEXT_MOST = 160,
    ASKED_PLACES = 1 << 18,
    USAGE_PLACES = 1 << 16,
    SENT_PLACES = 1 << 16,
    EXPIRY_PLACES = 1 << 19,
    BATCH_OCTETS = 16 * 1024,
    WAITING_MOST = 1 << 15, /* commands without reply; fewer than SENT_PLACES */
    KEYS_WAITING = 1 << 13, /* of those, for keys: Redis executes so many in about 10 ms */
    UNSENT_MOST = 1 << 20,  /* octets */
    STREAM_ENTRIES = 2000,  /* of BATCH_OCTETS at most: 32 MB; and for each member: */
    STREAM_ENTRIES_EACH = 20,
};

/* The value of "NAME:{NAME}:key". All members propose the same key (key.h), but `made` is different each
 * time the value is made. So each member notices that Redis was emptied. */
struct fleet_key {
    struct sipkey key;
    uint64_t made;
};

enum fleet_state {
    FLEET_AWAY,
    FLEET_JOINING, /* connected; the key and the stream's ends are being asked for */
    FLEET_MET,     /* these are known; another fleet process of this mired still serves */
    FLEET_UP,
};

enum { FLEET_ORDERS = 8, FLEET_ORDERS_SEEN = 64, FLEET_ORDER_MEMBERS = MEMBERS_MOST };

/* An order that other members are carrying out. */
struct fleet_order {
    uint64_t id;  /* 0: this place is free */
    uint64_t tag; /* of the asker's note */
    struct alarm alarm;
    uint8_t did[FLEET_ORDER_MEMBERS / 8];
};

struct fleet_sent {
    struct ledger_name name;
    uint64_t hash;
    uint64_t lasts_ms; /* that the key was given */
    bool ask;          /* with ASKING, of a node that a cluster is moving the key to */
};

/* When records of one kind are told: new ones regularly, and all of them again if some may have been
 * lost. */
struct telling {
    bool again;                 /* all of them are to be told again */
    uint64_t due_ms, again_due; /* monotonic: not earlier */
};

enum { STATUS_MARKS = 10 };
struct status_mark {
    uint64_t at_ms, passed; /* monotonic; good mail by then */
};

struct fleet {
    struct loop loop; /* first */
    const struct fleet_params *params;
    struct watch control;
    struct servers servers;
    struct link_redis tail; /* waits for the stream */
    struct alarm read_again;
    struct mirror mirror;
    struct outbox outbox; /* for the stream */
    struct outbox keys;   /* in the stream, and to be written to their keys */
    struct members members;
    struct fleet_key key;      /* both parts of the key 0: not known yet */
    struct fleet_key proposed; /* while joining */
    char stream[KEY_TEXT_MOST], key_name[KEY_TEXT_MOST];
    enum fleet_state state;
    bool refused; /* Redis takes no writes */
    bool serves;  /* its generation does (NOTE_SERVE) */
    bool said_away, may_say_ready, said_ready, joined, emptied, others_from_before, twin_said;
    char why[256]; /* it is away */
    uint64_t owner, instance;
    struct sipkey places; /* of `expiry` and `asked` */
    uint64_t asked_time_us;
    int64_t wall_ahead;              /* the wall clock of the clock since the machine's start, ms */
    uint64_t moves;                  /* of the ledger's times, that this process has followed */
    uint64_t ready_ms;               /* monotonic: it says by then that it is ready */
    uint64_t joined_ms;              /* wall */
    struct stream_id last;           /* read of the stream */
    struct stream_id newest, oldest; /* while joining */

    /* send.c */
    uint64_t ring_at, stuck_since_ms;
    bool sweeping, sweep_noted;
    uint64_t sweep_at, sweep_since_ms; /* entries that were changed since then; 0: all */
    uint32_t noted_at;
    uint64_t synced_ms; /* all that had changed by then is in Redis */
    uint64_t shared_ms; /* all that had changed by then is in the stream */
    uint64_t resync_ms; /* a sweep from then on is wanted; UINT64_MAX: none */
    struct fleet_sent *sent;
    uint64_t sent_count;
    uint64_t *expiry; /* by key: until when it lasts in Redis, at least; wall s 32 | tag 32 */
    uint64_t bookings, batches;
    uint64_t wrong_types;          /* keys that other programs have */
    uint64_t entries_ms, hello_ms; /* monotonic: the next ones are sent then */

    /* receive.c */
    uint64_t *asked; /* by key: asked for in this epoch */
    uint32_t epoch;
    uint64_t bad_shares;

    /* orders.c */
    struct fleet_order order[FLEET_ORDERS];
    uint64_t live_order[FLEET_ORDERS_SEEN]; /* ids of others' orders that want to hear "done" */
    uint32_t live_orders;
    uint64_t doing, doing_since_ms; /* the order that the web process has now; 0: none */
    struct order_account account;   /* likewise, an account's release; its id 0: none */
    uint64_t account_since_ms;
    uint64_t tell_ms; /* standing orders are told then; UINT64_MAX: never */
    uint64_t tell_again_ms;
    uint64_t orders_refused;
    bool adopted;

    /* settled.c */
    struct telling settled;

    /* accounts.c */
    struct usage *usage;
    struct telling accounts;

    struct status_mark mark[STATUS_MARKS]; /* of the last seconds */
    uint32_t marks;
    uint64_t memory; /* that Redis uses; 0: not known */

    struct alarm tick, second;
};

static inline struct fleet *fleet_of(struct loop *loop)
{
    return (struct fleet *)loop;
}

static inline struct fleet *fleet_of_link(struct link_redis *l)
{
    return (struct fleet *)l->params.loop;
}

/* The key in Redis for a name, such as "NAME:c192.0.2.7". Returns a span of `text`. */
struct span fleet_key(const struct fleet *f, const struct ledger_name *n, char text[KEY_TEXT_MOST]);

/* How many entries the stream keeps, as text: several seconds of all members' entries. */
struct span fleet_stream_entries(const struct fleet *f, char text[24]);

/* Redis refused a command: its changes are sent again later. Unless Redis is only busy, it counts as
 * taking no writes. */
void fleet_refused(struct fleet *f, struct link_redis *l, const redisReply *r);

/* Before the wall time is used: whether somebody has set this machine's clock (clock.c), or the keeper
 * has moved the ledger's times. */
void fleet_clock_begin(struct fleet *f);
void fleet_follow_clock(struct fleet *f);

/* ---- send.c ---- */

/* How long keys last in Redis is not known any more; each gets a time to live again. */
void send_expiry_unknown(struct fleet *f);

int send_open(struct fleet *f);
void send_close(struct fleet *f);

/* Takes events from the ring and keys from the outbox, and sends as much as may be sent now. True
 * if more is left to be sent than Redis takes at once. */
bool send_turn(struct fleet *f, bool at_once);

/* Writes the keys that wait for that, before the process ends. */
void send_keys_now(struct fleet *f);

/* Sends (again) every entry that has changed since then; 0: all entries. */
void send_sweep(struct fleet *f, uint64_t since_ms);

void send_hello(struct fleet *f);

void send_order(struct fleet *f, const char *text);

/* Sends lines of standing orders. */
void send_standing(struct fleet *f, struct span lines);

/* Whether records may be told now, which is so once in `each_ms`. *all: all of them, which is so at
 * most once in 10 s. */
bool send_is_due(struct fleet *f, struct telling *t, uint64_t each_ms, bool *all);

/* Sends records of so many octets as entries with that part. `next` writes one, and returns false if
 * there is no more; `state` is for it. */
typedef bool send_next(struct fleet *f, void *state, uint8_t *out);
void send_records(struct fleet *f, char part, size_t octets, send_next *next, void *state);

/* ---- orders.c ---- */

/* A query of the web process, or its report that an order has been carried out. */
void orders_note(struct fleet *f, const struct note *n);

/* An entry of the stream that `m` has written: one order, or lines of standing orders. */
void orders_take(struct fleet *f, struct member *m, struct span order);
void orders_take_standing(struct fleet *f, struct member *m, struct span lines);

/* This member has joined; another one has started. Both make it tell its standing orders. */
void orders_joined(struct fleet *f);
void orders_met(struct fleet *f);

/* Whether this member answers those that start: the first few by name do. */
bool orders_is_teller(const struct fleet *f);

/* Hears of orders that other fleet processes of this mired have taken. Call it before shares are
 * read. */
void orders_hear(struct fleet *f);

/* Does that too, has the web process carry out the next order, and sends standing orders when they
 * are due. */
void orders_turn(struct fleet *f);

/* ---- status.c ---- */

/* Answers a query of the web process, in one or several notes. */
void status_answer(struct fleet *f, uint64_t tag, const char *text);

/* How the fleet is, as JSON, to the web process. */
void status_tell(struct fleet *f, uint64_t tag);

/* What this member says of itself. Call it once a second. */
void status_own(struct fleet *f, struct hello *h);

/* ---- settled.c ---- */

/* From now on records are named with the fleet's key. */
void settled_use_key(struct fleet *f);

/* This member has joined; another one has started. */
void settled_joined(struct fleet *f);
void settled_met(struct fleet *f);

/* Sends what is new, once a second. */
void settled_turn(struct fleet *f);
void settled_take(struct fleet *f, struct member *m, struct span batch);

/* ---- accounts.c ---- */

/* This member has joined, or another one has started. */
void accounts_joined(struct fleet *f);

/* Sends what is new. */
void accounts_turn(struct fleet *f);
void accounts_take(struct fleet *f, struct member *m, struct span batch);

/* ---- receive.c ---- */

int receive_open(struct fleet *f);
void receive_close(struct fleet *f);

/* Asks Redis for the key, unless it has been asked for in this epoch. `again`: in any case. */
void receive_ask(struct fleet *f, const struct ledger_name *n, uint64_t hash, bool again);

/* A decision about a client comes: asks for its key and for those of its networks. */
void receive_sight(struct fleet *f, const struct ledger_name *n, uint64_t hash);

/* Waits for the stream, from f->last on. */
void receive_follow(struct fleet *f);
void receive_stop(struct fleet *f);

/* Some of the stream was missed, so each key is asked for again when it is next needed. */
void receive_missed(struct fleet *f);

#endif
