/* Included ahead of each file that Frama-C reads: what its C library lacks, or has otherwise. */
#ifndef MIRED_PROOF_FRAMA_H
#define MIRED_PROOF_FRAMA_H

#include <assert.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void *proof_memchr(const void *in, int wanted, size_t len); /* any.c */
#define memchr proof_memchr

#undef ARG_MAX /* a name of ours in smtp/session.c */
#undef static_assert
#define static_assert(condition, message) extern int proof_static_assert
#define _Static_assert(condition, message) extern int proof_static_assert
#define _Alignas(octets)

#endif
