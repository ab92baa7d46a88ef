"""A keeper that is late: what a worker books is known to the others after up to 80 ms instead of one.

With MIRED_LATE_KEEPER set, each mired of the tests has such a keeper. A test that takes for granted that another
worker, or mirectl, knows of a booking at once then fails every time, and not once in a thousand times on a busy
machine: it has to call Mired.booked()."""

import os
import signal
import threading

from . import processes

LATE = bool(os.environ.get("MIRED_LATE_KEEPER"))
AWAY, THERE = 0.08, 0.01  # seconds; a worker waits 0.1 s for what must not be late (worker/proposing.c)


class LateKeeper:
    def __init__(self, master):
        self._master = master
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _keepers(self):
        return [p for p in processes.children(self._master) if processes.command(p).startswith("mired: keeper")]

    @staticmethod
    def _signal(keepers, number):
        for pid in keepers:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _run(self):
        while not self._end.wait(THERE):
            keepers = self._keepers()
            self._signal(keepers, signal.SIGSTOP)
            self._end.wait(AWAY)
            self._signal(keepers, signal.SIGCONT)

    def close(self):
        self._end.set()
        self._thread.join()
