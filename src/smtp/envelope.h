/* An envelope: a message's sender and recipients with their ESMTP parameters, in one block of
 * octets.
 *
 * It is also where a session keeps HELO's name, the account that has logged in, and the argument of
 * the reply in waiting, so that all text of a held session fits in one small heap block (about 60
 * octets for a harvester). Layout is private; it holds no pointers, so a frozen session's record is
 * a copy of it. A zeroed envelope is a valid, empty one.
 *
 * Spans that are passed in may point into the envelope itself (a note becomes a sender, say). */
#ifndef MIRED_SMTP_ENVELOPE_H
#define MIRED_SMTP_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct envelope {
    struct buf text;     /* private: records in a row, see envelope.c */
    uint32_t note;       /* private: octets of the note's record at the end of the block; 0: none */
    uint32_t recipients; /* private: records of recipients */
};

/* A session takes no more recipients than that, or when the envelope has that many octets, but
 * ENVELOPE_RECIPIENTS_LEAST in any case (RFC 5321 4.5.3.1.8). */
enum {
    ENVELOPE_RECIPIENTS_MAX = 1000,
    ENVELOPE_RECIPIENTS_LEAST = 100,
    ENVELOPE_OCTETS_MAX = 256 * 1024
};

/* No text in it is longer; no line of a client is (SMTP_AUTH_LINE_MAX). */
enum { ENVELOPE_TEXT_MAX = (1 << 14) - 1 };

struct envelope_recipient {
    struct span address; /* local@domain as the client wrote it, without angle brackets */
    struct span params;  /* "NOTIFY=... ORCPT=..." or empty */
    uint32_t next;       /* private */
};

/* All return 0 or -ENOMEM (the envelope is then as it was, or without its note). Texts beyond
 * ENVELOPE_TEXT_MAX are a bug of the caller. */
int envelope_set_helo(struct envelope *e, struct span name); /* forgets all else but the login */
/* The account that the client is logged in as. Outside of transactions only; a note is dropped. */
int envelope_set_login(struct envelope *e, struct span account);
int envelope_set_sender(struct envelope *e, struct span address, struct span params); /* "" is <> */
int envelope_add_recipient(struct envelope *e, struct span address, struct span params);
/* The last thing in the block; replaced by the next call and dropped by any of the above. Returns
 * where it stands now (kept may be NULL); valid until the block changes. */
int envelope_set_note(struct envelope *e, struct span note, struct span *kept);

/* A recipient that is being asked about: stands as the note (its address is the note's text) until
 * envelope_accept() makes it one of the recipients, or anything else drops it. */
int envelope_propose(struct envelope *e, struct span address, struct span params);
void envelope_accept(struct envelope *e);

void envelope_drop_note(struct envelope *e);

/* Gives back what the block holds beyond its octets; for sessions that are about to be held. */
void envelope_fit(struct envelope *e);

struct span envelope_helo(const struct envelope *e);
struct span envelope_login(const struct envelope *e); /* empty: none */
bool envelope_has_sender(const struct envelope *e);
struct span envelope_sender(const struct envelope *e);
struct span envelope_sender_params(const struct envelope *e);
struct span envelope_note(const struct envelope *e);
uint32_t envelope_recipients(const struct envelope *e);
/* Goes over the recipients in order: *r zeroed at first; false after the last. */
bool envelope_next(const struct envelope *e, struct envelope_recipient *r);

/* Forgets sender, recipients and note; the name of HELO and the login stay. */
void envelope_reset(struct envelope *e);
void envelope_free(struct envelope *e);

/* Copies all of `from` into `to` (freed first): a hand-over takes its own copy. 0 or -ENOMEM. */
int envelope_copy(struct envelope *to, const struct envelope *from);

/* The block as octets, and back: `to` (freed first) takes a copy of `block` after checking that it
 * is a whole and ordered row of records. 0, -ENOMEM or -EBADMSG. */
struct span envelope_block(const struct envelope *e);
int envelope_from_block(struct envelope *to, struct span block);

#endif
