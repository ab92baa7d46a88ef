/* Fixed-size objects in large chunks: what exists once per connection lives here and is counted.
 *
 * Objects are zeroed when given out and never move. Chunks are given back to the kernel when the
 * last object in them is freed (a wave of attackers leaves no memory behind), but for one. One
 * thread. */
#ifndef MIRED_BASE_SLAB_H
#define MIRED_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_chunk;

struct slab {
    size_t size;                    /* of an object, rounded up to 8 octets */
    size_t used;                    /* objects given out */
    size_t chunks;                  /* of SLAB_CHUNK octets each */
    struct slab_chunk *free_chunks; /* in use, with at least one free object; private */
    struct slab_chunk *spare;       /* the one empty chunk that is kept; private */
};

#define SLAB_CHUNK ((size_t)64 * 1024)

void slab_init(struct slab *s, size_t object_size);

/* Zeroed memory for one object, or NULL. */
void *slab_take(struct slab *s);

void slab_give(struct slab *s, void *at);

#endif
