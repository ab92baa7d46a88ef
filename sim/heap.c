/* The simulator's agenda (heap.h). */
#include "heap.h"

#include <assert.h>
#include <stdlib.h>

bool heap_open(struct heap *h, uint32_t room)
{
    *h = (struct heap){.item = malloc(((size_t)room + 1) * sizeof *h->item), .room = room};
    return h->item != NULL;
}

void heap_close(struct heap *h)
{
    free(h->item);
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->at < b->at || (a->at == b->at && a->agent < b->agent);
}

void heap_add(struct heap *h, uint64_t at, uint32_t agent)
{
    struct heap_item new = {at, agent};
    assert(h->count < h->room);
    uint32_t i = h->count++;
    for (; i > 0 && before(&new, &h->item[(i - 1) / 2]); i = (i - 1) / 2)
        h->item[i] = h->item[(i - 1) / 2];
    h->item[i] = new;
}

bool heap_next(struct heap *h, struct heap_item *out)
{
    if (h->count == 0)
        return false;
    *out = h->item[0];
    struct heap_item last = h->item[--h->count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && before(&h->item[child + 1], &h->item[child]))
            child++;
        if (!before(&h->item[child], &last))
            break;
        h->item[i] = h->item[child];
    }
    h->item[i] = last;
    return true;
}
