/* An address of any family, as a damaged file may have it, too. */
#ifndef MIRED_PROOF_ANY_ADDR_H
#define MIRED_PROOF_ANY_ADDR_H

#include "any.h"

#include "base/addr.h"

static struct addr any_addr(void)
{
    struct addr a;

    Frama_C_make_unknown((char *)&a, sizeof a);
    return a;
}

#endif
