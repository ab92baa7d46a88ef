/* Flushing a folder's entries; see flush.h. */
#include "base/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int flush_folder(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}
