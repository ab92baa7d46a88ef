/* The extensions that a backend announces in its reply to EHLO (LHLO). Pure. */
#ifndef MIRED_SMTP_ABILITY_H
#define MIRED_SMTP_ABILITY_H

#include <stdint.h>

#include "base/bytes.h"

/* The word with which a worker tells the built-in store in MAIL that it has sent this message before,
 * and does not know whether the store has it; and the extension. Between processes of mired only. */
#define SMTP_AGAIN "XAGAIN"

enum outbound_cap {
    CAP_PIPELINING = 1,
    CAP_SIZE = 2,
    CAP_8BITMIME = 4,
    CAP_SMTPUTF8 = 8,
    CAP_DSN = 16,
    CAP_ENHANCED = 32,
    CAP_XCLIENT = 64,
    CAP_XFORWARD = 128,
    CAP_STARTTLS = 256,
    CAP_CHUNKING = 512,
    CAP_AGAIN = 1024, /* SMTP_AGAIN: the built-in store's */
};

struct ability {
    uint32_t caps;              /* enum outbound_cap */
    uint32_t xclient, xforward; /* the attributes that it takes, enum xclient_attribute */
    uint64_t size_max;          /* octets of a message; 0: it names no limit */
};

/* Capabilities and size as one word, which can be stored over a restart, and back. */
uint64_t ability_word(const struct ability *a);
struct ability ability_of_word(uint64_t word);

/* Reads the text of the reply, with '\n' between lines. If it does not name attributes of XCLIENT
 * or XFORWARD, the earlier ones stay, because after XCLIENT servers name none. */
void ability_learn(struct ability *a, struct span text);

#endif
