/* memcmp() with steps that EVA follows one by one: of Frama-C's it knows only that any result may come.
 * For drivers that compare octets with texts. */
#ifndef MIRED_PROOF_ANY_COMPARE_H
#define MIRED_PROOF_ANY_COMPARE_H

#include <stddef.h>

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *at = a, *other = b;

    for (size_t i = 0; i < n; i++)
        if (at[i] != other[i])
            return at[i] < other[i] ? -1 : 1;
    return 0;
}

#endif
