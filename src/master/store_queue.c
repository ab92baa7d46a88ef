/* Turns of worker slots at the pair to the store; see store_queue.h. */
#include "master/store_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/container.h"
#include "query/notes.h"
#include "query/store_words.h"

struct waiting {
    int fd;
    char *words; /* NULL: none */
    size_t len;
};

/* The connections of a slot that wait, a ring. */
struct store_waiting {
    uint32_t first, count;
    uint32_t refused;
    struct waiting at[STORE_QUEUE_EACH];
};

/* False if the pair is full. */
static bool send_to_store(int pair, uint32_t slot, int fd, struct span words)
{
    struct note n;

    n.kind = NOTE_STORE;
    n.arg = (int32_t)slot;
    n.tag = 0;
    n.len = (uint32_t)words.len;
    if (words.len)
        memcpy(n.text, words.at, words.len);
    n.fds = 1;
    n.fd[0] = fd;
    return channel_send(pair, &n) != -EAGAIN;
}

static void drop_first(struct store_queue *q, struct store_waiting *s)
{
    close(s->at[s->first].fd);
    free(s->at[s->first].words);
    s->first = (s->first + 1) % STORE_QUEUE_EACH;
    s->count--;
    q->waiting--;
}

/* The store has room again. */
static void room(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct store_queue *q = container_of(watch, struct store_queue, room);

    loop_moved(loop);
    for (; q->waiting; q->next = (q->next + 1) % q->slots) {
        struct store_waiting *s = &q->slot[q->next];
        if (!s->count)
            continue;
        const struct waiting *w = &s->at[s->first];
        if (!send_to_store(watch->fd, q->next, w->fd, (struct span){w->words, w->len}))
            return;
        drop_first(q, s);
    }
    loop_forget(loop, watch);
}

static bool make_slots(struct store_queue *q, uint32_t slots)
{
    if (slots <= q->slots)
        return true;
    struct store_waiting *all = realloc(q->slot, slots * sizeof *all);
    if (!all)
        return false;
    for (uint32_t i = q->slots; i < slots; i++)
        all[i] = (struct store_waiting){0};
    q->slot = all;
    q->slots = slots;
    return true;
}

static bool watch_room(struct loop *loop, struct store_queue *q, int pair)
{
    q->room = (struct watch){.fd = pair, .events = EPOLLOUT, .ready = room};
    return loop_watch(loop, &q->room) == 0;
}

/* Copies of both; false without descriptors or memory. */
static bool keep(struct waiting *w, int fd, struct span words)
{
    *w = (struct waiting){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .len = words.len};
    if (w->fd >= 0 && words.len) {
        w->words = malloc(words.len);
        if (w->words)
            memcpy(w->words, words.at, words.len);
        else
            close(w->fd);
    }
    return w->fd >= 0 && (w->words || !words.len);
}

uint32_t store_queue_put(struct loop *loop, struct store_queue *q, int pair, uint32_t slot, int fd,
                         struct span words)
{
    bool fits = words.len < STORE_WORDS_TEXT;

    if (fits && !q->waiting && send_to_store(pair, slot, fd, words))
        return 0;
    if (!make_slots(q, slot + 1))
        return 1;
    struct store_waiting *s = &q->slot[slot];
    struct waiting w;
    if (!fits || s->count == STORE_QUEUE_EACH || !keep(&w, fd, words))
        return ++s->refused;
    if (!q->waiting && !watch_room(loop, q, pair)) {
        close(w.fd);
        free(w.words);
        return ++s->refused;
    }
    s->at[(s->first + s->count) % STORE_QUEUE_EACH] = w;
    s->count++;
    q->waiting++;
    return 0;
}

void store_queue_close(struct loop *loop, struct store_queue *q)
{
    if (q->waiting)
        loop_forget(loop, &q->room);
    for (uint32_t i = 0; i < q->slots; i++)
        while (q->slot[i].count)
            drop_first(q, &q->slot[i]);
    free(q->slot);
    *q = (struct store_queue){0};
}
