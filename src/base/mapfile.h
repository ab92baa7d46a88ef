/* Files of a fixed size that several processes map and that outlive them all: the ledger, partial
 * deliveries, frozen holds.
 *
 * A file opens with one page: magic, the version of its layout, its size, a random host key and a
 * check over these. A file that does not match (another version, size, magic or owner, a damaged
 * header) is renamed to NAME.set-aside with a warning, and a new one takes its place: mired always
 * starts.
 *
 * If a mapped file is truncated (a restored backup, `> ledger`), the next process to touch it would
 * get SIGBUS, and so would its successors. The SIGBUS handler repairs the file in place: it extends
 * the file to its size again, so that all processes share what is left, followed by zeros; if the
 * disk has no room, it maps private memory instead. No process dies, and mapfile_tend() reports the
 * repair. So all data in such files must read zeros as "nothing is known". */
#ifndef MIRED_BASE_MAPFILE_H
#define MIRED_BASE_MAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

struct mapfile {
    void *body; /* page-aligned, body_size octets, shared between all processes that map it */
    size_t body_size;
    struct sipkey key;           /* this file's own, made when it was begun */
    uint64_t origin_ms;          /* wall time at which it was begun */
    int fresh;                   /* 1 when this call began it (all zero) */
    int fd;                      /* private: of a sparse one, else -1 */
    const _Atomic uint32_t *cut; /* how often any process has repaired the file; or NULL */
};

enum { MAPFILE_GUARDED_MAX = 16 }; /* files that one process maps; further files are not repaired */

/* Opens or begins `path`, whose body has `body_size` octets. `magic` names the kind, 8 octets. path
 * NULL: an anonymous mapping, shared with children only. Returns 0 or -errno (the folder cannot be
 * written, no memory). Call it before the processes that share it are started. */
int mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                 size_t body_size);

/* The same for a sparse file, which grows into its size: it is as long as mapfile_reserve() has made
 * it, which must come before the first touch there (an access beyond the file's end kills the
 * process). Only one process may use it. In two steps, because the process may give up the right to
 * make, rename and remove files in between: mapfile_prepare() makes an empty file if there is none,
 * and sets one aside that does not fit; the file must not be in use. mapfile_open_prepared() opens
 * what it has left, and begins it if it is empty. Both return 0 or -errno; the latter -ESTALE, and
 * changes nothing, if the file does not fit. */
int mapfile_prepare(const char *path, const char magic[8], uint32_t version, size_t body_size);
int mapfile_open_prepared(struct mapfile *m, const char *path, const char magic[8],
                          uint32_t version, size_t body_size);

/* Whether `path` is a file of this kind and version, with a header that is not damaged. */
bool mapfile_is(const char *path, const char magic[8], uint32_t version);

/* Space on the disk for these octets of a sparse file's body: 0, or -ENOSPC and kin. */
int mapfile_reserve(struct mapfile *m, size_t from, size_t octets);

/* Logs a warning for each file that was truncated and repaired, and restores its head. With `look`
 * it also finds truncated files that no process has touched yet. Cheap without `look`: call it in
 * each turn of a loop. True when it found one. */
bool mapfile_tend(bool look);

/* Maps the file again, so that this process can only read it (base/shared.h). Other processes repair
 * it if it is truncated, and this one maps it again at its next mapfile_tend(). Does nothing if that
 * was done before. Returns 0 or -errno: the mapping may still be writable. */
int mapfile_read_only(const struct mapfile *m);

/* Writes the descriptors that repairs need, so that a child keeps them open; returns their number.
 */
size_t mapfile_descriptors(int fd[MAPFILE_GUARDED_MAX]);

/* Whether the open file has the head of a mapped file of any kind. */
bool mapfile_is_one(int fd);

/* The number of octets of the body that can be accessed. */
size_t mapfile_present(const struct mapfile *m);

/* Truncates a sparse file's body to `octets`; the rest must not be accessed any more. */
void mapfile_trim(struct mapfile *m, size_t octets);

void mapfile_close(struct mapfile *m);

#endif
