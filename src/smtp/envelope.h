/* An envelope: who a message is from and for, with its ESMTP parameters, in one block of octets.
 *
 * It is also where a session keeps HELO's name and the argument of the reply in waiting, for all of a held
 * session's text is to stand in one small heap block (about 60 octets for a harvester). Layout is private;
 * it holds no pointers, so a frozen session's record is a copy of it. */
#ifndef MIRED_SMTP_ENVELOPE_H
#define MIRED_SMTP_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct envelope {
    struct buf text;
};

enum { ENVELOPE_RECIPIENTS_MAX = 1000 };

struct envelope_recipient {
    struct span address; /* local@domain as the client wrote it, without angle brackets */
    struct span params;  /* "NOTIFY=... ORCPT=..." or empty */
    uint32_t next;       /* private */
};

/* All return 0 or -ENOMEM. */
int envelope_set_helo(struct envelope *e, struct span name);      /* forgets everything else */
int envelope_set_sender(struct envelope *e, struct span address, struct span params); /* "" is <> */
int envelope_add_recipient(struct envelope *e, struct span address, struct span params);
/* The last thing in the block; replaced by the next call and dropped by any of the above. Returns where it
 * stands now; valid until the block changes. */
int envelope_set_note(struct envelope *e, struct span note, struct span *kept);

struct span envelope_helo(const struct envelope *e);
bool envelope_has_sender(const struct envelope *e);
struct span envelope_sender(const struct envelope *e);
struct span envelope_sender_params(const struct envelope *e);
struct span envelope_note(const struct envelope *e);
uint32_t envelope_recipients(const struct envelope *e);
/* Goes over the recipients in order: *r zeroed at first; false after the last. */
bool envelope_next(const struct envelope *e, struct envelope_recipient *r);

/* Forgets sender, recipients and note; the name of HELO stays. */
void envelope_reset(struct envelope *e);
void envelope_free(struct envelope *e);

/* Copies all of `from` into `to` (freed first): a hand-over takes its own copy. 0 or -ENOMEM. */
int envelope_copy(struct envelope *to, const struct envelope *from);

#endif
