/* The store's process: accepts the workers' connections and gives each a thread.
 *
 * Blocking threads, not a loop, because a delivery is mostly waiting for fsync, and there are at
 * most as many connections as the workers' pools hold. A worker that was taken over may make more:
 * beyond SHARE times what all workers together may have, those of one slot are closed at once. Workers
 * send them through the master,
 * because they see no path to a socket (worker/confine.c); those of an earlier program connect to
 * the listening socket. The channel and the socket belong to the master, so connections that are
 * made while the store restarts wait in their queues. At the end an eventfd becomes readable and
 * stays so; it wakes every idle session, and sessions within a message finish it first.
 *
 * Data flow: socket -> lmtp.c -> courier.c (another thread) -> maildir.c ->
 * state/mail/DOMAIN/LOCALPART/new/. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/flush.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "query/notes.h"
#include "query/store_words.h"
#include "store/confine.h"
#include "store/lmtp.h"
#include "store/store.h"

enum {
    THREAD_STACK = 256 * 1024,
    SHORTAGE_MS = 100, /* pause when descriptors or threads have run out */
    GRACE_MS = 1500,   /* for deliveries in progress at the end, which comes within 2 s */
    SLOTS = 1024,      /* the most workers that can be configured */
    /* Connections of one slot, times `connections`. A true worker has less than once as many; those
     * of earlier generations have the same slot, and may come from another configuration. */
    SHARE = 4,
};

struct store {
    const struct store_params *params;
    struct lmtp_context context;
    pthread_attr_t thread;
    pthread_mutex_t lock;
    pthread_cond_t all_gone;
    unsigned connections;
    unsigned slot_most, descriptors; /* the limit of a slot's connections; of descriptors */
    unsigned of_slot[SLOTS];         /* connections of each */
    bool told[SLOTS];                /* logged that it has more than its share */
};

struct guest {
    struct store *store;
    uint32_t slot;
    int fd;
    bool speaks; /* its worker has said how it reads addresses */
    struct store_words words;
};

static void count_connection(struct store *s, uint32_t slot, int by)
{
    pthread_mutex_lock(&s->lock);
    s->connections += (unsigned)by;
    s->of_slot[slot] += (unsigned)by;
    if (s->connections == 0)
        pthread_cond_signal(&s->all_gone);
    pthread_mutex_unlock(&s->lock);
}

static void *serve_guest(void *arg)
{
    struct guest guest = *(struct guest *)arg;
    free(arg);
    lmtp_serve(&guest.store->context, guest.speaks ? &guest.words : NULL, guest.fd);
    count_connection(guest.store, guest.slot, -1);
    return NULL;
}

/* A slot also leaves half of the descriptors that are free to the others. */
static bool has_its_share(struct store *s, uint32_t slot)
{
    pthread_mutex_lock(&s->lock);
    unsigned free = s->descriptors > s->connections ? s->descriptors - s->connections : 0;
    bool has = s->of_slot[slot] >= s->slot_most || s->of_slot[slot] >= free / 2;
    pthread_mutex_unlock(&s->lock);
    return has;
}

static int start_thread(const struct guest *g)
{
    struct store *s = g->store;
    pthread_t thread;
    struct guest *guest = malloc(sizeof *guest);
    if (!guest)
        return -ENOMEM;
    *guest = *g;
    count_connection(s, g->slot, 1);
    int error = pthread_create(&thread, &s->thread, serve_guest, guest);
    if (error) {
        count_connection(s, g->slot, -1);
        free(guest);
    }
    return -error;
}

/* A worker that was taken over may send anything, and a thread must not wait for what is no
 * connection. */
static bool is_connection(int fd)
{
    int domain = 0, type = 0;
    socklen_t len = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* The next connection that a worker has sent, with its slot and words, or -errno. */
static int take_sent(int workers, struct guest *g)
{
    struct note n;
    int r = channel_read(workers, &n), fd = -EAGAIN;

    if (r != 1)
        return r == 0 ? -EPIPE : r == -EBADMSG ? -EAGAIN : r;
    g->slot = (uint32_t)n.arg % SLOTS; /* from the master, not from the worker */
    g->speaks = store_words_read((struct span){n.text, n.len}, &g->words);
    while (n.fds) {
        int one = n.fd[--n.fds];
        if (fd < 0 && n.kind == NOTE_STORE && is_connection(one))
            fd = one;
        else
            close(one);
    }
    return fd;
}

static void refuse(struct store *s, uint32_t slot, int fd)
{
    close(fd);
    if (!s->told[slot])
        log_warn("worker %u has more connections to the store than its share; closing its new ones",
                 slot);
    s->told[slot] = true;
}

static void accept_guest(struct store *s, bool sent)
{
    struct guest g = {.store = s};
    g.fd = sent ? take_sent(s->params->workers, &g)
                : accept4(s->params->listen, NULL, NULL, SOCK_CLOEXEC);
    int error = g.fd >= 0 ? 0 : sent ? g.fd : -errno;
    if (error == -EAGAIN || error == -EINTR || error == -ECONNABORTED)
        return;
    if (!error && sent && has_its_share(s, g.slot)) {
        refuse(s, g.slot, g.fd);
        return;
    }
    if (!error) {
        error = start_thread(&g);
        if (error)
            close(g.fd);
    }
    if (error) {
        log_warn("the store cannot accept a connection: %s", strerrordesc_np(-error));
        poll(NULL, 0, SHORTAGE_MS);
    }
}

/* True when the master wants the store to end, or is gone. */
static bool told_to_stop(int control)
{
    struct note note;
    int r = channel_read_text(control, &note);

    return channel_is_over(r) || (r == 1 && note.kind == NOTE_STOP);
}

static void accept_until_told(struct store *s)
{
    struct pollfd p[3] = {{.fd = s->params->control, .events = POLLIN},
                          {.fd = s->params->listen, .events = POLLIN},
                          {.fd = s->params->workers, .events = POLLIN}};
    for (;;) {
        if (poll(p, 3, -1) < 0)
            continue;
        if (p[0].revents && told_to_stop(s->params->control))
            return;
        if (p[1].revents)
            accept_guest(s, false);
        if (p[2].revents)
            accept_guest(s, true);
    }
}

static void wait_for_deliveries(struct store *s)
{
    uint64_t until = clock_mono_ms() + GRACE_MS;
    pthread_mutex_lock(&s->lock);
    while (s->connections > 0)
        if (!cond_wait_until(&s->all_gone, &s->lock, until))
            break;
    if (s->connections > 0)
        log_warn("%u deliveries were interrupted; their senders will retry", s->connections);
    pthread_mutex_unlock(&s->lock);
}

/* Opens the folder of all mailboxes, and makes it if it does not exist. Returns its descriptor or
 * -errno. */
static int open_root(const char *state)
{
    int above = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC); /* it may belong to another user */
    if (above < 0)
        return -errno;
    int root = mkdirat(above, "mail", 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (root == 0) {
        root = openat(above, "mail", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            root = -errno;
    }
    /* A store that was killed may have made it and not flushed its entry. Where this user may not read
     * the state, the master has done it (master/users.c). */
    int error = root < 0 ? 0 : flush_folder(above, ".");
    if (error && error != -EACCES) {
        close(root);
        root = error;
    }
    close(above);
    return root;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Connections that all workers together may have to the store. */
static unsigned connections_of(const struct config *c)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->backend_count; i++)
        if (c->backend[i].kind == BACKEND_STORE)
            n += c->backend[i].connections;
    return n;
}

bool store_is_same(const struct config *a, const struct config *b)
{
    if (a->domains.count != b->domains.count)
        return false;
    for (size_t i = 0; i < a->domains.count; i++)
        if (!same_text(a->domains.at[i], b->domains.at[i]))
            return false;
    return same_text(a->hostname, b->hostname) && same_text(a->state, b->state) &&
           same_text(a->recipient_delimiter, b->recipient_delimiter) && a->sandbox == b->sandbox &&
           a->log == b->log && a->log_level == b->log_level &&
           connections_of(a) == connections_of(b);
}

static void limit_connections(struct store *s)
{
    struct rlimit limit;

    s->slot_most = connections_of(s->params->config) * SHARE;
    s->descriptors = UINT_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < UINT_MAX)
        s->descriptors = (unsigned)limit.rlim_cur;
}

int store_run(const struct store_params *params)
{
    struct store s = {.params = params, .context = {.config = params->config, .root = -1}};
    s.context.root = open_root(params->config->state);
    s.context.stop = eventfd(0, EFD_CLOEXEC);
    if (s.context.stop < 0) {
        log_error("the store cannot start: %s", strerror(errno));
        return 1;
    }
    if (s.context.root < 0) {
        log_error("cannot open %s/mail: %s", params->config->state,
                  strerrordesc_np(-s.context.root));
        return 1;
    }
    limit_connections(&s);
    /* threads wait for the disk, so a heap for each would only waste memory */
    mallopt(M_ARENA_MAX, 1);
    pthread_mutex_init(&s.lock, NULL);
    cond_open(&s.all_gone);
    pthread_attr_init(&s.thread);
    pthread_attr_setstacksize(&s.thread, THREAD_STACK);
    pthread_attr_setdetachstate(&s.thread, PTHREAD_CREATE_DETACHED);
    fcntl(params->listen, F_SETFL, fcntl(params->listen, F_GETFL) | O_NONBLOCK);
    sched_normal();
    store_confine(params->config, s.context.root);
    int status = note_ready(params->control, sandbox_compiled());
    if (status == 0)
        accept_until_told(&s);
    eventfd_write(s.context.stop, 1);
    wait_for_deliveries(&s);
    return status;
}
