"""Free ports and source addresses, never given out twice, whatever else runs tests on this machine.

Asking the kernel for a free port and closing it again is a race that tests side by side lose now and then, and
with SO_REUSEPORT losing means sharing a stranger's clients. So a port is locked as long as this process lives: the
octet of that number in a file, which takes one descriptor for all of them. Ports are below the range from which the
kernel picks clients' ports.
"""

import errno
import fcntl
import functools
import itertools
import os
import socket
import tempfile

FIRST, LAST = 20000, 32000
_given = set()
_next = itertools.cycle(range(FIRST, LAST))
for _ in range(os.getpid() * 37 % (LAST - FIRST)):
    next(_next)


@functools.cache
def _locks():
    """The file of the locks, which users share. It is opened once: to close any descriptor of it would free all."""
    folder = os.path.join(tempfile.gettempdir(), "mired-test-ports")
    before = os.umask(0)
    try:
        os.makedirs(folder, mode=0o777, exist_ok=True)
        return os.open(os.path.join(folder, "locks"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    finally:
        os.umask(before)


def _is_free(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def free():
    """A TCP port that nobody listens on, ours until this process ends."""
    for _ in range(LAST - FIRST):
        port = next(_next)
        if port in _given:  # a process does not exclude itself
            continue
        try:
            fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # a lock of another process
            continue
        if _is_free(port):
            _given.add(port)
            return port
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, port)
    raise RuntimeError("no free port")


_address = itertools.count(1)


def stranger():
    """A loopback address that has not been used yet, in a network (/24) that has not either.

    mired remembers clients and their networks, so a test that wants a clean sheet comes from here."""
    n = next(_address)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return f"127.{20 + worker * 20 + n // 250 % 20}.{1 + n % 250}.{1 + n // 5000 % 250}"


def accepted(listener):
    """The connections that come to it, until it is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        yield connection
