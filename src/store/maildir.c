/* Maildir: a message becomes one file in `new` of each mailbox that takes it.
 *
 * It is written once, into `tmp` of one of its mailboxes (the holder), and flushed to the disk; then
 * each `new` gets a hard link to it (a copy, where a mailbox is on another file system). A link,
 * unlike a rename, never replaces a file that is there. Each changed folder is flushed before the
 * message counts as safe, and so are the folders above it, unless this process has done that before.
 *
 * A mailbox that fails does not concern the others. If it is the holder, another mailbox becomes it,
 * and gets what has been written so far. If its new link cannot be flushed, the link is removed, and
 * the folder flushed again: the sender will retry, and no mailbox must get the message twice. Only
 * if the whole file cannot be flushed do all mailboxes fail, because nothing is known of its octets
 * then; the next message has another holder.
 *
 * The file in `tmp` needs no flush of its folder. If a kill or a power cut leaves it there, no reader
 * shows it, and leftovers.c removes it later.
 *
 * Any call on a mailbox may hang. So each is registered with jams.c, which refuses mailboxes that hang;
 * and another thread may give a mailbox up at any moment, by its `state`.
 *
 * Runs in the store, in the threads of courier.c. Does not decide which recipients exist. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/flush.h"
#include "base/log.h"
#include "store/jams.h"
#include "store/maildir.h"
#include "store/twin.h"

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
    m->holder = m->boxes = 0;
    m->box = NULL;
    m->written = m->size = 0;
    m->kept = 0;
    m->copies = 0;
    m->again = false;
    m->moved_ms = clock_mono_ms();
    uint64_t now = wall_us();
    m->begun_s = (int64_t)(now / 1000000);
    message_name(now, getpid(), count++, host, m->name);
}

int maildir_add(struct maildir_message *m, struct span local, struct span domain)
{
    struct maildir_box box = {.error = 0};
    box_path(&box.path, local, domain);
    for (size_t i = 0; i < m->boxes; i++)
        if (strcmp(m->box[i].path.text, box.path.text) == 0)
            return (int)i;
    struct maildir_box *more = reallocarray(m->box, m->boxes + 1, sizeof *more);
    if (!more)
        return -ENOMEM;
    m->box = more;
    m->box[m->boxes] = box;
    return (int)m->boxes++;
}

/* ---- calls that may hang ---- */

static bool enter(struct maildir_message *m, size_t box, bool must, struct jam *j)
{
    uint64_t now = clock_mono_ms();
    atomic_store(&m->moved_ms, now);
    return jam_enter(j, &m->box[box].path, must, now);
}

static void leave(struct maildir_message *m, struct jam *j, bool stored)
{
    uint64_t now = clock_mono_ms();
    atomic_store(&m->moved_ms, now);
    jam_leave(j, stored, now);
}

struct file_path {
    char text[sizeof(struct box_path) + 8 + MESSAGE_NAME];
};

static struct file_path path_in(const struct maildir_message *m, size_t box, const char *folder)
{
    struct file_path p;
    snprintf(p.text, sizeof p.text, "%s/%s/%s", m->box[box].path.text, folder, m->name);
    return p;
}

static int create_file(int root, const char *path)
{
    int fd = openat(root, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* If the mailbox exists, as it usually does, this is one system call. */
static int create_in_tmp(const struct maildir_message *m, size_t box)
{
    struct file_path tmp = path_in(m, box, "tmp");
    int fd = create_file(m->root, tmp.text);
    if (fd != -ENOENT)
        return fd;
    int error = box_make(m->root, &m->box[box].path);
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

/* Copies the octets that the message has in `from`. *lost: they cannot be read, which is not the fault
 * of `to`. */
static int copy_octets(const struct maildir_message *m, int from, int to, bool *lost)
{
    char block[16 * 1024];
    uint64_t at = 0;
    int error = 0;
    while (!error && at < m->written) {
        uint64_t left = m->written - at;
        ssize_t n = pread(from, block, left < sizeof block ? left : sizeof block, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        *lost = n <= 0;
        error = n < 0 ? -errno : n == 0 ? -EIO : write_all(to, (struct span){block, (size_t)n});
        at += n > 0 ? (uint64_t)n : 0;
    }
    return error;
}

/* ---- the holder ---- */

static void remove_from_tmp(const struct maildir_message *m, size_t box)
{
    struct file_path tmp = path_in(m, box, "tmp");
    unlinkat(m->root, tmp.text, 0);
}

static void fail_as_holder(struct maildir_message *m, size_t box, int error)
{
    m->box[box].error = error;
    box_shun(&m->box[box].path);
}

/* Makes this mailbox the holder, whose file has the octets that are in `from` (-1: none yet). *lost as
 * in copy_octets(). */
static int hold_now(struct maildir_message *m, size_t box, int from, bool *lost)
{
    int fd = create_in_tmp(m, box);
    if (fd < 0)
        return fd;
    int error = copy_octets(m, from, fd, lost);
    if (error) {
        remove_from_tmp(m, box);
        close(fd);
        return error;
    }
    m->fd = fd;
    m->holder = box;
    return 0;
}

static int hold_in(struct maildir_message *m, size_t box, int from, bool *lost)
{
    struct jam j;
    if (!enter(m, box, false, &j))
        return -EBUSY;
    int error = hold_now(m, box, from, lost);
    leave(m, &j, false);
    return error;
}

/* The file has failed, and with it all mailboxes that have not failed before. */
static void fail_all(struct maildir_message *m, int error)
{
    for (size_t i = 0; i < m->boxes; i++)
        if (!m->box[i].error)
            m->box[i].error = error;
}

enum { COPIES_MOST = 8 };

static bool is_asked_last(const struct maildir_message *m, size_t box)
{
    const struct box_path *path = &m->box[box].path;
    return box_is_shunned(path) || jam_is_doubtful(path, clock_mono_ms());
}

/* Finds a holder; those that have failed as holders before, or hung, are asked last. Returns 0, or the
 * error of the last, which is `error` if no mailbox is left. Each take-over may copy the whole message,
 * so there are few: the sender's next try begins with other mailboxes. */
static int find_holder(struct maildir_message *m, int from, int error)
{
    bool lost = false;
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < m->boxes; i++) {
            if (m->box[i].error || (!last && is_asked_last(m, i)))
                continue;
            if (from >= 0 && m->copies++ == COPIES_MOST)
                return error;
            error = hold_in(m, i, from, &lost);
            if (!error)
                return 0;
            if (lost)
                return error;
            if (error == -EBUSY)
                m->box[i].error = error;
            else
                fail_as_holder(m, i, error);
        }
    return error;
}

/* The holder has failed: another mailbox takes over its file. */
static int replace_holder(struct maildir_message *m, int why)
{
    int from = m->fd;
    size_t failed = m->holder;
    fail_as_holder(m, failed, why);
    m->fd = -1;
    int error = find_holder(m, from, why);
    remove_from_tmp(m, failed);
    close(from);
    return error;
}

static int write_out(struct maildir_message *m, struct span octets)
{
    int error = m->fd < 0 ? find_holder(m, -1, -EIO) : 0;
    while (!error) {
        struct jam j;
        (void)enter(m, m->holder, true, &j);
        int failed = write_all(m->fd, octets);
        leave(m, &j, false);
        if (!failed) {
            m->written += octets.len;
            return 0;
        }
        error = replace_holder(m, failed);
    }
    /* what comes later must find no holder: it would be a part of the message */
    fail_all(m, error);
    return error;
}

int maildir_flush(struct maildir_message *m)
{
    int error = write_out(m, (struct span){m->pending, m->kept});
    m->kept = 0;
    return error;
}

size_t maildir_keep(struct maildir_message *m, struct span octets)
{
    octets = span_first(octets, sizeof m->pending - m->kept);
    if (octets.len > 0) /* an empty span may have a null pointer */
        memcpy(m->pending + m->kept, octets.at, octets.len);
    m->kept += octets.len;
    m->size += octets.len;
    return octets.len;
}

/* ---- into `new` ---- */

/* Copies the file into this mailbox's own tmp, for a mailbox on another file system. */
static int copy_to_tmp(const struct maildir_message *m, size_t box)
{
    bool lost;
    int out = create_in_tmp(m, box), error = out < 0 ? out : copy_octets(m, m->fd, out, &lost);
    if (!error && fsync(out) < 0)
        error = -errno;
    if (out >= 0)
        close(out);
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
    remove_from_tmp(m, box);
    return error;
}

/* `new` of a mailbox. */
static struct file_path folder_of(const struct maildir_message *m, size_t box)
{
    struct file_path p;
    snprintf(p.text, sizeof p.text, "%s/new", m->box[box].path.text);
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

/* A store that was killed may have put the message into this mailbox, and not flushed the folder. True:
 * it has, and *error says whether that is safe now. If it cannot be found out, the sender retries. */
static bool has_twin(const struct maildir_message *m, size_t box, int *error)
{
    struct twin twin;
    int found = twin_find(m->root, &m->box[box].path, m->fd, m->written, m->begun_s, &twin);
    if (found == 0)
        return false;
    *error = found < 0 ? found : flush_folder(m->root, twin.folder);
    if (!*error)
        *error = box_flush(m->root, &m->box[box].path);
    if (found > 0 && !*error)
        log_info("%s/%s was there already when its store was killed", twin.folder, twin.name);
    return true;
}

/* Puts the file into one mailbox's `new`, and flushes that and what leads to it. */
static int deliver_now(struct maildir_message *m, size_t box)
{
    int known = 0;
    if (m->again && has_twin(m, box, &known))
        return known;
    struct file_path tmp = path_in(m, m->holder, "tmp"), new = path_in(m, box, "new");
    int error = link_path(m->root, tmp, new);
    if (error == -ENOENT) {
        error = box_make(m->root, &m->box[box].path);
        if (!error)
            error = link_path(m->root, tmp, new);
    }
    if (error == -EXDEV || error == -ENOENT) /* or the holder's folders are gone */
        error = deliver_copy(m, box, new);
    if (error)
        return error;
    struct file_path folder = folder_of(m, box);
    error = flush_folder(m->root, folder.text);
    if (!error)
        error = box_flush(m->root, &m->box[box].path);
    if (error)
        take_back(m, box);
    return error;
}

/* Flushes the file. After an error the kernel may count pages as written that are not, so nobody may
 * get a copy of it (fsync(2)). */
static int flush_file(struct maildir_message *m)
{
    struct jam j;
    (void)enter(m, m->holder, true, &j);
    int error = fsync(m->fd) == 0 ? 0 : -errno;
    leave(m, &j, false);
    if (!error)
        return 0;
    fail_as_holder(m, m->holder, error);
    if (m->boxes > 1)
        log_warn("cannot flush a message in %s/tmp, which is for %zu mailboxes: %s",
                 m->box[m->holder].path.text, m->boxes, strerrordesc_np(-error));
    return error;
}

/* Changes a mailbox's state, unless another thread has. */
static bool change(struct maildir_box *box, int from, int to)
{
    return atomic_compare_exchange_strong(&box->state, &from, to);
}

void maildir_prepare(struct maildir_message *m)
{
    int error = maildir_flush(m);
    if (!error)
        error = flush_file(m);
    if (error)
        fail_all(m, error);
}

/* Delivers to a mailbox that this thread has taken. If it has been given up meanwhile, because this
 * took too long, its sender will try again. Returns its outcome. */
static int deliver_to(struct maildir_message *m, size_t i)
{
    struct maildir_box *box = &m->box[i];
    struct jam j;
    if (!enter(m, i, false, &j)) {
        box->error = -EBUSY;
        (void)change(box, MAILDIR_TAKEN, MAILDIR_DONE);
        return -EBUSY;
    }
    int error = deliver_now(m, i);
    box->error = error;
    bool in_time = change(box, MAILDIR_TAKEN, MAILDIR_DONE);
    if (!in_time && !error)
        take_back(m, i);
    leave(m, &j, in_time && !error);
    return in_time ? error : -ETIMEDOUT;
}

static void clean_box(struct maildir_message *m, size_t i)
{
    struct jam j;
    (void)enter(m, i, true, &j);
    box_clean(m->root, &m->box[i].path, m->begun_s);
    leave(m, &j, false);
}

static void deliver(struct maildir_message *m, size_t i)
{
    struct maildir_box *box = &m->box[i];
    if (!change(box, MAILDIR_OPEN, MAILDIR_TAKEN))
        return;
    if (box->error) {
        (void)change(box, MAILDIR_TAKEN, MAILDIR_DONE);
        return;
    }
    if (deliver_to(m, i) == 0) {
        box_trust(&box->path);
        clean_box(m, i);
    }
}

void maildir_deliver(struct maildir_message *m)
{
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < m->boxes; i++)
            if (last || !jam_is_doubtful(&m->box[i].path, clock_mono_ms()))
                deliver(m, i);
}

void maildir_give_up(struct maildir_message *m)
{
    for (size_t i = 0; i < m->boxes; i++)
        if (!change(&m->box[i], MAILDIR_OPEN, MAILDIR_GIVEN_UP))
            (void)change(&m->box[i], MAILDIR_TAKEN, MAILDIR_GIVEN_UP);
}

bool maildir_is_over(const struct maildir_message *m)
{
    for (size_t i = 0; i < m->boxes; i++)
        if (atomic_load(&m->box[i].state) < MAILDIR_DONE)
            return false;
    return true;
}

int maildir_error(const struct maildir_message *m, size_t box)
{
    if (atomic_load(&m->box[box].state) == MAILDIR_GIVEN_UP)
        return -ETIMEDOUT;
    return m->box[box].error;
}

const char *maildir_path(const struct maildir_message *m, size_t box)
{
    return m->box[box].path.text;
}

void maildir_clean(struct maildir_message *m)
{
    struct jam j;
    if (m->fd < 0)
        return;
    (void)enter(m, m->holder, true, &j);
    remove_from_tmp(m, m->holder);
    close(m->fd);
    leave(m, &j, false);
    m->fd = -1;
}

void maildir_drop(struct maildir_message *m)
{
    maildir_clean(m);
    free(m->box);
    m->box = NULL;
    m->boxes = 0;
}
