"""A clock that a test sets, for the processes that it starts."""

import mmap
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

from .mired import PROGRAM

LIBRARY = pathlib.Path(f"/usr/lib/{sys.implementation._multiarch}/faketime/libfaketime.so.1")


def _preload(library):
    """Ahead of mired's libraries, but behind a sanitizer's, which has to be the first."""
    needs = subprocess.run(["ldd", PROGRAM], stdout=subprocess.PIPE, text=True, check=True).stdout
    return "LD_PRELOAD=" + ":".join([*re.findall(r"=> (/\S+/lib[at]san\.\S+)", needs), str(library)])


class Clock:
    """A prefix for mired's command under which set() moves its wall clock. The monotonic clock goes on as it is, or
    jumps as well, if `monotonic`."""

    def __init__(self, folder, monotonic=False):
        folder.chmod(0o755)
        self.file = folder / "clock"
        self.set("+0")
        self.prefix = [
            "env", _preload(LIBRARY), f"FAKETIME_TIMESTAMP_FILE={self.file}", "FAKETIME_NO_CACHE=1",
            *([] if monotonic else ["FAKETIME_DONT_FAKE_MONOTONIC=1"]),
        ]  # fmt: skip

    def set(self, offset):
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.chmod(0o644)
        new.rename(self.file)


# libfaketime sets the clock that counts from the machine's start as well, as nobody can.
WALL = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile long *ahead_s;
static int (*read_clock)(clockid_t, struct timespec *);

static void begin(void)
{
    int fd = open(getenv("WALL_CLOCK"), O_RDONLY | O_CLOEXEC);
    ahead_s = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);
    if (ahead_s == MAP_FAILED)
        abort();
    read_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!read_clock) /* before any thread is there */
        begin();
    int r = read_clock(id, t);
    if (r == 0 && id == CLOCK_REALTIME)
        t->tv_sec += *ahead_s;
    return r;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *v, void *zone)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    *v = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}
"""
COMPILER = shutil.which("cc")


class WallClock:
    """A prefix under which set() moves the wall clock, and no other: somebody has set the time."""

    def __init__(self, folder):
        folder.chmod(0o755)
        file, library = folder / "wall", folder / "wall.so"
        file.write_bytes(struct.pack("l", 0))
        file.chmod(0o644)
        subprocess.run(
            [COMPILER, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", library, "-ldl"], input=WALL, text=True, check=True
        )
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        self.ahead = mmap.mmap(fd, struct.calcsize("l"))
        os.close(fd)
        self.prefix = ["env", _preload(library), f"WALL_CLOCK={file}"]

    def set(self, seconds):
        self.ahead[:] = struct.pack("l", seconds)
