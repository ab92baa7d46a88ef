/* Rings: circular doubly linked lists, the links embedded in what they link.
 *
 * A ring's head is a link itself. An element can leave its ring without knowing the head. Nothing
 * is allocated, owned or able to fail. Not thread-safe. */
#ifndef MIRED_BASE_RING_H
#define MIRED_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
    struct ring *next, *prev;
};

/* Makes an empty ring. */
static inline void ring_init(struct ring *head)
{
    head->next = head->prev = head;
}

static inline bool ring_is_empty(const struct ring *head)
{
    return head->next == head;
}

/* Adds `link`, which must not be in a ring, at the end. */
static inline void ring_add(struct ring *head, struct ring *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Removes `link` from the ring that it is in. It must be in one. */
static inline void ring_remove(struct ring *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* Moves all elements of `from` to the end of `head`; `from` is empty then. */
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
