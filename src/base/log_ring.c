/* The log's last lines; see log_ring.h. A slot is a sequence lock: its stamp is odd while a writer
 * changes it, and says which line it has. Used in every process; touches nothing but the
 * mapping. */
#include "base/log_ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

enum { LAYOUT = 0x6d6c7231 }; /* changes with the structs below */

struct slot {
    /* 0: never used; 2n+1: line n is being written; 2n+2: line n is complete */
    _Atomic uint64_t stamp;
    uint64_t wall_ms;
    uint32_t len;
    uint32_t level;
    char text[LOG_RING_TEXT];
};

static_assert(sizeof(struct slot) == 1024, "two slots never share a cache line");

struct log_ring {
    _Atomic uint64_t next;
    uint64_t layout;
    char unused[1024 - 16];
    struct slot slot[LOG_RING_LINES];
};

size_t log_ring_size(void)
{
    return sizeof(struct log_ring);
}

struct log_ring *log_ring_open(void *mapping)
{
    struct log_ring *r = mapping;

    if (r && r->layout != LAYOUT) {
        if (r->layout)
            memset(r, 0, sizeof *r);
        r->layout = LAYOUT;
    }
    return r;
}

void log_ring_put(struct log_ring *r, uint64_t wall_ms, int level, struct span text)
{
    uint64_t n = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    struct slot *s = &r->slot[n % LOG_RING_LINES];
    bool cut = text.len > LOG_RING_TEXT;
    size_t len = cut ? LOG_RING_TEXT - 3 : text.len;

    while (cut && len > 0 && ((unsigned char)text.at[len] & 0xc0) == 0x80)
        len--; /* not within a character */

    atomic_store_explicit(&s->stamp, 2 * n + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    s->wall_ms = wall_ms;
    s->level = (uint32_t)level;
    s->len = (uint32_t)(cut ? len + 3 : len);
    memcpy(s->text, text.at, len);
    if (cut)
        memcpy(s->text + len, "...", 3);
    atomic_store_explicit(&s->stamp, 2 * n + 2, memory_order_release);
}

uint64_t log_ring_next(const struct log_ring *r)
{
    return atomic_load_explicit(&r->next, memory_order_acquire);
}

uint64_t log_ring_first(uint64_t next)
{
    return next > LOG_RING_LINES ? next - LOG_RING_LINES : 0;
}

bool log_ring_read(const struct log_ring *r, uint64_t number, struct log_kept *out)
{
    const struct slot *s = &r->slot[number % LOG_RING_LINES];

    if (atomic_load_explicit(&s->stamp, memory_order_acquire) != 2 * number + 2)
        return false;
    size_t len = s->len;
    if (len > LOG_RING_TEXT)
        return false;
    out->wall_ms = s->wall_ms;
    out->level = (int)s->level;
    out->len = len;
    memcpy(out->text, s->text, len);
    out->text[len] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&s->stamp, memory_order_relaxed) == 2 * number + 2;
}
