/* Maildir: a message becomes one file in `new` of each mailbox, or of no mailbox.
 *
 * It is written once, into `tmp` of the first mailbox, and flushed to the disk; then each `new`
 * gets a hard link to it (a copy, where a mailbox is on another file system). A link, unlike a
 * rename, never replaces a file that is there. Each changed folder is flushed before the message
 * counts as safe, and so are the folders above it, unless this process has done that before. If a
 * mailbox fails, the links made so far are removed, and the folders flushed again: the sender will
 * retry, and no mailbox must get the message twice.
 *
 * The file in `tmp` needs no flush of its folder. If a kill or a power cut leaves it there, no reader
 * shows it, and leftovers.c removes it later.
 *
 * Runs in the store, in a thread of its own for each connection. Does not decide which recipients
 * exist. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/flush.h"
#include "base/log.h"
#include "store/maildir.h"

static uint64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void maildir_begin(struct maildir_message *m, int root, const char *host)
{
    static _Atomic uint32_t count;
    m->root = root;
    m->fd = -1;
    m->boxes = 0;
    m->box = NULL;
    m->size = 0;
    m->kept = 0;
    uint64_t now = wall_us();
    m->begun_s = (int64_t)(now / 1000000);
    message_name(now, getpid(), count++, host, m->name);
}

int maildir_add(struct maildir_message *m, struct span local, struct span domain)
{
    struct box_path box;
    box_path(&box, local, domain);
    for (size_t i = 0; i < m->boxes; i++)
        if (strcmp(m->box[i].text, box.text) == 0)
            return 0;
    struct box_path *more = reallocarray(m->box, m->boxes + 1, sizeof *more);
    if (!more)
        return -ENOMEM;
    m->box = more;
    m->box[m->boxes++] = box;
    return 0;
}

struct file_path {
    char text[sizeof(struct box_path) + 8 + MESSAGE_NAME];
};

static struct file_path path_in(const struct maildir_message *m, size_t box, const char *folder)
{
    struct file_path p;
    snprintf(p.text, sizeof p.text, "%s/%s/%s", m->box[box].text, folder, m->name);
    return p;
}

static int create_file(int root, const char *path)
{
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* If the mailbox exists, as it usually does, this is one system call. */
static int create_in_tmp(const struct maildir_message *m, size_t box)
{
    struct file_path tmp = path_in(m, box, "tmp");
    int fd = create_file(m->root, tmp.text);
    if (fd != -ENOENT)
        return fd;
    int error = box_make(m->root, &m->box[box]);
    return error ? error : create_file(m->root, tmp.text);
}

static int write_all(int fd, struct span octets)
{
    while (octets.len > 0) {
        ssize_t n = write(fd, octets.at, octets.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            octets = span_after(octets, (size_t)n);
    }
    return 0;
}

static int flush_pending(struct maildir_message *m)
{
    if (m->fd < 0) {
        int fd = create_in_tmp(m, 0);
        if (fd < 0)
            return fd;
        m->fd = fd;
    }
    int error = write_all(m->fd, (struct span){m->pending, m->kept});
    m->kept = 0;
    return error;
}

int maildir_write(struct maildir_message *m, struct span octets)
{
    m->size += octets.len;
    if (octets.len > sizeof m->pending - m->kept) {
        int error = flush_pending(m);
        if (error)
            return error;
        if (octets.len > sizeof m->pending)
            return write_all(m->fd, octets);
    }
    memcpy(m->pending + m->kept, octets.at, octets.len);
    m->kept += octets.len;
    return 0;
}

/* Copies the file into this mailbox's own tmp, for a mailbox on another file system. */
static int copy_to_tmp(const struct maildir_message *m, size_t box)
{
    struct file_path source = path_in(m, 0, "tmp");
    int in = openat(m->root, source.text, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return -errno;
    int out = create_in_tmp(m, box), error = out < 0 ? out : 0;
    char block[16 * 1024];
    ssize_t n = 0;
    while (!error && (n = read(in, block, sizeof block)) > 0)
        error = write_all(out, (struct span){block, (size_t)n});
    if (!error && (n < 0 || fsync(out) < 0))
        error = -errno;
    if (out >= 0)
        close(out);
    close(in);
    return error;
}

static int link_path(int root, struct file_path from, struct file_path to)
{
    return linkat(root, from.text, root, to.text, 0) < 0 ? -errno : 0;
}

static int deliver_copy(struct maildir_message *m, size_t box, struct file_path new)
{
    struct file_path tmp = path_in(m, box, "tmp");
    int error = copy_to_tmp(m, box);
    if (!error)
        error = link_path(m->root, tmp, new);
    unlinkat(m->root, tmp.text, 0);
    return error;
}

/* `new` of a mailbox. */
static struct file_path folder_of(const struct maildir_message *m, size_t box)
{
    struct file_path p;
    snprintf(p.text, sizeof p.text, "%s/new", m->box[box].text);
    return p;
}

/* Removes the file from a mailbox's `new`. Without the flush a power cut could bring it back, after
 * the sender has been told to retry. */
static void take_back(const struct maildir_message *m, size_t box)
{
    struct file_path new = path_in(m, box, "new"), folder = folder_of(m, box);
    int error = unlinkat(m->root, new.text, 0) < 0 ? -errno : flush_folder(m->root, folder.text);
    if (error)
        log_warn("a message may be in this mailbox twice: cannot remove %s for good: %s", new.text,
                 strerrordesc_np(-error));
}

/* Puts the file into one mailbox's `new`, and flushes that and what leads to it. */
static int deliver(struct maildir_message *m, size_t box)
{
    struct file_path tmp = path_in(m, 0, "tmp"), new = path_in(m, box, "new");
    int error = link_path(m->root, tmp, new);
    if (error == -ENOENT) {
        error = box_make(m->root, &m->box[box]);
        if (!error)
            error = link_path(m->root, tmp, new);
    }
    if (error == -EXDEV)
        error = deliver_copy(m, box, new);
    if (error)
        return error;
    struct file_path folder = folder_of(m, box);
    error = flush_folder(m->root, folder.text);
    if (!error)
        error = box_flush(m->root, &m->box[box]);
    if (error)
        take_back(m, box);
    return error;
}

int maildir_commit(struct maildir_message *m)
{
    int error = flush_pending(m);
    if (!error && fsync(m->fd) < 0)
        error = -errno;
    size_t delivered = 0;
    while (!error && delivered < m->boxes) {
        error = deliver(m, delivered);
        if (!error)
            delivered++;
    }
    for (size_t i = 0; i < delivered; i++)
        if (error)
            take_back(m, i);
        else
            box_clean(m->root, &m->box[i], m->begun_s);
    maildir_drop(m);
    return error;
}

void maildir_drop(struct maildir_message *m)
{
    if (m->fd >= 0) {
        struct file_path tmp = path_in(m, 0, "tmp");
        unlinkat(m->root, tmp.text, 0);
        close(m->fd);
    }
    m->fd = -1;
    free(m->box);
    m->box = NULL;
    m->boxes = 0;
}
