/* The inputs of any.h; and pow(), of which Frama-C's library knows too little. */
#include "any.h"

#include <math.h>
#include <string.h>

volatile uint64_t any_number;
volatile double any_amount;
volatile int any_choice;

/* mired raises only a base of at least 1 to a power above 0. */
double pow(double base, double exponent)
{
    //@ assert base >= 1 && exponent > 0;
    return any_choice ? Frama_C_double_interval(1, __DBL_MAX__) : INFINITY;
}

/* The search in place of memchr(), with steps that EVA can follow one by one: of memchr() it has an idea of its own. */
void *proof_memchr(const void *in, int wanted, size_t len)
{
    const unsigned char *at = in;

    for (size_t i = 0; i < len; i++)
        if (at[i] == (unsigned char)wanted)
            return (void *)(at + i);
    return NULL;
}
