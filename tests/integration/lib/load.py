"""The benchmark's load programs, where a test wants more clients than Python can be."""

import json
import statistics
import subprocess
import threading

from .mired import BUILD


class Load:
    """Good mail at a fixed rate, a run of some seconds after the other, until stopped."""

    def __init__(self, port, recipient, rate, seconds, *options):
        self.command = [BUILD / "bench" / "mailload", "-b", str(rate), "-t", str(seconds), "-w", "0", "-r", recipient]
        self.command += [*options, f"127.0.0.1:{port}"]
        self.runs, self.said = [], ""
        self.stopping = threading.Event()

    def run(self):
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=120)
        self.said += done.stderr
        self.runs.append(json.loads(done.stdout))

    def run_until_stopped(self):
        while not self.stopping.is_set():
            self.run()

    def sum(self, key):
        return sum(run[key] for run in self.runs)

    def median(self, key):
        return statistics.median(run[key] for run in self.runs)


class Held:
    """Clients that each ask for a recipient that does not exist, and wait. `last` is what they last told."""

    def __init__(self, port, count, addresses, seconds):
        self.process = subprocess.Popen(
            [BUILD / "bench" / "holdload", "-n", str(count), "-c", str(addresses), "-t", str(seconds), f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def until(self, key, count):
        """Waits for their counter `key`; false when they ended before."""
        for line in self.process.stdout:
            self.last = json.loads(line)
            if self.last[key] >= count:
                return True
        return False

    def end(self):
        for line in self.process.stdout:
            self.last = json.loads(line)
        self.process.wait()
        return self.last
