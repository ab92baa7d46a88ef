/* The numbers of tarpit { }: the parameters of the rules R1..R26 in docs/tarpit.md. Times in ms.
 * The defaults are in src/config/keys.c. */
#ifndef MIRED_TARPIT_RULES_H
#define MIRED_TARPIT_RULES_H

#include <stdbool.h>
#include <stdint.h>

enum freeze_mode { FREEZE_OFF, FREEZE_AUTO };

struct tarpit_rules {
    uint64_t time, max;                 /* R1, R2 */
    double growth;                      /* R1 */
    bool pace;                          /* R3, R4 */
    double pace_after;                  /* R4 */
    double shield;                      /* R7; 0: off */
    double good_ratio;                  /* R8; 0: off */
    bool correspondents;                /* R21 */
    uint64_t half_life, good_half_life; /* R9 */
    double network_share;               /* R10; 0: off */
    uint64_t drip;                      /* R11; 0: off */
    double patience_offences;           /* R12; 0: off */
    uint64_t null_sender_max;           /* R13 */
    uint32_t login_tries;               /* R14: out of turn, an hour; 0: none */
    double suspect_offences;            /* R16 */
    uint64_t greet, greet_pass;         /* R22; greet 0: off */
    uint64_t retry_after;               /* R26; 0: off */
    uint64_t held_max;                  /* R17; 0: auto */
    uint64_t held_per_client;
    double reserve;          /* 0..1 of the connections */
    enum freeze_mode freeze; /* R18 */
    uint64_t freeze_after;
};

#endif
