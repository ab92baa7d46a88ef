/* A hash set of networks: an address is looked up once for each length of prefix that occurs, of
 * which lists have a handful. Read when the worker starts; a reload reads it anew. */
#include "worker/suspects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/siphash.h"

enum { EMPTY = 255, FIRST_SIZE = 64 };

static uint32_t slot_of(const struct suspects *s, const struct network *n)
{
    static const struct sipkey key = {0}; /* the administrator's own list: nobody aims at it */
    uint8_t text[18];

    memcpy(text, n->base.octets, 16);
    text[16] = n->base.family;
    text[17] = n->bits;
    return (uint32_t)siphash(&key, text, sizeof text) & (s->size - 1);
}

/* Where `n` stands, or would. */
static struct network *find(const struct suspects *s, const struct network *n)
{
    uint32_t i = slot_of(s, n);

    while (s->slot[i].bits != EMPTY &&
           !(s->slot[i].bits == n->bits && addr_equal(&s->slot[i].base, &n->base)))
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

static bool add_file(struct suspects *s, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[256];
    bool room = true;

    if (!f) {
        log_warn("suspects: %s cannot be read: %s", path, strerror(errno));
        return true;
    }
    for (unsigned number = 1; room && fgets(line, sizeof line, f); number++) {
        struct network n;
        line[strcspn(line, "#\r\n")] = '\0';
        struct span text = span_trim(span_of(line));
        if (text.len == 0)
            continue;
        if (network_parse(text, &n))
            room = add(s, &n);
        else
            log_warn("%s:%u: \"%.80s\" is not a network, ignored", path, number, line);
    }
    fclose(f);
    return room;
}

enum { TOLD_MAX = 20 };

unsigned suspects_check_lines(struct span text, const char *path, struct buf *said)
{
    unsigned wrong = 0;
    struct network n;

    for (unsigned number = 1; text.len; number++) {
        size_t end = span_find(text, '\n');
        struct span line = span_first(text, end);
        text = span_after(text, end + 1);
        line = span_trim(span_first(line, span_find(line, '#')));
        if (line.len && line.at[line.len - 1] == '\r')
            line = span_trim(span_first(line, line.len - 1));
        if (line.len == 0 || network_parse(line, &n) || ++wrong > TOLD_MAX)
            continue;
        char right[ADDR_TEXT];
        if (network_has_host_bits(line, &n))
            buf_addf(said, "%s:%u: \"%.*s\" has host bits; expected %s\n", path, number,
                     (int)line.len, line.at, network_format(&n, right));
        else
            buf_addf(said, "%s:%u: \"%.*s\" is not a network; expected 192.0.2.0/24\n", path,
                     number, (int)(line.len < 80 ? line.len : 80), line.at);
    }
    if (wrong > TOLD_MAX)
        buf_addf(said, "%s: %u more lines are invalid\n", path, wrong - TOLD_MAX);
    return wrong;
}

bool suspects_open(struct suspects *s, const struct config_strings *list)
{
    bool room = true;

    *s = (struct suspects){0};
    for (size_t i = 0; room && i < list->count; i++) {
        struct network n;
        if (strncmp(list->at[i], "file:", 5) == 0)
            room = add_file(s, list->at[i] + 5);
        else if (network_parse(span_of(list->at[i]), &n))
            room = add(s, &n);
    }
    if (!room)
        suspects_close(s);
    return room;
}

void suspects_close(struct suspects *s)
{
    free(s->slot);
    *s = (struct suspects){0};
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
