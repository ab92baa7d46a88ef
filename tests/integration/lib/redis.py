"""Real Redis servers of the test's own: one, one with replicas and Sentinels, or a cluster."""

import shutil
import socket
import subprocess
import time

from . import ports
from .service import Service
from .waiting import PATIENCE

PROGRAM = "/usr/bin/redis-server"

CONF = """
bind 127.0.0.1
port {port}
dir {folder}
save ""
appendonly no
daemonize no
loglevel notice
{more}
"""


def command_of(words):
    """As Redis' protocol has it (RESP)."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Reader:
    """Replies from a socket, as Python has them; an error is an exception."""

    def __init__(self, port, timeout=PATIENCE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        self.socket.sendall(command_of(words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("it closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self.file.read(n + 2)[:-2]
        return None if int(rest) < 0 else [self.reply() for _ in range(int(rest))]

    def close(self):
        self.file.close()
        self.socket.close()


class Redis(Service):
    """port: where it answers. `more`: further lines of its configuration."""

    def __init__(self, more="", sentinel=False):
        super().__init__("redis", PROGRAM)
        self.port = ports.free()
        self.more = more
        self.sentinel = sentinel
        self.conf = self.folder / "redis.conf"
        self.conf.write_text(CONF.format(port=self.port, folder=self.folder, more=more) if not sentinel else more)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        self.run([PROGRAM, self.conf, *(["--sentinel", "--port", str(self.port)] if self.sentinel else [])])
        end = time.monotonic() + PATIENCE
        while self.daemon.running and time.monotonic() < end:
            try:
                if self.ask("PING") == b"PONG":
                    return self
            except RuntimeError as error:
                if "NOAUTH" in str(error):
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"redis does not answer:\n{self.daemon.output.text}")

    def ask(self, *words, user=None):
        reader = Reader(self.port)
        try:
            if user:
                reader.ask("AUTH", user, "any")
            return reader.ask(*words)
        finally:
            reader.close()


def sentinel_of(name, master, quorum=2):
    """A Sentinel that watches `master`."""
    s = Redis(sentinel=True)
    s.conf.write_text(
        f"bind 127.0.0.1\ndir {s.folder}\nsentinel monitor {name} 127.0.0.1 {master} {quorum}\n"
        f"sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n"
    )
    return s


def cluster(masters=3, replicas=1):
    """Started nodes that have found each other. Without replicas there is nobody to take over, so that a node may be
    late for long."""
    silence = 1500 if replicas else 60_000  # milliseconds
    more = f"cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout {silence}\n" + "cluster-port {port}\n"
    nodes = []
    for _ in range(masters * (1 + replicas)):
        nodes.append(Redis(more.format(port=ports.free())).start())
    subprocess.run(
        [shutil.which("redis-cli"), "--cluster", "create", *[f"127.0.0.1:{n.port}" for n in nodes],
         "--cluster-replicas", str(replicas), "--cluster-yes"], check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return nodes
