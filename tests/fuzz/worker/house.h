/* What the parts of fuzz_whole share. */
#ifndef MIRED_FUZZ_HOUSE_H
#define MIRED_FUZZ_HOUSE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "relay/outcome.h"
#include "smtp/address.h"
#include "smtp/session.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { HOUSE_HEAD = 2, HOUSE_TAKEN = 256 };

struct house {
    struct smtp_session session;
    struct smtp_service service;
    struct tarpit tarpit;
    struct partial_delivery *partial;
    struct tarpit_who who;
    struct addr peer;
    uint64_t now; /* wall ms */
    struct buf input, body;
    struct tarpit_hold hold; /* of the verdict that is told next */
    bool hold_set, open, spool_open, logged_in, lmtp_behind, mends;
    size_t piece, spool_room;
    /* The model. */
    struct buf sent;     /* what the client has sent as the message */
    bool sent_in_chunks; /* ... by BDAT */
    bool sure;           /* only whole commands so far, so replies can be counted */
    size_t replies;      /* in this session */
    size_t taken_2yz;    /* messages that the client heard a 2yz to */
    size_t steps; /* recipients that were asked about, and commands out of turn, since then */
    size_t junk;  /* answers to EHLO, HELO and VRFY since the last message that was taken */
    uint16_t last_code;
    uint8_t says;                /* what the backend says to the next message, by backend.h */
    uint64_t taken[HOUSE_TAKEN]; /* what backends have: message and recipient, hashed */
    size_t takens;
};

void house_go_on(struct house *h);
void house_send(struct house *h, struct span octets);

/* One after the other, with a mark between. */
static inline uint64_t house_hash(uint64_t seed, struct span s)
{
    uint64_t hash = seed ^ UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.at[i]) * UINT64_C(0x100000001b3);
    return (hash ^ 0x100) * UINT64_C(0x100000001b3);
}

#endif
