/* The main() of a driver that reads text: it calls the driver's follow() with octets of any value, in
 * one piece of any length up to OCTETS. Each length is a path of its own, which ends with the call,
 * so that EVA keeps the relation between a span's pointer and its length. */
#ifndef MIRED_PROOF_ANY_TEXT_H
#define MIRED_PROOF_ANY_TEXT_H

#include "any.h"

#ifndef MIRED_PROOF_OCTETS
#define MIRED_PROOF_OCTETS 3
#endif
enum { OCTETS = MIRED_PROOF_OCTETS };

/* The driver's: calls one of its functions, any of them. */
static void follow(struct span in);

int main(void)
{
    char text[OCTETS];

    Frama_C_make_unknown(text, sizeof text);
    for (size_t len = 0; len <= OCTETS; len++)
        if (any_choice) {
            follow((struct span){text, len});
            return 0;
        }
    return 0;
}

#endif
