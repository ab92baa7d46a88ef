/* Shared memory with readers; see shared.h. */
#include "base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void *shared_map(const char *name, size_t size, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd < 0)
        return NULL;
    void *at = ftruncate(*fd, (off_t)size) < 0
                   ? MAP_FAILED
                   : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (at != MAP_FAILED)
        return at;
    int error = errno;
    close(*fd);
    *fd = -1;
    errno = error;
    return NULL;
}

/* A descriptor that was opened for reading makes a mapping that the kernel never lets be written;
 * a copy of a descriptor would not. */
int shared_read_only(void *at, size_t size, int fd, off_t offset)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    if (mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, own, offset) == MAP_FAILED) {
        int error = -errno;
        close(own);
        return error;
    }
    return own;
}
