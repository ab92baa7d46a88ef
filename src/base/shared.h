/* Memory that several processes share, and from which some of them can only read. */
#ifndef MIRED_BASE_SHARED_H
#define MIRED_BASE_SHARED_H

#include <stddef.h>
#include <sys/types.h>

/* Maps `size` octets of a new memory file, zero, shared with processes that are forked later.
 * Returns the mapping and its descriptor, or NULL and errno. */
void *shared_map(const char *name, size_t size, int *fd);

/* Maps the memory at `at` again in this process, so that it can only be read: also a later
 * mprotect() fails. `fd` and `offset` are the file's. Returns a descriptor that can only read it,
 * or -errno; then the memory may still be writable. Needs /proc; call it before the process is
 * confined. */
int shared_read_only(void *at, size_t size, int fd, off_t offset);

#endif
