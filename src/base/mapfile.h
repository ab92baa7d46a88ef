/* Files of a fixed size that several processes map and that outlive them all: the ledger, what has
 * been settled, frozen holds.
 *
 * A file opens with one page: magic, the version of its layout, its size, a random host key and a
 * check over these. One that does not fit (another version, size or magic, a damaged header, not
 * ours) is renamed to NAME.set-aside with a warning, and a new one is begun: mired starts in any
 * case.
 *
 * A file that somebody cuts short while it is mapped (a restored backup, `> ledger`) would kill
 * with SIGBUS whoever touches it next, and each one begun after. It is mended instead, where it is:
 * stretched to its size again, so that all who map it share what is left and zeros behind it, or,
 * where the disk has no room, with memory of this process's own. Nobody dies, and mapfile_tend()
 * tells of it. So whoever keeps anything in such a file must take zeros for "nothing is known". */
#ifndef MIRED_BASE_MAPFILE_H
#define MIRED_BASE_MAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

struct mapfile {
    void *body; /* page-aligned, body_size octets, shared between all who map it */
    size_t body_size;
    struct sipkey key;           /* this file's own, made when it was begun */
    uint64_t origin_ms;          /* wall time at which it was begun */
    int fresh;                   /* 1 when this call began it (all zero) */
    int fd;                      /* private: of a sparse one, else -1 */
    const _Atomic uint32_t *cut; /* how often the file has been mended, by any process; or NULL */
};

enum { MAPFILE_GUARDED_MAX = 16 }; /* files that one process maps; more are not mended */

/* Opens or begins `path`, whose body has `body_size` octets. `magic` names the kind, 8 octets. path
 * NULL: an anonymous mapping, shared with children only. Returns 0 or -errno (the folder cannot be
 * written, no memory). Call it before the processes that share it are started. */
int mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                 size_t body_size);

/* The same for a file that grows into its size: it is as long as mapfile_reserve() has made it,
 * which must come before the first touch there (what lies beyond the file's end kills who reads
 * it). One process uses it. */
int mapfile_open_sparse(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                        size_t body_size);

/* Space on the disk for these octets of a sparse file's body: 0, or -ENOSPC and kin. */
int mapfile_reserve(struct mapfile *m, size_t from, size_t octets);

/* Warns of files that have been cut short and mended, and makes their heads good again. With `look`
 * files that are short and that nobody has touched yet are found, too. Cheap without it: for each
 * turn of a loop. True when there was one. */
bool mapfile_tend(bool look);

/* Descriptors that mending needs, for who closes all that a child does not need: how many. */
size_t mapfile_descriptors(int fd[MAPFILE_GUARDED_MAX]);

/* Whether the open file has the head of a mapped file, of whatever kind. */
bool mapfile_is_one(int fd);

/* How many octets of the body can be touched. */
size_t mapfile_present(const struct mapfile *m);

/* Makes a sparse file as short as that; what is beyond it must not be touched any more. */
void mapfile_trim(struct mapfile *m, size_t octets);

void mapfile_close(struct mapfile *m);

#endif
