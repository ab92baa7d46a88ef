/* Mapped files: opened or begun by the master, inherited by its children, kept over restarts.
 *
 *   | one page: head, zeros | body, shared by all processes |
 *
 * The head is written once, as the last step of creation, and never changes. If creation was
 * interrupted, the file has no head, and is set aside like any other file that does not match. Only
 * after a truncation is the same head written again. Space is reserved at creation (for a sparse
 * file: as it is used), because a full disk would later kill any process that writes to the
 * mapping. */
#include "base/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/shared.h"

struct head {
    char magic[8];
    uint64_t version;
    uint64_t body_size;
    uint64_t origin_ms;
    struct sipkey key;
    uint64_t check; /* over all before it */
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Finds damage, not forgery: an attacker that can write the file needs no forged head. */
static uint64_t head_check(const struct head *h)
{
    static const struct sipkey public_key = {0x6d69726564, 1};

    return siphash(&public_key, h, offsetof(struct head, check));
}

/* Why an existing file cannot be used, in words for the log; NULL if it can. */
static const char *misfit(int fd, const char magic[8], uint32_t version, size_t body_size,
                          bool sparse, struct head *h)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return "not a regular file";
    if (st.st_uid != geteuid() && geteuid() != 0)
        return "owned by another user";
    if (pread(fd, h, sizeof *h, 0) != (ssize_t)sizeof *h || h->check != head_check(h))
        return "damaged header";
    if (memcmp(h->magic, magic, sizeof h->magic) != 0)
        return "a file of another kind";
    if (h->version != version)
        return "a file of another version";
    uint64_t most = page_size() + body_size, size = (uint64_t)st.st_size;
    if (h->body_size != body_size || size > most || (sparse ? size < page_size() : size != most))
        return "a file of another size";
    return NULL;
}

/* An empty file of ours: one that mapfile_prepare() has made, and nobody has begun. */
static bool is_empty(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
           (st.st_uid == geteuid() || geteuid() == 0);
}

bool mapfile_is(const char *path, const char magic[8], uint32_t version)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct head h;
    bool is = fd >= 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
              h.check == head_check(&h) && memcmp(h.magic, magic, sizeof h.magic) == 0 &&
              h.version == version;

    if (fd >= 0)
        close(fd);
    return is;
}

static int set_aside(const char *path, const char *why)
{
    char aside[4096];
    int n = snprintf(aside, sizeof aside, "%s.set-aside", path);

    if (n < 0 || (size_t)n >= sizeof aside)
        return -ENAMETOOLONG;
    if (rename(path, aside) < 0)
        return -errno;
    log_warn("%s: %s; renamed to %s, starting with a new one", path, why, aside);
    return 0;
}

/* Opens a file that fits, and returns its descriptor; -ENOENT if there is none (or none any more),
 * or another -errno. */
static int open_existing(const char *path, const char magic[8], uint32_t version, size_t body_size,
                         bool sparse, struct head *h)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    const char *why = fd < 0 ? strerror(errno) : misfit(fd, magic, version, body_size, sparse, h);
    if (!why)
        return fd;
    if (fd >= 0)
        close(fd);
    int error = set_aside(path, why);
    return error ? error : -ENOENT;
}

static int make_head(struct head *h, const char magic[8], uint32_t version, size_t body_size)
{
    *h = (struct head){.version = version, .body_size = body_size, .origin_ms = clock_wall_ms()};
    memcpy(h->magic, magic, sizeof h->magic);
    if (getrandom(&h->key, sizeof h->key, 0) != (ssize_t)sizeof h->key)
        return -EIO;
    h->check = head_check(h);
    return 0;
}

/* Gives the file its full length, or the length of the head if it is sparse; returns 0 or an
 * errno. */
static int stretch(int fd, size_t size, bool sparse)
{
    if (!sparse)
        return posix_fallocate(fd, 0, (off_t)size);
    return ftruncate(fd, (off_t)page_size()) < 0 ? errno : 0;
}

/* Gives an empty file its length and its head; returns 0 or an errno. */
static int fill(int fd, const struct head *h, bool sparse)
{
    int error = stretch(fd, page_size() + h->body_size, sparse);
    ssize_t n = error ? 0 : pwrite(fd, h, sizeof *h, 0);

    return error || n == (ssize_t)sizeof *h ? error : n < 0 ? errno : EIO;
}

static int begin(const char *path, const struct head *h)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int error = fill(fd, h, false);
    if (error) {
        close(fd);
        unlink(path);
        return -error;
    }
    return fd;
}

static int begin_prepared(int fd, const char magic[8], uint32_t version, size_t body_size,
                          struct head *h)
{
    int error = make_head(h, magic, version, body_size);

    if (!error)
        error = -fill(fd, h, true);
    if (error && ftruncate(fd, 0) < 0)
        return -errno;
    return error;
}

/* Opens a file that mapfile_prepare() has left, and begins it if it is empty. Makes, renames and
 * removes nothing. Returns its descriptor or -errno. */
static int open_prepared(const char *path, const char magic[8], uint32_t version, size_t body_size,
                         struct mapfile *m, struct head *h)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    m->fresh = is_empty(fd);
    int error = m->fresh ? begin_prepared(fd, magic, version, body_size, h)
                : misfit(fd, magic, version, body_size, true, h) ? -ESTALE
                                                                 : 0;
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

/* ---- files that are truncated while they are mapped ---- */

/* The files that this process maps: those that it opened, and those that it inherited. */
static struct guarded {
    char *at;
    size_t size;
    int fd;
    dev_t device; /* identifies the file: the descriptor may have been closed and reused */
    ino_t inode;
    _Atomic uint32_t
        *cut;       /* two, shared: how often it was repaired; how many repairs were reported */
    bool read_only; /* mapfile_read_only() */
    _Atomic uint32_t replaced; /* pages that private memory has replaced */
    struct head head;
    char path[256]; /* for the report */
} guarded[MAPFILE_GUARDED_MAX];

static bool is_short(const struct guarded *g)
{
    struct stat st;

    return fstat(g->fd, &st) == 0 && st.st_dev == g->device && st.st_ino == g->inode &&
           (uint64_t)st.st_size < page_size() + g->size;
}

/* Runs in the signal handler, so it makes only system calls. Extends the file to its former length;
 * if that fails, maps private memory in place of the missing page. */
static bool mend(struct guarded *g, const char *where)
{
    size_t page = page_size();
    bool mended = is_short(g) && ftruncate(g->fd, (off_t)(page + g->size)) == 0;

    if (!mended) {
        char *begin = g->at + (size_t)(where - g->at) / page * page;
        mended = mmap(begin, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                      -1, 0) != MAP_FAILED;
        atomic_fetch_add(&g->replaced, 1);
    }
    atomic_fetch_add(g->cut, 1);
    return mended;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    const char *where = info->si_addr;
    int before = errno;
    bool mended = false;

    for (size_t i = 0; i < MAPFILE_GUARDED_MAX && !mended; i++)
        if (guarded[i].at && where >= guarded[i].at && where < guarded[i].at + guarded[i].size)
            mended = mend(&guarded[i], where);
    errno = before;
    if (!mended)
        signal(SIGBUS, SIG_DFL); /* the access faults again, and ends the process */
}

static void guard(struct mapfile *m, int fd, const struct head *h, const char *path)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    struct guarded *g = guarded;
    struct stat st;

    while (g < guarded + MAPFILE_GUARDED_MAX && g->at)
        g++;
    if (g == guarded + MAPFILE_GUARDED_MAX)
        return;
    void *cut =
        mmap(NULL, 2 * sizeof *g->cut, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int own = cut == MAP_FAILED ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0 || fstat(own, &st) < 0) {
        if (own >= 0)
            close(own);
        if (cut != MAP_FAILED)
            munmap(cut, 2 * sizeof *g->cut);
        return;
    }
    *g = (struct guarded){.size = m->body_size,
                          .fd = own,
                          .device = st.st_dev,
                          .inode = st.st_ino,
                          .cut = cut,
                          .head = *h};
    snprintf(g->path, sizeof g->path, "%s", path);
    g->at = m->body;
    m->cut = g->cut;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

static void unguard(const struct mapfile *m)
{
    for (struct guarded *g = guarded; g < guarded + MAPFILE_GUARDED_MAX; g++) {
        if (!g->at || g->at != m->body)
            continue;
        g->at = NULL;
        close(g->fd);
        munmap(g->cut, 2 * sizeof *g->cut);
    }
}

/* A process that may only read the file cannot extend it: maps it again when another one has. */
static bool tend_reader(struct guarded *g)
{
    if (!atomic_load_explicit(&g->replaced, memory_order_relaxed) || is_short(g))
        return false;
    if (mmap(g->at, g->size, PROT_READ, MAP_SHARED | MAP_FIXED, g->fd, (off_t)page_size()) !=
        MAP_FAILED)
        atomic_store(&g->replaced, 0);
    return false;
}

/* The first process that notices a repair reports it. */
static bool tend(struct guarded *g, bool look)
{
    struct head there;

    if (g->read_only)
        return tend_reader(g);

    if (look && is_short(g) && ftruncate(g->fd, (off_t)(page_size() + g->size)) == 0)
        atomic_fetch_add(g->cut, 1);
    uint32_t cut = atomic_load_explicit(g->cut, memory_order_relaxed);
    uint32_t told = atomic_load_explicit(g->cut + 1, memory_order_relaxed);
    if (cut == told || !atomic_compare_exchange_strong(g->cut + 1, &told, cut))
        return false;
    bool whole = pread(g->fd, &there, sizeof there, 0) == (ssize_t)sizeof there;
    if (!whole || memcmp(&there, &g->head, sizeof there) != 0)
        whole = pwrite(g->fd, &g->head, sizeof g->head, 0) == (ssize_t)sizeof g->head;
    log_warn("%s was truncated while in use: its content is lost; %s", g->path,
             whole ? "still using the file" : "continuing in memory only");
    return true;
}

bool mapfile_tend(bool look)
{
    bool any = false;

    for (struct guarded *g = guarded; g < guarded + MAPFILE_GUARDED_MAX; g++)
        any |= g->at && tend(g, look);
    return any;
}

/* ---- opening ---- */

static int map(struct mapfile *m, int fd, const struct head *h)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *at = mmap(NULL, h->body_size, PROT_READ | PROT_WRITE, flags, fd,
                    fd < 0 ? 0 : (off_t)page_size());

    if (at == MAP_FAILED)
        return -errno;
    m->body = at;
    m->body_size = h->body_size;
    m->key = h->key;
    m->origin_ms = h->origin_ms;
    return 0;
}

/* What becomes of a mapping of this file: the end of each way to open one. */
static int finish(struct mapfile *m, const char *path, int fd, const struct head *h, bool sparse)
{
    int error = map(m, fd, h);

    if (fd >= 0 && !error)
        guard(m, fd, h, path);
    if (sparse && !error)
        m->fd = fd;
    else if (fd >= 0)
        close(fd);
    return error;
}

int mapfile_read_only(const struct mapfile *m)
{
    for (struct guarded *g = guarded; g < guarded + MAPFILE_GUARDED_MAX; g++) {
        if (!g->at || g->at != m->body)
            continue;
        if (g->read_only)
            return 0;
        int fd = shared_read_only(g->at, g->size, g->fd, (off_t)page_size());
        if (fd < 0)
            return fd;
        close(g->fd);
        g->fd = fd;
        g->read_only = true;
        return 0;
    }
    return -ENOENT;
}

size_t mapfile_descriptors(int fd[MAPFILE_GUARDED_MAX])
{
    size_t n = 0;

    for (const struct guarded *g = guarded; g < guarded + MAPFILE_GUARDED_MAX; g++)
        if (g->at)
            fd[n++] = g->fd;
    return n;
}

bool mapfile_is_one(int fd)
{
    struct stat st;
    struct head h;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && h.check == head_check(&h);
}

int mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                 size_t body_size)
{
    struct head h = {0};
    int fd = path ? open_existing(path, magic, version, body_size, false, &h) : -ENOENT;

    *m = (struct mapfile){.fd = -1};
    if (fd == -ENOENT) {
        int error = make_head(&h, magic, version, body_size);
        if (error)
            return error;
        m->fresh = 1;
        fd = path ? begin(path, &h) : -1;
        if (fd < 0 && path)
            return fd;
    } else if (fd < 0) {
        return fd;
    }
    return finish(m, path, fd, &h, false);
}

int mapfile_prepare(const char *path, const char magic[8], uint32_t version, size_t body_size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool empty = fd >= 0 && is_empty(fd);
    struct head h;

    if (fd >= 0)
        close(fd);
    if (empty)
        return 0;
    fd = open_existing(path, magic, version, body_size, true, &h);
    if (fd == -ENOENT)
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    else if (fd < 0)
        return fd;
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int mapfile_open_prepared(struct mapfile *m, const char *path, const char magic[8],
                          uint32_t version, size_t body_size)
{
    struct head h = {0};

    *m = (struct mapfile){.fd = -1};
    int fd = open_prepared(path, magic, version, body_size, m, &h);
    return fd < 0 ? fd : finish(m, path, fd, &h, true);
}

int mapfile_reserve(struct mapfile *m, size_t from, size_t octets)
{
    return m->fd < 0 ? 0 : -posix_fallocate(m->fd, (off_t)(page_size() + from), (off_t)octets);
}

size_t mapfile_present(const struct mapfile *m)
{
    struct stat st;

    if (m->fd < 0)
        return m->body_size;
    if (fstat(m->fd, &st) < 0 || (size_t)st.st_size < page_size())
        return 0;
    size_t size = (size_t)st.st_size - page_size();
    return size < m->body_size ? size : m->body_size;
}

void mapfile_trim(struct mapfile *m, size_t octets)
{
    if (m->fd >= 0 && octets < mapfile_present(m) &&
        ftruncate(m->fd, (off_t)(page_size() + octets)) < 0)
        log_warn("cannot truncate a state file: %s", strerror(errno));
}

void mapfile_close(struct mapfile *m)
{
    if (m->body) {
        unguard(m);
        munmap(m->body, m->body_size);
        if (m->fd >= 0)
            close(m->fd);
    }
    *m = (struct mapfile){.fd = -1};
}
