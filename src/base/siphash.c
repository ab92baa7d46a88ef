/* SipHash-2-4, written from its paper ("SipHash: a fast short-input PRF"): two rounds for each
 * 64-bit word, and four at the end. Pure; used wherever a client chooses the data. */
#include "base/siphash.h"

#include <string.h>

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct siphash *h)
{
    h->v0 += h->v1;
    h->v1 = rotate(h->v1, 13) ^ h->v0;
    h->v0 = rotate(h->v0, 32);
    h->v2 += h->v3;
    h->v3 = rotate(h->v3, 16) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = rotate(h->v3, 21) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = rotate(h->v1, 17) ^ h->v2;
    h->v2 = rotate(h->v2, 32);
}

static inline void sip_word(struct siphash *h, uint64_t word)
{
    h->v3 ^= word;
    sip_round(h);
    sip_round(h);
    h->v0 ^= word;
}

static inline uint64_t read_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* The same of less than eight octets. */
static inline uint64_t read_part(const uint8_t *at, size_t n)
{
    uint64_t word = 0;

    while (n)
        word = word << 8 | at[--n];
    return word;
}

static inline struct siphash start(const struct sipkey *key)
{
    return (struct siphash){
        .v0 = key->k0 ^ 0x736f6d6570736575,
        .v1 = key->k1 ^ 0x646f72616e646f6d,
        .v2 = key->k0 ^ 0x6c7967656e657261,
        .v3 = key->k1 ^ 0x7465646279746573,
    };
}

/* `tail`: the octets after the last word; `len`: how many there were in all. */
static inline uint64_t finish(struct siphash *h, uint64_t tail, uint64_t len)
{
    sip_word(h, tail | len << 56);
    h->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(h);
    return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

void siphash_start(struct siphash *h, const struct sipkey *key)
{
    *h = start(key);
}

/* Adds up to eight octets, in the lowest bits of `word`. */
static inline void add_octets(struct siphash *h, uint64_t word, size_t n)
{
    unsigned had = h->len % 8;

    h->tail |= word << had * 8;
    h->len += n;
    if (had + n < 8)
        return;
    sip_word(h, h->tail);
    h->tail = had ? word >> (8 - had) * 8 : 0;
}

void siphash_add(struct siphash *h, const void *octets, size_t n)
{
    struct siphash now = *h; /* a copy, which the compiler may keep in registers */
    const uint8_t *at = octets;

    for (; n >= 8; n -= 8, at += 8)
        add_octets(&now, read_word(at), 8);
    if (n)
        add_octets(&now, read_part(at, n), n);
    *h = now;
}

uint64_t siphash_end(struct siphash *h)
{
    return finish(h, h->tail, h->len);
}

/* Most keys are a few words: all of the state stays in registers. */
uint64_t siphash(const struct sipkey *key, const void *octets, size_t n)
{
    const uint8_t *at = octets;
    struct siphash h = start(key);

    for (size_t words = n / 8; words; words--, at += 8)
        sip_word(&h, read_word(at));
    return finish(&h, read_part(at, n % 8), n);
}
