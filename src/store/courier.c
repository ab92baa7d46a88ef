/* Messages on their way into mailboxes that may hang; see courier.h. Runs in the store: the session's
 * thread waits here, and the hands work.
 *
 * A hand works for one session until that leaves it: because the session ends, or because the hand
 * does not come back. A message belongs to its session and to the hands that work on it; the last one
 * frees it, and of the hands the last one removes the file from `tmp`, as only hands touch mailboxes. */
#include "store/courier.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"

enum {
    STACK = 128 * 1024,
    HANDS_MOST = 4 /* on one message: each mailbox that hangs takes one */
};

enum task { REST, WRITE, FINISH, GO_ON, CLEAN };

struct delivery {
    struct maildir_message message;
    pthread_cond_t changed;
    unsigned hands; /* that work on it */
    bool prepared;  /* mailboxes may get it */
    bool given_up;
    bool ended; /* by the session */
};

struct hand {
    pthread_cond_t wake;
    enum task task;
    int result; /* of WRITE */
    bool left;  /* by the session: it ends after its task */
    struct delivery *delivery;
};

/* Of all couriers: it is held for moments, between tasks. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void delivery_free(struct delivery *d)
{
    maildir_drop(&d->message); /* clean */
    pthread_cond_destroy(&d->changed);
    free(d);
}

/* ---- hands ---- */

static void work(struct hand *h, struct delivery *d)
{
    struct maildir_message *m = &d->message;
    switch (h->task) {
    case WRITE: h->result = maildir_flush(m); break;
    case FINISH:
        maildir_prepare(m);
        pthread_mutex_lock(&lock);
        d->prepared = true;
        pthread_mutex_unlock(&lock);
        maildir_deliver(m);
        break;
    case GO_ON: maildir_deliver(m); break;
    case REST:
    case CLEAN: break;
    }
}

/* The message needs its file no more. */
static bool is_done(const struct hand *h, const struct delivery *d)
{
    return d->ended || h->task > WRITE;
}

/* Ends the task; `lock` is held, and free in between. */
static void rest(struct hand *h, struct delivery *d)
{
    if (d->hands == 1 && is_done(h, d)) {
        pthread_mutex_unlock(&lock);
        maildir_clean(&d->message);
        pthread_mutex_lock(&lock);
    }
    h->task = REST;
    h->delivery = NULL;
    if (--d->hands == 0 && d->ended)
        delivery_free(d);
    else
        pthread_cond_signal(&d->changed);
}

static void *hand_main(void *arg)
{
    struct hand *h = arg;
    pthread_mutex_lock(&lock);
    while (h->task != REST || !h->left) {
        if (h->task == REST) {
            pthread_cond_wait(&h->wake, &lock);
            continue;
        }
        struct delivery *d = h->delivery;
        pthread_mutex_unlock(&lock);
        work(h, d);
        pthread_mutex_lock(&lock);
        rest(h, d);
    }
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&h->wake);
    free(h);
    return NULL;
}

static struct hand *hand_make(void)
{
    struct hand *h = calloc(1, sizeof *h);
    pthread_attr_t how;
    pthread_t thread;
    if (!h)
        return NULL;
    cond_open(&h->wake);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &how, hand_main, h);
    pthread_attr_destroy(&how);
    if (error) {
        pthread_cond_destroy(&h->wake);
        free(h);
        return NULL;
    }
    return h;
}

/* ---- the session; `lock` is held ---- */

static void leave(struct courier *c)
{
    if (c->hand) {
        c->hand->left = true;
        pthread_cond_signal(&c->hand->wake);
    }
    c->hand = NULL;
}

static bool is_busy(const struct courier *c)
{
    return c->hand && c->hand->task != REST;
}

/* Gives the task to the session's hand, or to another one if that is busy. False: there is none. */
static bool give(struct courier *c, enum task task)
{
    if (is_busy(c))
        leave(c);
    if (!c->hand)
        c->hand = hand_make();
    if (!c->hand)
        return false;
    c->hand->task = task;
    c->hand->delivery = c->delivery;
    c->delivery->hands++;
    pthread_cond_signal(&c->hand->wake);
    return true;
}

static void give_up(struct courier *c)
{
    maildir_give_up(&c->delivery->message);
    c->delivery->given_up = true;
    leave(c);
}

static void wait_until(struct delivery *d, uint64_t ms)
{
    (void)cond_wait_until(&d->changed, &lock, ms);
}

/* When the message is given up, if nothing moves. */
static uint64_t end_of_patience(struct delivery *d)
{
    return atomic_load(&d->message.moved_ms) + COURIER_PATIENCE_MS;
}

/* ---- the session ---- */

bool courier_begin(struct courier *c, int root, const char *host)
{
    struct delivery *d =
        malloc(sizeof *d); /* most of it is room that a small message leaves untouched */
    if (!d)
        return false;
    d->hands = 0;
    d->prepared = d->given_up = d->ended = false;
    cond_open(&d->changed);
    maildir_begin(&d->message, root, host);
    c->delivery = d;
    return true;
}

struct maildir_message *courier_message(const struct courier *c)
{
    return &c->delivery->message;
}

/* Writes out what is kept. */
static int flush(struct courier *c)
{
    struct delivery *d = c->delivery;
    int error = -EAGAIN;
    pthread_mutex_lock(&lock);
    atomic_store(&d->message.moved_ms, clock_mono_ms());
    if (give(c, WRITE)) {
        while (is_busy(c) && clock_mono_ms() < end_of_patience(d))
            wait_until(d, end_of_patience(d));
        error = is_busy(c) ? -ETIMEDOUT : c->hand->result;
    }
    if (error == -ETIMEDOUT || error == -EAGAIN)
        give_up(c);
    pthread_mutex_unlock(&lock);
    return error;
}

int courier_write(struct courier *c, struct span octets)
{
    for (;;) {
        if (c->delivery->given_up)
            return -ETIMEDOUT;
        octets = span_after(octets, maildir_keep(&c->delivery->message, octets));
        if (octets.len == 0)
            return 0;
        int error = flush(c);
        if (error)
            return error;
    }
}

/* Whether another hand could do what one that does not come back leaves. */
static bool has_rest(const struct delivery *d)
{
    const struct maildir_message *m = &d->message;
    bool open = false;
    if (!d->prepared || d->hands == 0 || d->hands >= HANDS_MOST)
        return false;
    for (size_t i = 0; i < m->boxes; i++)
        open = open || atomic_load(&m->box[i].state) == MAILDIR_OPEN;
    /* a holder that hangs has the octets */
    return open && m->fd >= 0 && atomic_load(&m->box[m->holder].state) != MAILDIR_TAKEN;
}

/* Waits until each mailbox has its outcome, and the hand has cleaned up if that takes no time. */
static void wait_for_all(struct courier *c)
{
    struct delivery *d = c->delivery;
    while (is_busy(c)) {
        uint64_t now = clock_mono_ms(), slow = atomic_load(&d->message.moved_ms) + COURIER_SLOW_MS;
        bool over = maildir_is_over(&d->message);
        if (now < slow) {
            wait_until(d, slow);
        } else if (over) {
            leave(c);
        } else if (has_rest(d)) {
            atomic_store(&d->message.moved_ms, now);
            if (!give(c, GO_ON))
                break;
        } else if (now >= end_of_patience(d)) {
            return;
        } else {
            wait_until(d, end_of_patience(d));
        }
    }
    while (!maildir_is_over(&d->message) && clock_mono_ms() < end_of_patience(d))
        wait_until(d, end_of_patience(d));
}

void courier_commit(struct courier *c)
{
    struct delivery *d = c->delivery;
    if (d->given_up)
        return;
    pthread_mutex_lock(&lock);
    atomic_store(&d->message.moved_ms, clock_mono_ms());
    if (give(c, FINISH))
        wait_for_all(c);
    if (!maildir_is_over(&d->message)) {
        maildir_give_up(&d->message);
        d->given_up = true;
        if (is_busy(c))
            leave(c);
    }
    pthread_mutex_unlock(&lock);
}

/* The file of a message that was not committed. */
static void clean(struct courier *c)
{
    struct delivery *d = c->delivery;
    uint64_t end = clock_mono_ms() + COURIER_SLOW_MS;
    if (!give(c, CLEAN))
        maildir_clean(&d->message); /* no memory: rather wait than leave it there */
    while (is_busy(c) && clock_mono_ms() < end)
        wait_until(d, end);
}

void courier_end(struct courier *c)
{
    struct delivery *d = c->delivery;
    if (!d)
        return;
    pthread_mutex_lock(&lock);
    if (d->hands == 0 && d->message.fd >= 0)
        clean(c);
    d->ended = true;
    if (d->hands == 0)
        delivery_free(d);
    c->delivery = NULL;
    pthread_mutex_unlock(&lock);
}

void courier_close(struct courier *c)
{
    courier_end(c);
    pthread_mutex_lock(&lock);
    leave(c);
    pthread_mutex_unlock(&lock);
}
