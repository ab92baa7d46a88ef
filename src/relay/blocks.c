/* Memory for messages; see blocks.h. Runs in workers. Under AddressSanitizer free blocks are
 * poisoned. */
#include "relay/blocks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define BLOCKS_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCKS_POISON 1
#endif
#endif
#ifdef BLOCKS_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

static char *block_at(const struct blocks *b, uint32_t i)
{
    return b->base + (size_t)i * BLOCK_SIZE;
}

int blocks_open(struct blocks *b, uint32_t max)
{
    void *base = mmap(NULL, (size_t)max * BLOCK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return -ENOMEM;
    *b = (struct blocks){.base = base,
                         .warm = calloc(max, sizeof *b->warm),
                         .cold = calloc(max, sizeof *b->cold),
                         .max = max};
    if (!b->warm || !b->cold) {
        blocks_close(b);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < max; i++)
        b->cold[b->n_cold++] = max - 1 - i;
    ASAN_POISON_MEMORY_REGION(base, (size_t)max * BLOCK_SIZE);
    return 0;
}

void blocks_close(struct blocks *b)
{
    if (b->base) {
        ASAN_UNPOISON_MEMORY_REGION(b->base, (size_t)b->max * BLOCK_SIZE);
        munmap(b->base, (size_t)b->max * BLOCK_SIZE);
    }
    free(b->warm);
    free(b->cold);
    *b = (struct blocks){0};
}

char *blocks_take(struct blocks *b)
{
    if (!blocks_free(b))
        return NULL;
    char *block = block_at(b, b->n_warm ? b->warm[--b->n_warm] : b->cold[--b->n_cold]);
    if (b->n_warm < b->least_warm)
        b->least_warm = b->n_warm;
    ASAN_UNPOISON_MEMORY_REGION(block, BLOCK_SIZE);
    return block;
}

void blocks_give(struct blocks *b, char *block)
{
    uint32_t i = (uint32_t)((size_t)(block - b->base) / BLOCK_SIZE);

    assert(i < b->max && block_at(b, i) == block && blocks_free(b) < b->max);
    ASAN_POISON_MEMORY_REGION(block, BLOCK_SIZE);
    b->warm[b->n_warm++] = i;
}

/* The lowest blocks of the stack are those that nobody has needed. */
enum blocks_more blocks_trim(struct blocks *b)
{
    if (b->unneeded == 0) {
        b->unneeded = b->least_warm;
        b->least_warm = b->n_warm;
    }
    uint32_t n = b->unneeded < b->least_warm ? b->unneeded : b->least_warm;

    if (n > BLOCKS_TRIM)
        n = BLOCKS_TRIM;
    for (uint32_t i = 0; i < n; i++) {
        madvise(block_at(b, b->warm[i]), BLOCK_SIZE, MADV_DONTNEED);
        b->cold[b->n_cold++] = b->warm[i];
    }
    b->n_warm -= n;
    memmove(b->warm, b->warm + n, b->n_warm * sizeof *b->warm);
    b->least_warm -= n;
    b->unneeded = n == BLOCKS_TRIM ? b->unneeded - n : 0;
    if (b->unneeded)
        return BLOCKS_SOON;
    return blocks_free(b) < b->max || b->n_warm > 0 ? BLOCKS_LATER : BLOCKS_NONE;
}
