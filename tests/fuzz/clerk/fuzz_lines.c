/* Whatever stands in a file of recipients: it is read or refused, and any line that was read is
 * found again. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "directory/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    char path[64];
    int fd = memfd_create("recipients", MFD_CLOEXEC);

    if (!quiet) {
        log_to(memfd_create("log", MFD_CLOEXEC));
        quiet = true;
    }
    if (fd < 0 || size > 65536 || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct file_directory *f = file_directory_open(path);
    if (f) {
        file_directory_has(f, SPAN("alice@example.test"), 5000);
        file_directory_has(f, (struct span){(const char *)data, size < 300 ? size : 300}, 5000);
        file_directory_close(f);
    }
    close(fd);
    return 0;
}
