/* Whatever stands in a file of passwords, a check of one ends in yes, no or later. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/file.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    char path[64];
    int fd = memfd_create("passwd", MFD_CLOEXEC);

    if (!quiet) {
        log_to(memfd_create("log", MFD_CLOEXEC));
        quiet = true;
    }
    if (fd < 0 || size > 65536 || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct file_auth *f = file_auth_open(path, &(struct sipkey){1, 2}, NULL);
    if (f) {
        struct scram_secret secret;
        file_auth_check(f, SPAN("alice"), SPAN("secret"), 5000, NULL);
        file_auth_has_scram(f, 5000);
        file_auth_secret(f, SPAN("alice"), 5000, &secret, NULL);
        file_auth_close(f);
    }
    close(fd);
    return 0;
}
