/* How processes share the connections that a server accepts; see sharing.h. */
#include "base/sharing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mapfile.h"

enum {
    TRIES = 8, /* places that a source may have */
    LINES_BITS = 10,
    LINES_MAX = (1 << LINES_BITS) - 1,
    PID_BITS = 22, /* the kernel's own limit */
};

struct shared_source {
    _Atomic uint64_t source; /* 0: empty */
    _Atomic uint64_t answered_us;
    _Atomic uint64_t wanted; /* 0: nobody does; else ms (32 bits), lines, pid */
};

struct table {
    _Atomic uint32_t wants;
    struct shared_source source[SHARING_PLACES];
};

struct sharing {
    struct mapfile memory;
    struct table *table;
};

int sharing_open(struct sharing **out)
{
    struct sharing *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int error = mapfile_open(&s->memory, NULL, "MRDSHARE", 1, sizeof(struct table));
    if (error) {
        free(s);
        return error;
    }
    s->table = s->memory.body;
    *out = s;
    return 0;
}

void sharing_close(struct sharing *s)
{
    if (!s)
        return;
    mapfile_close(&s->memory);
    free(s);
}

/* The place of the source, or NULL. */
static struct shared_source *find(const struct sharing *s, uint64_t source)
{
    for (uint64_t i = 0; i < TRIES; i++) {
        struct shared_source *p = &s->table->source[(source + i) % SHARING_PLACES];
        if (atomic_load(&p->source) == source)
            return p;
    }
    return NULL;
}

static struct shared_source *find_or_take(struct sharing *s, uint64_t source)
{
    struct shared_source *p = find(s, source), *oldest = NULL;

    for (uint64_t i = 0; i < TRIES && !p; i++) {
        struct shared_source *one = &s->table->source[(source + i) % SHARING_PLACES];
        if (!oldest || atomic_load(&one->answered_us) < atomic_load(&oldest->answered_us))
            oldest = one;
    }
    if (!p) {
        p = oldest;
        atomic_store(&p->wanted, 0);
        atomic_store(&p->answered_us, 0);
        atomic_store(&p->source, source);
    }
    return p;
}

uint64_t sharing_id(const struct sharing *s, struct span name)
{
    uint64_t id = siphash(&s->memory.key, name.at, name.len);

    return id ? id : 1;
}

void sharing_answered(struct sharing *s, uint64_t source, uint64_t now_us)
{
    atomic_store(&find_or_take(s, source)->answered_us, now_us);
}

uint64_t sharing_last_answer(const struct sharing *s, uint64_t source)
{
    const struct shared_source *p = find(s, source);

    return p ? atomic_load(&p->answered_us) : 0;
}

static uint32_t ms_of(uint64_t us)
{
    return (uint32_t)(us / 1000);
}

void sharing_want(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines, uint64_t now_us)
{
    uint64_t few = lines < LINES_MAX ? lines : LINES_MAX;

    atomic_store(&find_or_take(s, source)->wanted,
                 (uint64_t)ms_of(now_us) << 32 | few << PID_BITS | pid);
    atomic_fetch_add(&s->table->wants, 1);
}

uint32_t sharing_wants(const struct sharing *s)
{
    return atomic_load(&s->table->wants);
}

bool sharing_must_give(struct sharing *s, uint64_t source, uint32_t pid, uint32_t lines,
                       uint64_t now_us)
{
    struct shared_source *p = find(s, source);
    uint64_t wanted = p ? atomic_load(&p->wanted) : 0;
    uint32_t from = (uint32_t)wanted & ((1U << PID_BITS) - 1);
    uint32_t its_lines = (uint32_t)wanted >> PID_BITS;

    if (!wanted || from == pid || ms_of(now_us) - (uint32_t)(wanted >> 32) > SHARING_WANT_MS)
        return false;
    if (lines <= its_lines + (its_lines > 0)) /* giving would only turn the difference around */
        return false;
    return atomic_compare_exchange_strong(&p->wanted, &wanted, 0);
}
