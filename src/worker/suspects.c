/* A hash set of networks: an address is looked up once for each prefix length that occurs, and
 * lists have only a few. The key is secret, because owners of networks choose what a published list
 * has. It is read when the worker starts; a reload starts another worker. */
#include "worker/suspects.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "directory/list_file.h"

enum { EMPTY = 255, FIRST_SIZE = 64 };

static uint32_t slot_of(const struct suspects *s, const struct network *n)
{
    uint8_t text[18];

    memcpy(text, n->base.octets, 16);
    text[16] = n->base.family;
    text[17] = n->bits;
    return (uint32_t)siphash(&s->key, text, sizeof text) & (s->size - 1);
}

/* The slot of `n`, or the free one for it. */
static struct network *find(const struct suspects *s, const struct network *n)
{
    uint32_t i = slot_of(s, n);

    while (s->slot[i].bits != EMPTY && !network_equal(&s->slot[i], n))
        i = (i + 1) & (s->size - 1);
    return &s->slot[i];
}

static bool resize(struct suspects *s, uint32_t size)
{
    struct suspects old = *s;

    s->slot = malloc(size * sizeof *s->slot);
    if (!s->slot) {
        *s = old;
        return false;
    }
    s->size = size;
    for (uint32_t i = 0; i < size; i++)
        s->slot[i] = (struct network){.bits = EMPTY};
    for (uint32_t i = 0; i < old.size; i++)
        if (old.slot[i].bits != EMPTY)
            *find(s, &old.slot[i]) = old.slot[i];
    free(old.slot);
    return true;
}

static bool add(struct suspects *s, const struct network *n)
{
    if (s->count * 2 >= s->size && !resize(s, s->size ? s->size * 2 : FIRST_SIZE))
        return false;
    struct network *slot = find(s, n);
    if (slot->bits != EMPTY)
        return true;
    *slot = *n;
    s->count++;
    if (n->base.family == ADDR_IP4)
        s->has4[n->bits] = true;
    else
        s->has6[n->bits] = true;
    return true;
}

static bool add_entries(struct suspects *s, struct span entries)
{
    struct network n;
    bool room = true;

    while (room && entries.len) {
        struct span line = span_first(entries, span_find(entries, '\n'));
        entries = span_after(entries, line.len + 1);
        if (network_parse(line, &n))
            room = add(s, &n);
    }
    return room;
}

static void forget(struct suspects *s)
{
    free(s->slot);
    s->slot = NULL;
    s->count = s->size = 0;
    memset(s->has4, 0, sizeof s->has4);
    memset(s->has6, 0, sizeof s->has6);
}

/* Makes the table from the networks of the configuration and of the files. */
static bool build(struct suspects *s)
{
    const struct config_strings *list = &s->config->suspect;
    struct network n;
    bool room = true;

    forget(s);
    for (size_t i = 0; room && i < list->count; i++)
        if (!config_list_path(list->at[i]) && network_parse(span_of(list->at[i]), &n))
            room = add(s, &n);
    for (size_t i = 0; room && i < s->files; i++)
        room = add_entries(s, list_file_entries(s->file[i]));
    return room;
}

static bool files_open(struct suspects *s, bool confirmed)
{
    const struct config_strings *list = &s->config->suspect;

    s->file = calloc(list->count + 1, sizeof *s->file);
    for (size_t i = 0; s->file && i < list->count; i++) {
        const char *path = config_list_path(list->at[i]);
        if (!path)
            continue;
        s->file[s->files] = list_file_open(&list_suspects, path, s->config->state, LIST_KEEP_COPY,
                                           confirmed, clock_wall_ms());
        if (!s->file[s->files])
            return false;
        s->files++;
    }
    return s->file != NULL;
}

static void files_close(struct suspects *s)
{
    for (size_t i = 0; i < s->files; i++)
        list_file_close(s->file[i]);
    free(s->file);
    s->file = NULL;
    s->files = 0;
}

static bool is_changing(const struct suspects *s)
{
    for (size_t i = 0; i < s->files; i++)
        if (list_file_is_changing(s->file[i]))
            return true;
    return false;
}

bool suspects_open(struct suspects *s, const struct config *config, bool confirmed)
{
    *s = (struct suspects){.config = config};
    if (getrandom(&s->key, sizeof s->key, 0) != sizeof s->key || !files_open(s, confirmed) ||
        !build(s)) {
        suspects_close(s);
        return false;
    }
    if (!is_changing(s))
        files_close(s);
    return true;
}

bool suspects_look(struct suspects *s, uint64_t now_ms, uint64_t wall_ms)
{
    bool taken = false;

    for (size_t i = 0; i < s->files; i++)
        taken =
            (list_file_is_changing(s->file[i]) && list_file_look(s->file[i], now_ms, wall_ms)) ||
            taken;
    if (taken && !build(s)) /* without memory there are no suspects */
        forget(s);
    if (is_changing(s))
        return true;
    files_close(s);
    return false;
}

void suspects_close(struct suspects *s)
{
    files_close(s);
    forget(s);
}

static struct network cut(const struct addr *a, unsigned bits)
{
    return (struct network){.base = addr_cut(a, bits), .bits = (uint8_t)bits};
}

static const struct network *find_around(const struct suspects *s, const struct addr *a)
{
    const bool *has = a->family == ADDR_IP4 ? s->has4 : s->has6;
    unsigned most = addr_bits(a);

    if (s->count == 0 || most == 0)
        return NULL;
    for (unsigned bits = 0; bits <= most; bits++) {
        if (!has[bits])
            continue;
        struct network n = cut(a, bits);
        const struct network *there = find(s, &n);
        if (there->bits != EMPTY)
            return there;
    }
    return NULL;
}

const struct network *suspects_find(const struct suspects *s, const struct addr *a)
{
    struct addr inner = addr_inner(a);
    const struct network *there = find_around(s, a);

    return there ? there : find_around(s, &inner);
}

bool suspects_contain(const struct suspects *s, const struct addr *a)
{
    return suspects_find(s, a);
}
