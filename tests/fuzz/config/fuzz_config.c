/* Whatever stands in mired.conf, it is read or refused with words. What it names is only looked at,
 * and files that it includes are not: an include would make the run depend on this machine. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct buf said = {0};
    char path[64];

    if (size > 4096 || memmem(data, size, "include", 7))
        return 0;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (config_read(path, &config, &said) == 0)
        config_free(config);
    else
        assert(said.len > 0 && said.at[said.len - 1] == '\n');
    buf_free(&said);
    close(fd);
    return 0;
}
