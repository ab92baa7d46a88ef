"""What the parts of the benchmark share: the programs that they measure, /proc, and tables.

The servers' harness is the integration tests' own (tests/integration/lib), so that mired and Postfix are started
here as they are tested there. Everything is on loopback and bounded in time.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap

SOURCE = pathlib.Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")

sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "tests" / "integration"))


def arguments(description):
    """A parser with what every part takes; parse it with `parsed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", nargs="?", default="build", help="where mired has been built (build)")
    parser.add_argument("--markdown", metavar="FILE", help="append the table to this file as well")
    return parser


def parsed(parser):
    """The arguments; from here on tests/integration/lib knows the build folder too."""
    args = parser.parse_args()
    args.build = (SOURCE / args.build).resolve()
    os.environ["MIRED_BUILD"] = str(args.build)
    return args


class Tools:
    """The load programs of a build folder."""

    def __init__(self, build):
        self.folder = build / "bench"

    def path(self, name):
        path = self.folder / name
        if not path.exists():
            sys.exit(f"{path} is not there; run `make build`")
        return path

    def run(self, name, *options, timeout=400):
        """What the program reports, from its line of JSON."""
        done = subprocess.run(
            [self.path(name), *map(str, options)], capture_output=True, text=True, timeout=timeout
        )
        if done.returncode != 0:
            sys.exit(f"{name} failed: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def mail(self, port, *options, timeout=400):
        """One run of good mail; ends the benchmark when anything was not taken."""
        result = self.run("mailload", *options, f"127.0.0.1:{port}", timeout=timeout)
        if result["errors"] or result["broken"] or not result["messages"]:
            sys.exit(f"good mail was not taken on port {port}: {result}")
        return result


class Sink:
    """The backend: takes everything, keeps nothing, counts."""

    def __init__(self, tools):
        from lib import ports
        from lib.daemon import Daemon

        self.port = ports.free()
        self.daemon = Daemon([tools.path("sink"), f"127.0.0.1:{self.port}"])
        self.daemon.wait_listening(self.port)

    def count(self):
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rb") as lines:
            lines.readline()
            s.sendall(b"XCOUNT\r\n")
            return int(lines.readline().split()[1])

    def stop(self):
        self.daemon.stop()


class HAProxy:
    """A plain TCP pass-through to one server, with as many threads as the machine has cores, and no log.

    With a certificate and its key it ends TLS 1.3, without tickets, as mired does."""

    CONFIGURATION = """
global
    maxconn 2000
    nbthread {threads}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen mail
    bind 127.0.0.1:{port}{tls}
    server sink 127.0.0.1:{target}
"""

    def __init__(self, target, pair=None):
        from lib import ports
        from lib.daemon import Daemon

        self.port, tls = ports.free(), ""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mired-haproxy-"))
        if pair:
            pem = self.folder / "tls.pem"
            pem.write_text("".join(part.read_text() for part in pair))
            tls = f" ssl crt {pem} ssl-min-ver TLSv1.3 no-tls-tickets"
        file = self.folder / "haproxy.cfg"
        file.write_text(
            self.CONFIGURATION.format(threads=os.cpu_count(), port=self.port, target=target, tls=tls)
        )
        self.daemon = Daemon([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", file])
        self.daemon.wait_listening(self.port, greets=not pair)

    def stop(self):
        self.daemon.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def running(stack, server):
    """The server, which the stack stops and, where it has files, removes."""
    if hasattr(server, "remove"):
        stack.callback(server.remove)
    stack.callback(server.stop)
    return server


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def cpu_seconds(pids):
    """User and system time of these processes so far."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def meminfo(field):
    """A field of /proc/meminfo in octets."""
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":"))


def machine():
    """One line that says where numbers come from."""
    model = "unknown CPU"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    system = "Linux"
    if os.path.exists("/etc/os-release"):
        with open("/etc/os-release") as f:
            system = re.search(r'PRETTY_NAME="?([^"\n]+)', f.read()).group(1)
    return (
        f"{os.cpu_count()} x {model}, {meminfo('MemTotal') / 2**30:.0f} GiB, "
        f"{system}, kernel {os.uname().release}"
    )


class Table:
    """Rows of text under a title: printed in columns, kept as markdown."""

    def __init__(self, title, *columns):
        self.title, self.columns, self.rows, self.notes = title, columns, [], []

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def note(self, sentence):
        self.notes.append(sentence)

    def text(self):
        everything = [list(self.columns), *self.rows]
        widths = [max(len(row[i]) for row in everything) for i in range(len(self.columns))]
        lines = [self.title, ""]
        for row in everything:
            first, rest = row[0].ljust(widths[0]), [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
            lines.append("  ".join([first, *rest]).rstrip())
        return "\n".join([*lines, "", *self.notes, ""])

    def markdown(self):
        def line(cells):
            return "| " + " | ".join(cells) + " |"

        rule = ["---"] + ["---:"] * (len(self.columns) - 1)
        lines = [f"## {self.title}", "", line(self.columns), line(rule), *map(line, self.rows), ""]
        return "\n".join([*lines, *(textwrap.fill(note, 100) + "\n" for note in self.notes), ""])

    def show(self, markdown=None):
        print(self.text(), flush=True)
        if markdown:
            with open(markdown, "a") as f:
                f.write(self.markdown())


def judged(value, goal, at_least=True):
    """A ratio beside the budget that it should keep."""
    kept = value >= goal if at_least else value <= goal
    return f"{value:.2f} ({'kept' if kept else 'MISSED'}: {'>=' if at_least else '<='} {goal:g})"
