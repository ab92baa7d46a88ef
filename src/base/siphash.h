/* SipHash-2-4 (Aumasson, Bernstein 2012): keyed hashes for tables that hostile input fills. */
#ifndef MIRED_BASE_SIPHASH_H
#define MIRED_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct sipkey {
    uint64_t k0, k1;
};

struct siphash {
    uint64_t v0, v1, v2, v3;
    uint64_t tail; /* octets not yet mixed in */
    uint64_t len;
};

/* Streaming: start, add any number of runs, end. 64-bit results. Pure and thread-safe. */
void siphash_start(struct siphash *h, const struct sipkey *key);
void siphash_add(struct siphash *h, const void *octets, size_t n);
uint64_t siphash_end(struct siphash *h);

/* The three in one. */
uint64_t siphash(const struct sipkey *key, const void *octets, size_t n);

#endif
