/* Unknown recipients in a file of any content, which other processes change at any moment: addresses of
 * any octets, each length of one being a path of its own. */
#define MIRED_PROOF_OCTETS 9
#include "any_text.h"

#include "any_addr.h"

#include "tarpit/tried.h"

/* In place of the comparison with names that anybody may write to: see any_smtp.h. */
/*@ requires first_is_there: a.len == 0 || \valid_read(a.at + (0 .. a.len - 1));
  @ requires second_is_there: b.len == 0 || \valid_read(b.at + (0 .. b.len - 1));
  @ assigns \result \from a, b;
  @ ensures truth: \result == 0 || \result == 1; */
bool span_equal(struct span a, struct span b);

/* From the first candidate on, and so from each. */
static void next(const struct tried *t, uint64_t now)
{
    uint32_t at = any_choice ? 0 : Frama_C_unsigned_int_interval(TRIED_CANDIDATES, UINT32_MAX);
    struct tried_address a;

    if (tried_next(t, &at, now, &a)) {
        //@ assert ends: a.address[TRIED_ADDRESS - 1] == 0;
        //@ assert often_tried: a.networks >= TRIED_NETWORKS && a.days >= TRIED_DAYS;
    }
}

static void with_address(struct tried *t, struct span address, uint64_t now)
{
    struct addr client = any_addr();

    switch (any_choice) {
    case 0: tried_exists(t, address, now); break;
    case 1: tried_by_good(t, address, now); break;
    default: tried_by_stranger(t, address, &client, now);
    }
}

static void without(struct tried *t, uint64_t now)
{
    switch (any_choice) {
    case 0: next(t, now); break;
    case 1: tried_tend(t, now); break;
    default: (void)tried_overflowed(t);
    }
}

static void follow(struct span in)
{
    struct tried *t;

    if (tried_open(&t, NULL) < 0)
        return;
    if (in.len == 0 && any_choice)
        without(t, any_number);
    else
        with_address(t, in, any_number);
    tried_close(t);
}
