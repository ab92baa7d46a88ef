/* Rings: circular doubly linked lists, the links embedded in what they link.
 *
 * A ring's head is a link itself. An element needs no knowledge of the ring that it stands in to
 * leave it. Nothing is allocated or owned. One thread. */
#ifndef MIRED_BASE_RING_H
#define MIRED_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
    struct ring *next, *prev;
};

/* An empty ring. */
static inline void ring_init(struct ring *head)
{
    head->next = head->prev = head;
}

static inline bool ring_is_empty(const struct ring *head)
{
    return head->next == head;
}

/* Puts `link`, which stands in no ring, in as the last. */
static inline void ring_add(struct ring *head, struct ring *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Takes `link` out of whichever ring it stands in. */
static inline void ring_remove(struct ring *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* Puts all of `from` in behind what `head` has; `from` is empty then. */
static inline void ring_move_all(struct ring *head, struct ring *from)
{
    if (ring_is_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    ring_init(from);
}

#endif
