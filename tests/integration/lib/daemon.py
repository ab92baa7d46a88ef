"""A program under test as a child of the test: its output is read as it comes, and it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

from . import processes
from .waiting import PATIENCE

REPORTS = re.compile(r"(Address|Leak|Thread|Memory)Sanitizer|runtime error:|Assertion .* failed")


LEAVING = 10  # seconds that processes have to end after the one that started them


class Output:
    """Lines of a pipe, gathered by a thread; a test waits for one instead of sleeping."""

    def __init__(self, pipe):
        self.lines = []
        self.ended = False
        self._pipe = pipe
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._pipe:
            for raw in self._pipe:
                with self._news:
                    self.lines.append(raw.decode("utf-8", "backslashreplace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()

    @property
    def text(self):
        with self._news:
            return "\n".join(self.lines)

    def mark(self):
        """A place in the output, for wait(since=)."""
        with self._news:
            return len(self.lines)

    def wait(self, pattern, timeout=PATIENCE, since=0):
        """The first line from `since` on that matches, now or soon."""
        wanted = re.compile(pattern)
        end = time.monotonic() + timeout
        with self._news:
            at = since
            while True:
                for at in range(at, len(self.lines)):
                    if wanted.search(self.lines[at]):
                        return self.lines[at]
                at = len(self.lines)
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError(f"no line like {pattern!r} came in {timeout} s")
                self._news.wait(left)

    def wait_end(self, timeout=PATIENCE):
        self._thread.join(timeout)
        return self.ended


class Daemon:
    """A foreground server in a session of its own, stopped by id."""

    def __init__(self, arguments, **options):
        self.process = subprocess.Popen(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        self.pid = self.process.pid
        self.output = Output(self.process.stdout)

    @property
    def running(self):
        return self.process.poll() is None

    def wait_listening(self, port, timeout=PATIENCE, host="127.0.0.1", source=None, greets=True):
        """Waits until a connection to the port is greeted (or, for what does not greet, taken)."""
        end = time.monotonic() + timeout
        while self.running and time.monotonic() < end:
            try:
                with socket.create_connection(
                    (host, port), timeout=timeout, source_address=(source, 0) if source else None
                ) as s:
                    if not greets or s.recv(1):
                        return
            except (ConnectionError, TimeoutError):
                pass
            time.sleep(0.005)
        raise AssertionError(f"nothing serves port {port}:\n{self.output.text}")

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, timeout=PATIENCE):
        """Ends it and returns (its exit status, seconds that took, ids of processes it left behind)."""
        begun = time.monotonic()
        if self.running:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - begun
        left = processes.wait_gone(processes.in_session(self.pid), LEAVING if status is not None else 0)
        names = [f"{pid} {processes.command(pid)}" for pid in left]
        processes.kill_all(left)
        self.process.wait()
        self.output.wait_end()
        return status, seconds, names

    def reports(self):
        """Lines in which a sanitizer or an assertion speaks."""
        return [line for line in self.output.text.splitlines() if REPORTS.search(line)]
