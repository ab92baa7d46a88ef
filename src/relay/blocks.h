/* A worker's bounded memory for messages, in blocks of BLOCK_SIZE octets, which its spools share.
 *
 * Blocks that are given back are taken again first,
 * because they are still in the processor's cache. blocks_trim() gives memory to the kernel that has
 * not been needed for a while. Not thread-safe. */
#ifndef MIRED_RELAY_BLOCKS_H
#define MIRED_RELAY_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BLOCK_SIZE = 16 * 1024,
    BLOCKS_TRIM = 128, /* of one blocks_trim(): a fraction of a millisecond */
};

struct blocks {
    char *base;     /* address space for `max` blocks */
    uint32_t *warm; /* a stack of free blocks that have memory */
    uint32_t *cold; /* a stack of free blocks without memory */
    uint32_t max;   /* all blocks */
    uint32_t n_warm, n_cold;
    uint32_t least_warm; /* since the last blocks_trim() that began */
    uint32_t unneeded;   /* blocks that are still to be trimmed */
};

/* Reserves address space for `max` blocks; memory follows as they are used. Returns 0 or -ENOMEM. */
int blocks_open(struct blocks *b, uint32_t max);
void blocks_close(struct blocks *b);

/* Returns a block with any content, or NULL if none is free. */
char *blocks_take(struct blocks *b);
void blocks_give(struct blocks *b, char *block);

/* How many can be taken. */
static inline uint32_t blocks_free(const struct blocks *b)
{
    return b->n_warm + b->n_cold;
}

enum blocks_more {
    BLOCKS_NONE,  /* none has memory */
    BLOCKS_LATER, /* call it again when blocks that are free now may be unneeded */
    BLOCKS_SOON,  /* ... at once: there were more than BLOCKS_TRIM */
};

/* Gives the memory of those blocks to the kernel that have been free since the last call that
 * returned something other than BLOCKS_SOON. */
enum blocks_more blocks_trim(struct blocks *b);

#endif
