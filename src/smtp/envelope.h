/* An envelope: a message's sender and recipients with their ESMTP parameters, in one block of
 * octets.
 *
 * A session also keeps the name of HELO, the account that has logged in, and the argument of a held
 * reply in it, so that all text of a held session is in one small heap block (about 60 octets for a
 * harvester). The layout is private. It has no pointers, so a frozen session's record is a copy of
 * it. A zeroed envelope is valid and empty.
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

/* A session accepts at most ENVELOPE_RECIPIENTS_MAX recipients, and stops when the envelope has
 * ENVELOPE_OCTETS_MAX octets, but always accepts ENVELOPE_RECIPIENTS_LEAST (RFC 5321 4.5.3.1.8). */
enum {
    ENVELOPE_RECIPIENTS_MAX = 1000,
    ENVELOPE_RECIPIENTS_LEAST = 100,
    ENVELOPE_OCTETS_MAX = 256 * 1024
};

/* The longest text in it; no line of a client is longer (SMTP_AUTH_LINE_MAX). */
enum { ENVELOPE_TEXT_MAX = (1 << 14) - 1 };

struct envelope_recipient {
    struct span address; /* local@domain as the client wrote it, without angle brackets */
    struct span params;  /* "NOTIFY=... ORCPT=..." or empty */
    uint32_t next;       /* private */
};

/* All return 0 or -ENOMEM (the envelope is then as it was, or without its note). Texts beyond
 * ENVELOPE_TEXT_MAX are a bug of the caller. */
int envelope_set_helo(struct envelope *e, struct span name); /* forgets all but the login */
/* The account that the client is logged in as. Outside of transactions only; a note is dropped. */
int envelope_set_login(struct envelope *e, struct span account);
int envelope_set_sender(struct envelope *e, struct span address, struct span params); /* "" is <> */
int envelope_add_recipient(struct envelope *e, struct span address, struct span params);
/* Stores a text at the end of the block, in place of an earlier note. The functions above drop it.
 * Sets *kept to the copy (kept may be NULL), which is valid until the block changes. */
int envelope_set_note(struct envelope *e, struct span note, struct span *kept);

/* Stores a recipient while its verdict is not known. It takes the place of the note (its address is
 * the note's text) until envelope_accept() makes it one of the recipients, or another call drops
 * it. */
int envelope_propose(struct envelope *e, struct span address, struct span params);
void envelope_accept(struct envelope *e);

void envelope_drop_note(struct envelope *e);

/* Frees the unused part of the block; for sessions that will be held. */
void envelope_fit(struct envelope *e);

struct span envelope_helo(const struct envelope *e);
struct span envelope_login(const struct envelope *e); /* empty: none */
bool envelope_has_sender(const struct envelope *e);
struct span envelope_sender(const struct envelope *e);
/* Both at once. */
bool envelope_get_sender(const struct envelope *e, struct span *address);
struct span envelope_sender_params(const struct envelope *e);
struct span envelope_note(const struct envelope *e);
struct span envelope_note_params(const struct envelope *e); /* of a proposed recipient */
uint32_t envelope_recipients(const struct envelope *e);
/* Iterates over the recipients in order; *r is zeroed at first. False after the last. */
bool envelope_next(const struct envelope *e, struct envelope_recipient *r);

/* Forgets sender, recipients and note; the name of HELO and the login stay. */
void envelope_reset(struct envelope *e);
void envelope_free(struct envelope *e);

/* Copies all of `from` into `to` (freed first): a hand-over has its own copy. Returns 0 or
 * -ENOMEM. */
int envelope_copy(struct envelope *to, const struct envelope *from);

/* The block as octets, and back: `to` (freed first) gets a copy of `block`, if that is a complete
 * and ordered sequence of records. Returns 0, -ENOMEM or -EBADMSG. */
struct span envelope_block(const struct envelope *e);
int envelope_from_block(struct envelope *to, struct span block);

#endif
