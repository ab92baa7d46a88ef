/* Makes and keeps what outlives any child and any generation. Master only.
 *
 * Order: folders, the locks of both, then owners, sockets and mappings. So two mireds that share a
 * folder never touch each other's sockets or files, and one that somebody starts beside another by
 * mistake takes no folder from its processes. Children inherit the mappings and get the sockets
 * they need from role.c. The ledger, the memory of mixed answers and the cache of directories are
 * files in the state folder; counters and the shared page live in memory files, which an upgrade
 * hands on. In both folders the master works as the user that they belong to (folder.h). */
#include "master/runtime.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/scram.h"
#include "backend/counts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/log_ring.h"
#include "base/sharing.h"
#include "config/config.h"
#include "directory/cache.h"
#include "fleet/orderbook.h"
#include "master/folder.h"
#include "master/runtime_part.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_others.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/observed.h"
#include "tarpit/retries.h"
#include "tarpit/tried.h"
#include "tarpit/tries.h"

int runtime_wrong(struct buf *errors, const char *what, const char *where, int error)
{
    buf_addf(errors, "%s %s: %s\n", what, where, strerrordesc_np(-error));
    return -1;
}

/* How long to wait for the state folder's lock, and how often to look. */
enum { LOCK_PATIENCE_MS = 3000, LOCK_LOOK_MS = 20 };

/* ---- folders and the locks ---- */

/* Creates the folder if it is missing and enters it with the safe identity: folder_leave() follows.
 */
static int enter(const struct runtime *h, struct borrowed *b, const char *path, mode_t mode,
                 struct buf *errors)
{
    int error = folder_enter(b, path, &h->identity, mode);

    if (error)
        return runtime_wrong(errors, "cannot make the folder", path, error);
    return 0;
}

/* The same for folders that the children write; they belong to `user`, or to `also`. */
static int enter_own(const struct runtime *h, struct borrowed *b, const char *path, mode_t mode,
                     const struct identity *also, struct buf *errors)
{
    struct stat st;

    if (enter(h, b, path, mode, errors) < 0)
        return -1;
    if (!h->identity.drop || stat(path, &st) < 0 || st.st_uid == h->identity.uid ||
        st.st_uid == also->uid)
        return 0;
    buf_addf(errors, "%s belongs to another user; chown -R %s %s\n", path, h->identity.name, path);
    return -1;
}

/* The lock's file. One that root made, in a folder that is the user's (earlier versions did), is
 * replaced while it is locked, so that it is never locked twice. */
static int open_lock(const char *path)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = open(path, O_RDWR | O_CREAT | flags, 0644);

    if (fd >= 0 || errno != EACCES)
        return fd < 0 ? -errno : fd;
    int before = open(path, O_RDONLY | flags);
    if (before < 0) /* there is none, and none may be made */
        return errno == ENOENT ? -EACCES : -errno;
    if (flock(before, LOCK_EX | LOCK_NB) < 0)
        return before; /* taken: the next process to lock it gets this message */
    fd = unlink(path) < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0644);
    int error = fd < 0 ? -errno : 0;
    close(before);
    return error ? error : fd;
}

static int take_lock(struct runtime *h, struct buf *errors)
{
    char path[4096], pid[32] = "";

    if (h->lock >= 0) /* inherited */
        return 0;
    snprintf(path, sizeof path, "%s/lock", h->run);
    h->lock = open_lock(path);
    if (h->lock < 0)
        return runtime_wrong(errors, "cannot open", path, h->lock);
    if (flock(h->lock, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(h->lock, pid, sizeof pid - 1, 0);
        buf_addf(errors,
                 "another mired (process %.*s) runs with run = \"%s\"; stop it, or give this one a "
                 "folder of its own\n",
                 n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?", h->run);
        return -1;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    ssize_t written = ftruncate(h->lock, 0) < 0 ? -1 : pwrite(h->lock, pid, (size_t)n, 0);
    if (written != n)
        return runtime_wrong(errors, "cannot write", path, written < 0 ? -errno : -ENOSPC);
    return 0;
}

/* Two mireds with one state folder would have two keepers write one ledger. An open folder can be
 * locked, so the lock needs no file; where a filesystem cannot lock folders (NFS), there is no lock.
 * An upgrade does not hand it on: an earlier program that comes next does not know it, and would hold
 * it against the program after that. So it is free for a moment then, and while one container takes
 * the place of another. */
static bool lock_state(struct runtime *h)
{
    uint64_t until = clock_mono_ms() + LOCK_PATIENCE_MS;

    h->state_lock = open(h->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (h->state_lock >= 0 && flock(h->state_lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return true;
        if (clock_mono_ms() >= until)
            return false;
        poll(NULL, 0, LOCK_LOOK_MS);
    }
    return true;
}

/* An upgrade goes on without the lock, so that mail does. */
static int own_state(struct runtime *h, bool upgraded, struct buf *errors)
{
    if (lock_state(h))
        return 0;
    if (upgraded) {
        log_warn("another mired has locked %s", h->state);
        return 0;
    }
    buf_addf(errors,
             "another mired, perhaps in another container, runs with state = \"%s\"; stop it, or "
             "give this one a folder of its own\n",
             h->state);
    return -1;
}

static void open_empty(struct runtime *h)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/empty", h->run);
    h->empty = folder_make_empty(path);
    if (h->empty < 0)
        log_warn("cannot make %s, so no process has an empty root directory: %s", path,
                 strerrordesc_np(-h->empty));
}

/* ---- mappings ---- */

/* Maps a memory file of that size; NULL, and errno, on failure. An inherited file is used if it
 * has that size. */
static void *map_memory(const char *name, size_t size, int *fd)
{
    struct stat st;

    if (*fd >= 0 && (fstat(*fd, &st) < 0 || (size_t)st.st_size != size)) {
        close(*fd);
        *fd = -1;
    }
    if (*fd < 0)
        *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd < 0)
        return NULL;
    void *at = ftruncate(*fd, (off_t)size) < 0
                   ? MAP_FAILED
                   : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Zero, and not kept over an upgrade; NULL, and errno, on failure. */
static void *map_for_children(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

enum { DECOYS_SIZE = 4096 };

static int open_decoys(struct runtime *h, struct buf *errors)
{
    char path[4096];

    static_assert(sizeof(struct scram_shapes) <= DECOYS_SIZE, "the body of state/decoys");
    snprintf(path, sizeof path, "%s/decoys", h->state);
    int error = mapfile_open(&h->decoys, path, "mireddec", 1, DECOYS_SIZE);
    return error ? runtime_wrong(errors, "cannot open", path, error) : 0;
}

static int open_memory(struct runtime *h, struct buf *errors)
{
    h->metrics.rows = RUNTIME_ROWS;
    h->metrics.row =
        map_memory("mired metrics", RUNTIME_ROWS * sizeof(struct metrics_row), &h->metrics_fd);
    if (!h->metrics.row)
        return runtime_wrong(errors, "cannot map", "the counters", -errno);
    h->shared = map_memory("mired shared", sizeof *h->shared, &h->shared_fd);
    h->counts = map_memory("mired counts", sizeof *h->counts, &h->counts_fd);
    if (!h->shared || !h->counts)
        return runtime_wrong(errors, "cannot map", "shared memory", -errno);
    h->log = log_ring_open(map_memory("mired log", log_ring_size(), &h->log_fd));
    if (!h->log)
        log_warn("cannot map the last lines of the log, `mirectl log` has none: %s",
                 strerror(errno));
    h->turns = map_for_children(turns_size());
    if (!h->turns)
        return runtime_wrong(errors, "cannot map", "the table of turns", -errno);
    h->tries = map_for_children(tries_size());
    if (!h->tries)
        return runtime_wrong(errors, "cannot map", "the table of passwords out of turn", -errno);
    int error = sharing_open(&h->sharing);
    if (error)
        return runtime_wrong(errors, "cannot map", "the table of shared connections", error);
    h->row_taken[RUNTIME_MASTER_ROW] = true;
    return 0;
}

static int open_files(struct runtime *h, const struct config *config, struct buf *errors)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/ledger", h->state);
    int error = ledger_open(&h->ledger, path, config->ledger_size);
    if (error)
        return runtime_wrong(errors, "cannot open the ledger", path, error);
    /* No other version makes this file, and this one sets it aside below. */
    snprintf(path, sizeof path, "%s/settled", h->state);
    if (mapfile_is(path, "MRDSETTL", 1))
        ledger_convert_again(h->ledger);
    snprintf(path, sizeof path, "%s/observed", h->state);
    h->others_size = others_size(config->ledger_size / 64);
    h->others =
        others_open(map_memory("mired others", h->others_size, &h->others_fd), h->others_size);
    ledger_share(h->ledger, h->others);
    error = observed_open(&h->observed, path);
    if (error)
        return runtime_wrong(errors, "cannot open", path, error);
    snprintf(path, sizeof path, "%s/tried", h->state);
    error = tried_open(&h->tried, path);
    if (error)
        return runtime_wrong(errors, "cannot open", path, error);
    snprintf(path, sizeof path, "%s/retries", h->state);
    error = retries_open(&h->retries, path, RETRIES_SIZE);
    if (error)
        return runtime_wrong(errors, "cannot open", path, error);
    snprintf(path, sizeof path, "%s/settled", h->state);
    error = partial_open(&h->partial, path, config->partial_ms);
    if (error)
        return runtime_wrong(errors, "cannot open", path, error);
    snprintf(path, sizeof path, "%s/orders", h->state);
    error = orderbook_open(&h->orderbook, path);
    if (error)
        return runtime_wrong(errors, "cannot open", path, error);
    snprintf(path, sizeof path, "%s/answers", h->state);
    error = cache_open(&h->answers, path, CACHE_PLACES);
    return error ? runtime_wrong(errors, "cannot open", path, error) : open_decoys(h, errors);
}

static int lock_run(struct runtime *h, struct buf *errors)
{
    struct borrowed b;
    int r = enter(h, &b, h->run, 0755, errors);

    if (r == 0)
        r = take_lock(h, errors);
    folder_leave(&b);
    return r;
}

static int open_run(struct runtime *h, struct buf *errors)
{
    struct borrowed b;
    int r = enter(h, &b, h->run, 0755, errors);

    if (r == 0)
        r = runtime_open_sockets(h, errors);
    if (r == 0)
        open_empty(h);
    folder_leave(&b);
    return r;
}

static int make_state(const struct runtime *h, struct buf *errors)
{
    static const char *const folders[] = {"spool", "lists", "worker-lists"};
    struct borrowed b;
    char path[4096];
    int r = enter_own(h, &b, h->state, 0750, &h->identity, errors);

    folder_leave(&b);
    for (size_t i = 0; r == 0 && i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", h->state, folders[i]);
        r = enter_own(h, &b, path, 0700, users_of_folder(&h->users, folders[i]), errors);
        folder_leave(&b);
    }
    return r;
}

/* Earlier versions made the state files as root. Gives the user those that have the head of a state
 * file: only mired can have written such a head to a file of root's. */
static void give_file(const struct runtime *h, int folder, const char *name)
{
    struct stat st;
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_uid == 0 && mapfile_is_one(fd) &&
        fchown(fd, h->identity.uid, h->identity.gid) < 0)
        log_warn("%s/%s: cannot change its owner to %s: %s", h->state, name, h->identity.name,
                 strerror(errno));
    close(fd);
}

static void give_files(const struct runtime *h)
{
    static const char *const name[] = {"ledger",  "observed", "tried",   "retries",
                                       "settled", "orders",   "answers", "decoys"};
    struct borrowed b;

    if (!h->identity.drop)
        return;
    int folder = folder_enter(&b, h->state, &h->identity, 0750) == 0
                     ? open(h->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                     : -1;
    folder_leave(&b);
    if (folder < 0)
        return;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        give_file(h, folder, name[i]);
    close(folder);
}

static int open_state(struct runtime *h, const struct config *config, struct buf *errors)
{
    struct borrowed b;
    int r = enter_own(h, &b, h->state, 0750, &h->identity, errors);

    if (r == 0)
        r = open_files(h, config, errors);
    folder_leave(&b);
    return r;
}

/* ---- the whole ---- */

/* 56 bits, as a number of JSON has room for, and not 0. */
static uint64_t random_id(void)
{
    uint64_t id = 0;

    if (getrandom(&id, sizeof id, 0) != sizeof id)
        id = clock_mono_us() << 8;
    return id >> 8 | 1;
}

void runtime_init(struct runtime *h)
{
    *h = (struct runtime){.lock = -1,
                          .state_lock = -1,
                          .store_listen = -1,
                          .control_listen = -1,
                          .store_pair = {-1, -1},
                          .empty = -1,
                          .metrics_fd = -1,
                          .shared_fd = -1,
                          .log_fd = -1,
                          .others_fd = -1,
                          .counts_fd = -1,
                          .started_ms = clock_wall_ms(),
                          .id = random_id()};
}

int runtime_open(struct runtime *h, const struct config *config, struct buf *errors)
{
    int error = identity_find(&h->identity, config->user);
    if (error == -ENOENT) {
        buf_addf(errors, "no user \"%s\"; create it, or set `user` to an existing one\n",
                 config->user);
        return -1;
    }
    if (error)
        return runtime_wrong(errors, "cannot look up the user", config->user, error);
    users_find(&h->users, &h->identity);
    if (users_check_root(&h->users, errors) < 0)
        return -1;
    h->state = strdup(config->state);
    h->run = strdup(config->run);
    h->user = strdup(config->user);
    h->fixed = config_defaults(config->file);
    if (!h->fixed || !config_keep_fixed(h->fixed, config, NULL) || !h->state || !h->run ||
        !h->user || asprintf(&h->store_path, "%s/store", h->run) < 0 ||
        asprintf(&h->control_path, "%s/control", h->run) < 0)
        return runtime_wrong(errors, "cannot start", "mired", -ENOMEM);
    bool inherited = h->lock >= 0;
    if (lock_run(h, errors) < 0 || make_state(h, errors) < 0 ||
        own_state(h, inherited, errors) < 0 ||
        users_settle(&h->users, h->state, inherited, errors) < 0 || open_run(h, errors) < 0 ||
        open_memory(h, errors) < 0)
        return -1;
    users_settle_socket(&h->users, h->run, "store");
    give_files(h);
    h->open = open_state(h, config, errors) == 0;
    return h->open ? 0 : -1;
}

/* What a start that failed half-way has not mapped yet is NULL, and the kernel takes that for an
 * address. */
static void unmap(void *at, size_t size)
{
    if (at)
        munmap(at, size);
}

void runtime_close(struct runtime *h)
{
    for (uint32_t i = 0; i < h->handoffs; i++) {
        close(h->handoff[i][0]);
        close(h->handoff[i][1]);
    }
    free(h->handoff);
    runtime_remove_sockets(h);
    cache_close(h->answers);
    mapfile_close(&h->decoys);
    partial_close(h->partial);
    orderbook_close(h->orderbook);
    observed_close(h->observed);
    tried_close(h->tried);
    retries_close(h->retries);
    ledger_close(h->ledger);
    unmap(h->others, h->others_size);
    metrics_use(NULL);
    log_keep(NULL);
    unmap(h->log, log_ring_size());
    unmap(h->turns, turns_size());
    unmap(h->tries, tries_size());
    sharing_close(h->sharing);
    unmap(h->shared, sizeof *h->shared);
    unmap(h->counts, sizeof *h->counts);
    unmap(h->metrics.row, RUNTIME_ROWS * sizeof(struct metrics_row));
    int fd[] = {h->store_listen,   h->store_pair[0], h->store_pair[1], h->empty,
                h->control_listen, h->metrics_fd,    h->shared_fd,     h->log_fd,
                h->others_fd,      h->counts_fd,     h->lock,          h->state_lock};
    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    free(h->store_path);
    free(h->control_path);
    free(h->state);
    free(h->run);
    free(h->user);
    config_free(h->fixed);
    *h = (struct runtime){.lock = -1, .state_lock = -1};
}

/* ---- metrics rows ---- */

int runtime_row_take(struct runtime *h)
{
    for (int row = 0; row < RUNTIME_ROWS; row++)
        if (!h->row_taken[row]) {
            h->row_taken[row] = true;
            return row;
        }
    return -1;
}

void runtime_row_give(struct runtime *h, int row)
{
    if (row < 0)
        return;
    if (h->metrics.row) /* NULL: this program could not start after an upgrade */
        metrics_reset_gauges(runtime_row(h, row));
    h->row_taken[row] = false;
}

struct metrics_row *runtime_row(const struct runtime *h, int row)
{
    return row < 0 || !h->metrics.row ? NULL : &h->metrics.row[row];
}
