/* What Redis' replies say, for the fleet process. hiredis parses the protocol; these functions read
 * the parts of a reply. All of it is hostile input: a wrong type, length or count is an error or is
 * skipped. Pure; fuzzed. */
#ifndef MIRED_FLEET_REPLIES_H
#define MIRED_FLEET_REPLIES_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    REPLIES_ELEMENTS = 1 << 20, /* an array with more is an error of the connection */
    REPLIES_OCTETS = 64 << 20,  /* likewise, a reply that is longer */
    REPLIES_NAME = 64,          /* the longest name of a member */
};

/* A reader that refuses larger replies; NULL without memory. */
redisReader *replies_reader(void);

/* The octets of a string or status; empty for anything else. */
struct span reply_text(const redisReply *r);

/* What an error means for the connection that it came on. */
enum reply_error {
    REPLY_FINE,      /* it is none */
    REPLY_MOVED,     /* MOVED, ASK: the slot is elsewhere */
    REPLY_READ_ONLY, /* a replica, or a master that is cut off */
    REPLY_FULL,      /* OOM, MISCONF: no writes now */
    REPLY_BUSY,      /* LOADING, BUSY, TRYAGAIN, CLUSTERDOWN, MASTERDOWN: later */
    REPLY_FORBIDDEN, /* NOAUTH, WRONGPASS, NOPERM */
    REPLY_TYPE,      /* WRONGTYPE: the key has another kind of value */
    REPLY_OTHER,
};
enum reply_error reply_error(const redisReply *r);

/* From "MOVED 3999 127.0.0.1:6381" or "ASK ..."; false for any other text. An empty host is the
 * host that sent the reply. */
struct reply_place {
    uint32_t slot;
    char host[256];
    uint16_t port;
    bool ask;
};
bool reply_moved(const redisReply *r, struct reply_place *to);

/* ROLE: whether it is a master. */
bool reply_is_master(const redisReply *r);

/* TIME, in ms; 0 if the reply is not a time. */
uint64_t reply_time_ms(const redisReply *r);

/* INFO: the number in its line "NAME:number"; 0 if there is none. */
uint64_t reply_info(const redisReply *r, const char *name);

/* SENTINEL GET-MASTER-ADDR-BY-NAME. */
bool reply_master(const redisReply *r, struct reply_place *at);

/* CLUSTER SLOTS: calls `range` for each range; false if it is another kind of reply. */
bool reply_slots(const redisReply *r,
                 void (*range)(void *arg, uint32_t first, uint32_t last,
                               const struct reply_place *at),
                 void *arg);

/* HGETALL: calls `field` for each pair of strings. */
void reply_fields(const redisReply *r,
                  void (*field)(void *arg, struct span name, struct span value), void *arg);

/* The id of a stream's entry. */
struct stream_id {
    uint64_t ms, n;
};
bool stream_id_read(struct span text, struct stream_id *id);
int stream_id_compare(const struct stream_id *a, const struct stream_id *b);

/* An entry of the fleet's stream; parts that are missing are empty. */
struct stream_entry {
    struct stream_id id;
    struct span member, hello, shares, order, standing, settled, accounts;
    uint64_t sent_ms; /* fleet time; 0: missing */
    uint64_t number;  /* of the member's batches; 0: missing */
};

/* The entries of XRANGE, XREVRANGE or (`read`) of XREAD of one stream. Returns their number. */
unsigned reply_entries(const redisReply *r, bool read,
                       void (*entry)(void *arg, const struct stream_entry *e), void *arg);

/* The slot of a key in a cluster (CRC-16/XMODEM of the part within the first braces). */
uint32_t redis_slot(struct span key);
enum { REDIS_SLOTS = 16384 };

#endif
