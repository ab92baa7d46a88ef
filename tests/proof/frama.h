/* Included ahead of each file that Frama-C reads: what its C library lacks, or has otherwise. */
#ifndef MIRED_PROOF_FRAMA_H
#define MIRED_PROOF_FRAMA_H

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* any.c */
void *proof_memchr(const void *in, int wanted, size_t len);
void *proof_memmem(const void *in, size_t len, const void *wanted, size_t wanted_len);
char *proof_strstr(const char *in, const char *wanted);
size_t proof_strlen(const char *text);
void explicit_bzero(void *at, size_t n);
#define memchr proof_memchr
#define memmem proof_memmem
#define strstr proof_strstr
#ifdef MIRED_PROOF_LENGTHS /* each length of a text is a path of its own */
#define strlen proof_strlen
#endif
int proof_format(char *out, size_t room, const char *format);
#define vsnprintf(out, room, format, args) proof_format(out, room, format)
#define snprintf(out, room, format, ...)   proof_format(out, room, format)

#undef isfinite /* so that EVA knows of a number that it is */
#define isfinite(x)    ((x) >= -LARGEST_DOUBLE && (x) <= LARGEST_DOUBLE)
#define LARGEST_DOUBLE 0x1.fffffffffffffp1023 /* DBL_MAX passes through long double */

/* What is shared with other processes may change at any moment: each load gives any value, and an
 * exchange succeeds or does not. Only where they read and write is checked. any_shared.c */
uint64_t proof_load(const void *at, size_t size);
void proof_store(void *at, size_t size);
_Bool proof_exchange(void *at, void *expected, size_t size);
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_or
#undef atomic_fetch_sub_explicit
#undef atomic_thread_fence
#define atomic_load(at)                         ((__typeof__(*(at)))proof_load(at, sizeof *(at)))
#define atomic_load_explicit(at, order)         atomic_load(at)
#define atomic_store(at, value)                 ((void)(value), proof_store(at, sizeof *(at)))
#define atomic_store_explicit(at, value, order) atomic_store(at, value)
#define atomic_exchange(at, value)              ((void)(value), proof_store(at, sizeof *(at)), atomic_load(at))
#define atomic_compare_exchange_strong(at, expected, value)                                        \
    ((void)(value), proof_exchange(at, expected, sizeof *(at)))
#define atomic_compare_exchange_weak(at, expected, value)                                          \
    atomic_compare_exchange_strong(at, expected, value)
#define atomic_fetch_add(at, value)                 atomic_exchange(at, value)
#define atomic_fetch_add_explicit(at, value, order) atomic_exchange(at, value)
#define atomic_fetch_sub_explicit(at, value, order) atomic_exchange(at, value)
#define atomic_fetch_or(at, value)                  atomic_exchange(at, value)
#define atomic_thread_fence(order)                  ((void)0)

#undef _Atomic /* as above, where it is used like any other variable */
#define _Atomic volatile

int proof_bits(uint64_t word); /* any_shared.c */
#define __builtin_popcountll proof_bits

#define MAP_POPULATE 0x8000
#undef MAP_FAILED /* EVA does not compare an address with a number */
#define MAP_FAILED NULL

#undef ARG_MAX /* a name of ours in smtp/session.c */
#undef static_assert
#define static_assert(condition, message) extern int proof_static_assert
#define _Static_assert(condition, message) extern int proof_static_assert
#define _Alignas(octets)

#endif
