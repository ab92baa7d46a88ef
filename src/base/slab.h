/* Memory for objects of one size, such as connections, in chunks of SLAB_CHUNK octets. It is
 * counted.
 *
 * Objects are zeroed when they are given out, and never move. When the last object of a chunk is
 * freed, the chunk goes back to the kernel, so that no memory stays in use after an attack; one
 * empty chunk is kept. Not thread-safe. */
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

/* `object_size` is in octets; one object must fit into a chunk. */
void slab_init(struct slab *s, size_t object_size);

/* Returns zeroed memory for one object, which the caller gives back with slab_give(); NULL without
 * memory. */
void *slab_take(struct slab *s);

void slab_give(struct slab *s, void *at);

#endif
