/* Slabs: fixed-size objects in chunks of 64 KiB. Not thread-safe; used in any process.
 *
 * A chunk is aligned to its size, so that masking an object's address gives its chunk. It comes
 * straight from the kernel, so that giving it back really frees the memory. New objects are taken
 * from the chunk one after another, and only returned ones are linked: a page of a chunk is not
 * touched before it is needed. Under AddressSanitizer free objects are poisoned, as malloc does
 * it. */
#include "base/slab.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#endif
#ifdef SLAB_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n)   ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

struct free_object {
    struct free_object *next;
};

struct slab_chunk {
    struct slab_chunk *next,
        **prev;               /* in free_chunks; prev is NULL if the chunk is not in the list */
    struct free_object *free; /* objects that were given back */
    uint32_t used;            /* objects given out */
    uint32_t cut;             /* objects ever given out; the ones after them are still zero */
};

enum { OBJECT_ALIGN = 8, CHUNK_HEAD = 48 };
static_assert(sizeof(struct slab_chunk) <= CHUNK_HEAD, "objects begin behind the head");
static_assert(CHUNK_HEAD % OBJECT_ALIGN == 0, "objects are aligned");

static uint32_t objects_in_chunk(const struct slab *s)
{
    return (uint32_t)((SLAB_CHUNK - CHUNK_HEAD) / s->size);
}

static struct slab_chunk *chunk_of(void *object)
{
    return (struct slab_chunk *)((uintptr_t)object & ~(SLAB_CHUNK - 1));
}

static void list_chunk(struct slab *s, struct slab_chunk *c)
{
    c->next = s->free_chunks;
    if (c->next)
        c->next->prev = &c->next;
    c->prev = &s->free_chunks;
    s->free_chunks = c;
}

static void unlist_chunk(struct slab_chunk *c)
{
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->prev = NULL;
}

/* Maps twice the size, which contains an aligned chunk, and unmaps the rest. */
static struct slab_chunk *map_chunk(void)
{
    char *at =
        mmap(NULL, 2 * SLAB_CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)at & (SLAB_CHUNK - 1);
    if (before)
        munmap(at, before);
    munmap(at + before + SLAB_CHUNK, SLAB_CHUNK - before);
    return (struct slab_chunk *)(at + before);
}

static void unmap_chunk(struct slab *s, struct slab_chunk *c)
{
    ASAN_UNPOISON_MEMORY_REGION(c, SLAB_CHUNK);
    munmap(c, SLAB_CHUNK);
    s->chunks--;
}

/* Returns a chunk of the list with a free object; uses the spare only when all others are full. */
static struct slab_chunk *chunk_with_room(struct slab *s)
{
    struct slab_chunk *c = s->free_chunks;

    if (c)
        return c;
    c = s->spare;
    s->spare = NULL;
    if (!c) {
        c = map_chunk();
        if (!c)
            return NULL;
        s->chunks++;
    }
    list_chunk(s, c);
    return c;
}

void slab_init(struct slab *s, size_t object_size)
{
    size_t size = (object_size + OBJECT_ALIGN - 1) / OBJECT_ALIGN * OBJECT_ALIGN;

    assert(size && size <= SLAB_CHUNK / 4);
    *s = (struct slab){.size = size};
}

void *slab_take(struct slab *s)
{
    struct slab_chunk *c = chunk_with_room(s);
    struct free_object *object;

    if (!c)
        return NULL;
    object = c->free;
    if (object) {
        ASAN_UNPOISON_MEMORY_REGION(object, s->size);
        c->free = object->next;
        memset(object, 0, s->size);
    } else {
        object = (struct free_object *)((char *)c + CHUNK_HEAD + c->cut++ * s->size);
    }
    c->used++;
    s->used++;
    if (!c->free && c->cut == objects_in_chunk(s))
        unlist_chunk(c);
    return object;
}

void slab_give(struct slab *s, void *at)
{
    struct slab_chunk *c = chunk_of(at);
    struct free_object *object = at;

    object->next = c->free;
    c->free = object;
    ASAN_POISON_MEMORY_REGION(object, s->size);
    c->used--;
    s->used--;
    if (c->used) {
        if (!c->prev)
            list_chunk(s, c);
        return;
    }
    if (c->prev)
        unlist_chunk(c);
    if (s->spare)
        unmap_chunk(s, c);
    else
        s->spare = c;
}
