/* Loads and stores of shared words (frama.h), and the mathematics of the ledger, of which Frama-C's
 * library knows only the types. */
#include "any.h"

#include <math.h>

uint64_t proof_load(const void *at, size_t size)
{
    if (size == sizeof(uint64_t))
        (void)*(const volatile uint64_t *)at;
    else
        (void)*(const volatile uint32_t *)at;
    return size == sizeof(uint64_t) ? any_number : (uint32_t)any_number;
}

void proof_store(void *at, size_t size)
{
    if (size == sizeof(uint64_t))
        *(volatile uint64_t *)at = any_number;
    else
        *(volatile uint32_t *)at = (uint32_t)any_number;
}

_Bool proof_exchange(void *at, void *expected, size_t size)
{
    proof_store(at, size);
    if (any_choice)
        return 1;
    if (size == sizeof(uint64_t))
        *(uint64_t *)expected = any_number;
    else
        *(uint32_t *)expected = (uint32_t)any_number;
    return 0;
}

double exp2(double x)
{
    double over = Frama_C_double_interval(1, 0x1p900);

    return x > 0 ? over : Frama_C_double_interval(0, 1);
}

double fmin(double a, double b)
{
    return a < b ? a : b;
}

double fmax(double a, double b)
{
    return a > b ? a : b;
}

int proof_bits(uint64_t word)
{
    return Frama_C_interval(0, word >> 56 ? 64 : word >> 40 ? 56 : 40);
}
