/* Mailboxes on the disk; see box.h. Runs in the store, in its threads. Does not decide which
 * mailboxes there may be. */
#include "store/box.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/flush.h"
#include "base/log.h"
#include "base/siphash.h"
#include "store/leftovers.h"

void box_path(struct box_path *box, struct span local, struct span domain)
{
    char first[FOLDER_NAME], second[FOLDER_NAME];
    folder_name(domain, first);
    folder_name(local, second);
    snprintf(box->text, sizeof box->text, "%s/%s", first, second);
}

/* Mailboxes whose folders this process has flushed, with those above them. A folder that exists
 * need not survive a power cut: another thread may have made it a moment ago, or a store that was
 * killed. A place has the hash of one mailbox; another one with the same place takes it over, and
 * the first is flushed again with its next message. */
enum { FLUSHED = 4096 };
static _Atomic uint64_t flushed[FLUSHED];

uint64_t box_hash(struct span path)
{
    static const struct sipkey key = {0}; /* nobody gains by two mailboxes with the same hash */
    return siphash(&key, path.at, path.len) | 1;
}

static uint64_t hash_of(const struct box_path *box)
{
    return box_hash(span_of(box->text));
}

static int make_folder(int root, const char *path)
{
    return mkdirat(root, path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static void domain_of(const struct box_path *box, char domain[FOLDER_NAME])
{
    size_t len = strcspn(box->text, "/");

    if (len >= FOLDER_NAME) /* never: folder_name() has made it */
        len = FOLDER_NAME - 1;
    memcpy(domain, box->text, len);
    domain[len] = '\0';
}

int box_make(int root, const struct box_path *box)
{
    static const char *const inner[] = {"tmp", "new", "cur"};
    char domain[FOLDER_NAME], path[sizeof box->text + 8];
    uint64_t hash = hash_of(box), known = hash;
    /* before a folder is made: another thread that finds it flushes it, too */
    atomic_compare_exchange_strong(&flushed[hash / 2 % FLUSHED], &known, 0);
    domain_of(box, domain);
    int error = make_folder(root, domain);
    if (!error)
        error = make_folder(root, box->text);
    for (size_t i = 0; !error && i < sizeof inner / sizeof *inner; i++) {
        snprintf(path, sizeof path, "%s/%s", box->text, inner[i]);
        error = make_folder(root, path);
    }
    return error;
}

int box_flush(int root, const struct box_path *box)
{
    char domain[FOLDER_NAME];
    uint64_t hash = hash_of(box);
    if (atomic_load(&flushed[hash / 2 % FLUSHED]) == hash)
        return 0;
    domain_of(box, domain);
    int error = flush_folder(root, ".");
    if (!error)
        error = flush_folder(root, domain);
    if (!error)
        error = flush_folder(root, box->text);
    if (!error)
        atomic_store(&flushed[hash / 2 % FLUSHED], hash);
    return error;
}

/* Places as above. */
static _Atomic uint64_t shunned[FLUSHED];

void box_shun(const struct box_path *box)
{
    uint64_t hash = hash_of(box);
    atomic_store(&shunned[hash / 2 % FLUSHED], hash);
}

void box_trust(const struct box_path *box)
{
    uint64_t hash = hash_of(box);
    atomic_compare_exchange_strong(&shunned[hash / 2 % FLUSHED], &hash, 0);
}

bool box_is_shunned(const struct box_path *box)
{
    uint64_t hash = hash_of(box);
    return atomic_load(&shunned[hash / 2 % FLUSHED]) == hash;
}

/* The mailboxes whose leftovers this process has removed, each with the day. Places as above. */
static _Atomic uint64_t cleaned[FLUSHED];

void box_clean(int root, const struct box_path *box, int64_t now_s)
{
    uint64_t hash = hash_of(box), day = (uint64_t)now_s / 86400 & 0xffff;
    uint64_t done = (hash & ~UINT64_C(0xffff)) | day;
    if (atomic_exchange(&cleaned[hash / 2 % FLUSHED], done) == done)
        return;
    unsigned removed = leftovers_remove(root, box->text, now_s);
    if (removed)
        log_info("removed %u files that a delivery had left in %s/tmp", removed, box->text);
}
