"""The benchmark's load programs, where a test wants more clients than Python can be."""

import json
import statistics
import subprocess
import threading

from .mired import BUILD


def mailload(port, recipient, rate, seconds, *more):
    """Its command: good mail at a fixed rate."""
    options = ["-b", str(rate), "-t", str(seconds), "-w", "0", "-r", recipient, *more]
    return [BUILD / "bench" / "mailload", *options, f"127.0.0.1:{port}"]


class Stream:
    """Good mail at a fixed rate for as long as the context lasts, at most `seconds`; then `told` is what of it."""

    def __init__(self, port, recipient, rate, seconds=300):
        self.command = mailload(port, recipient, rate, seconds)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        said, self.errors = self.process.communicate(timeout=90)
        self.told = json.loads(said)

    def __str__(self):
        told = self.told
        return f"{told['rate']:.0f}/s, p50 {told['p50_ms']:.1f}, p99 {told['p99_ms']:.1f}, max {told['max_ms']:.0f} ms"


class Load:
    """Good mail at a fixed rate, a run of some seconds after the other, until stopped."""

    def __init__(self, port, recipient, rate, seconds, *options):
        self.command = mailload(port, recipient, rate, seconds, *options)
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
