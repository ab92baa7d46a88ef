"""What the real servers of the tests have in common: a folder of their own, a foreground process, an end."""

import os
import signal

import pytest

from . import temporary
from .daemon import Daemon


class Service:
    """A server of Debian's that a test runs for itself. A subclass writes its configuration below `folder` in its
    constructor and calls run() in start(). The test is skipped where the program is missing, or root is needed."""

    def __init__(self, name, program, root=False):
        if not os.path.exists(program):
            pytest.skip(f"{name} is not installed")
        if root and os.geteuid() != 0:
            pytest.skip(f"{name} takes a user of its own as root only")
        self.folder = temporary.folder(f"{name.lower()}-")
        self.daemon = None

    def run(self, arguments, port=None, **wait):
        """Starts the process and, with a port, waits until it serves there."""
        self.daemon = Daemon(arguments)
        if port:
            self.daemon.wait_listening(port, **wait)
        return self

    def pause(self):
        self.daemon.signal(signal.SIGSTOP)

    def go_on(self):
        self.daemon.signal(signal.SIGCONT)

    def kill(self):
        self.daemon.signal(signal.SIGKILL)
        self.daemon.process.wait()

    def stop(self):
        if self.daemon:
            if self.daemon.running:
                self.go_on()  # a stopped process does not hear the end
            self.daemon.stop()
        self.daemon = None

    def remove(self):
        temporary.remove(self.folder)
