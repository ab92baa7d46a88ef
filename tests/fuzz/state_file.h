/* For fuzz targets of state files: a folder of the target's own, and a file that the input damages.
 *
 * The first octet says how: 0 makes the rest of the input the whole file. Otherwise the file is one
 * that mired itself wrote, and the rest is a list of changes: two octets of position (in words of
 * eight octets behind the first page, where the body begins), one octet of length, and the octets.
 * So a mutation reaches the records without having to guess a header first. */
#ifndef MIRED_FUZZ_STATE_FILE_H
#define MIRED_FUZZ_STATE_FILE_H

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

enum { STATE_FILE_PAGE = 4096 };

static char state_folder[] = "/tmp/fuzz-state.XXXXXX";
static char state_path[64], state_aside[80];

static inline void state_remove_all(void)
{
    unlink(state_path);
    unlink(state_aside);
    rmdir(state_folder);
}

static inline void state_prepare(void)
{
    static int done;

    if (done++)
        return;
    if (!mkdtemp(state_folder))
        abort();
    snprintf(state_path, sizeof state_path, "%s/file", state_folder);
    snprintf(state_aside, sizeof state_aside, "%s/file.set-aside", state_folder);
    atexit(state_remove_all);
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

/* Makes the damaged file; `write_good` writes the undamaged one to state_path. */
static inline void state_damage(const uint8_t *data, size_t size, void (*write_good)(void))
{
    state_prepare();
    unlink(state_path);
    unlink(state_aside);
    if (data[0] != 0)
        write_good();
    int fd = open(state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert(fd >= 0);
    off_t end = lseek(fd, 0, SEEK_END);
    for (size_t at = 1; data[0] != 0 && at + 3 <= size;) {
        off_t to = STATE_FILE_PAGE + (off_t)(data[at] | data[at + 1] << 8) * 8;
        size_t len = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
        if (to + (off_t)len <= end)
            assert(pwrite(fd, data + at + 3, len, to) == (ssize_t)len);
        at += 3 + len;
    }
    if (data[0] == 0)
        assert(pwrite(fd, data + 1, size - 1, 0) == (ssize_t)(size - 1));
    close(fd);
}

#endif
