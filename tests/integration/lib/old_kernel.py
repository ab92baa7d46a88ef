"""Runs a program as on a kernel that lacks a part of the sandbox, or io_uring: old_kernel.py PART... -- PROGRAM [ARGUMENT...]

A filter of system calls answers in the kernel's place, as a kernel without that part does.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# landlock_create_ruleset(2) and io_uring_setup(2) have these numbers on all machines
LANDLOCK, IO_URING = 444, 425
PRCTL = {"x86_64": 157, "aarch64": 167}.get(platform.machine())
PR_GET_SECCOMP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 21, 22, 38
LOAD, JUMP, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, FIRST_ARGUMENT = 0, 16

ANSWERS = {
    "landlock": [(JUMP, 0, 1, LANDLOCK), (RETURN, 0, 0, ERRNO | errno.ENOSYS)],
    "io_uring": [(JUMP, 0, 1, IO_URING), (RETURN, 0, 0, ERRNO | errno.ENOSYS)],
    "seccomp": [
        (JUMP, 0, 3, PRCTL),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP, 0, 1, PR_GET_SECCOMP),
        (RETURN, 0, 0, ERRNO | errno.EINVAL),
        (LOAD, 0, 0, NUMBER),
    ],
}


def answer(parts):
    code = [(LOAD, 0, 0, NUMBER), *(step for part in parts for step in ANSWERS[part]), (RETURN, 0, 0, ALLOW)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    end = sys.argv.index("--")
    answer(sys.argv[1:end])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
