/* Inputs of any value, for the drivers of this folder. */
#ifndef MIRED_PROOF_ANY_H
#define MIRED_PROOF_ANY_H

#include <__fc_builtin.h>

#include "base/bytes.h"

extern volatile uint64_t any_number;
extern volatile double any_amount;
extern volatile int any_choice;

/* ANY_OCTETS octets of any value at `name`. */
#ifndef ANY_OCTETS
#define ANY_OCTETS 5
#endif
#define ANY_TEXT(name)                                                                             \
    char name[ANY_OCTETS];                                                                         \
    Frama_C_make_unknown(name, sizeof name)

#endif
