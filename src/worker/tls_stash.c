/* Keeps the TLS states of frozen connections (docs/frozen.md).
 *
 * A TLS state cannot be written to a file, so it stays in its worker while the connection has no
 * socket, under a handle that is in the connection's record. Handles are never used twice, so a
 * connection that comes back after its state was freed cannot get another one's. */
#include "worker/tls_stash.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/container.h"
#include "worker/worker_part.h"

struct stashed_tls {
    struct alarm alarm; /* frees the state of a connection that does not come back */
    SSL *ssl;
    struct tls_stash_handle handle;
    uint64_t seal;
};

static bool more_places(struct tls_stash *p)
{
    uint32_t want = p->places ? p->places * 2 : 16;
    struct stashed_tls **at = realloc(p->at, want * sizeof *at);
    if (at)
        p->at = at;
    uint32_t *spare = realloc(p->spare, want * sizeof *spare);
    if (spare)
        p->spare = spare;
    if (!at || !spare)
        return false;
    for (uint32_t i = want; i-- > p->places; p->at[i] = NULL)
        p->spare[p->spares++] = i;
    p->places = want;
    return true;
}

static SSL *leave(struct worker *w, struct stashed_tls *one)
{
    struct tls_stash *p = &w->stash;
    SSL *ssl = one->ssl;

    loop_alarm_off(&w->loop, &one->alarm);
    p->at[one->handle.place] = NULL;
    p->spare[p->spares++] = one->handle.place;
    p->count--;
    free(one);
    return ssl;
}

static void given_up(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    SSL_free(leave(w, container_of(a, struct stashed_tls, alarm)));
    worker_may_end(w);
}

bool tls_stash_put(struct worker *w, SSL *ssl, uint64_t until, struct tls_stash_handle *out)
{
    struct tls_stash *p = &w->stash;
    struct stashed_tls *one = p->spares || more_places(p) ? calloc(1, sizeof *one) : NULL;

    if (!one)
        return false;
    one->ssl = ssl;
    one->handle = (struct tls_stash_handle){p->spare[--p->spares], ++p->serial};
    one->alarm.due = given_up;
    p->at[one->handle.place] = one;
    p->count++;
    loop_alarm(&w->loop, &one->alarm, until);
    *out = one->handle;
    return true;
}

static struct stashed_tls *find(const struct tls_stash *p, struct tls_stash_handle h)
{
    struct stashed_tls *one = h.place < p->places ? p->at[h.place] : NULL;

    return one && one->handle.serial == h.serial ? one : NULL;
}

void tls_stash_seal(struct worker *w, struct tls_stash_handle h, uint64_t seal)
{
    struct stashed_tls *one = find(&w->stash, h);

    if (one)
        one->seal = seal;
}

SSL *tls_stash_take(struct worker *w, struct tls_stash_handle h, uint64_t seal)
{
    struct stashed_tls *one = find(&w->stash, h);

    return one && one->seal == seal ? leave(w, one) : NULL;
}

void tls_stash_drop(struct worker *w, struct tls_stash_handle h)
{
    struct stashed_tls *one = find(&w->stash, h);

    if (one)
        leave(w, one);
}

void tls_stash_close(struct worker *w)
{
    struct tls_stash *p = &w->stash;

    for (uint32_t i = 0; i < p->places; i++)
        if (p->at[i])
            SSL_free(leave(w, p->at[i]));
    free(p->at);
    free(p->spare);
}
