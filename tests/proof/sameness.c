/* The hash of a message, from any state that it may be in, over octets in one piece of any length up
 * to OCTETS. Of the hash function only what it reads counts (base/siphash.c is in the ledger's
 * driver). */
#include "any_smtp.h"
#include "any_text.h"

#include "smtp/sameness.h"

void siphash_start(struct siphash *h, const struct sipkey *key)
{
    *h = (struct siphash){.v0 = key->k0, .v1 = key->k1};
}

void siphash_add(struct siphash *h, const void *octets, size_t n)
{
    proof_reads((struct span){octets, n});
    h->tail = any_number;
    h->len += n;
}

uint64_t siphash_end(struct siphash *h)
{
    return h->tail;
}

static void hash(struct span in, uint8_t state)
{
    const struct sipkey key = {any_number, any_number};
    struct sameness s;

    sameness_start(&s, &key);
    s.state = state;
    s.trace = any_choice & 1;
    s.id = any_choice & 1;
    s.named = any_choice & 1;
    s.signature = any_choice & 1;
    s.is_signed = any_choice & 1;
    Frama_C_make_unknown(s.name, sizeof s.name);
    if (state == 0) /* in a name, which may be any that comes after it */
        s.len = (uint8_t)Frama_C_interval(0, SAMENESS_NAME_MAX);
    sameness_add(&s, in);
    //@ assert name_fits: s.len <= SAMENESS_NAME_MAX;
    //@ assert state_is_one: s.state <= 3;
    (void)sameness_end(&s);
    (void)sameness_is_named(&s);
    (void)sameness_signatures(&s);
}

static void follow(struct span in)
{
    for (uint8_t state = 0; state < 4; state++)
        if (any_choice) {
            hash(in, state);
            return;
        }
}
