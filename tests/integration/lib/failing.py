"""Calls of a running process that fail: strace injects the error in place of each second call of a kind."""

import pathlib
import signal
import subprocess

from .power import PROGRAM
from .processes import kill_all
from .waiting import until


class Failing:
    """Makes each second call of a kind fail in a process, beginning with the first, or those that `when` says in strace's
    words. With `children`, also in those that it starts from now on, each of which has a first call of its own."""

    def __init__(self, pid, call, error, folder, children=False, when="1+2"):
        self.pid, self.children, self.threads = pid, children, threads(pid)
        self.file = pathlib.Path(folder) / f"failed-{pid}-{call}-{error}"
        self.process = subprocess.Popen(
            [PROGRAM, *(["-f"] if children else self.threads), "-o", self.file, "-e", f"trace={call}",
             "-e", f"inject={call}:error={error}:when={when}", "-p", str(pid)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = self.process.stderr.readline()
        assert "attached" in said, said

    def count(self):
        return self.file.read_text(errors="replace").count("(INJECTED)")

    def end(self):
        """How many calls have failed. The process stands still meanwhile: strace that ends between a call and its error
        would leave it the kernel's ENOSYS, which no call of it gives."""
        stands = [] if self.children else [self.pid]
        kill_all(stands, signal.SIGSTOP)
        until(lambda: not stands or self.process.poll() is not None or self.stopped() >= self.running())
        self.process.terminate()
        self.process.wait()
        kill_all(stands, signal.SIGCONT)
        return self.count()

    def stopped(self):
        return self.file.read_text(errors="replace").count("--- stopped by SIGSTOP ---")

    def running(self):
        """How many threads there are that strace watches."""
        return len(list(pathlib.Path(f"/proc/{self.pid}/task").glob("*"))) if self.threads else 1


def threads(pid):
    """The option that follows threads, for a process that has some or has no child. The master's children are others."""
    return [] if any(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) else ["-f"]
