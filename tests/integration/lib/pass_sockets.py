"""Does what systemd does with a socket unit: listens on addresses, and becomes a command that gets the sockets.

    pass_sockets.py [--count=N] [--pid=N] WHAT... -- COMMAND

WHAT is HOST:PORT; or a path, the unix socket of a process that keeps a socket and sends it to each client. What no mail
server can use: udp:HOST:PORT, bound:HOST:PORT (it does not listen), unix:PATH, pair (connected already), or file.
--count and --pid are lies about how many descriptors these are, and whom they are for."""

import os
import socket
import sys


def address(text):
    host, port = text.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, (host.strip("[]"), int(port))


def listening(text, kind=socket.SOCK_STREAM, listens=True):
    family, where = address(text)
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(where)
    if listens:
        s.listen(128)
    return s


def sent_by(path):
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.connect(path)
        (fd,) = socket.recv_fds(keeper, 1, 1)[1]
    return socket.socket(fileno=fd)


def unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    return s


def make(what):
    kind, _, rest = what.partition(":")
    if what.startswith("/"):
        return sent_by(what)
    if kind == "udp":
        return listening(rest, socket.SOCK_DGRAM, False)
    if kind == "bound":
        return listening(rest, listens=False)
    if kind == "unix":
        return unix(rest)
    if kind == "pair":
        pairs.append(socket.socketpair())
        return pairs[-1][0]
    if kind == "file":
        return open(os.devnull)
    return listening(what)


split = sys.argv.index("--")
words = sys.argv[1:split]
lies = dict(w[2:].split("=", 1) for w in words if w.startswith("--"))
pairs = []
passed = [make(w) for w in words if not w.startswith("--")]
free = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(passed)]
for i, fd in enumerate(free):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ.update(
    LISTEN_PID=lies.get("pid", str(os.getpid())),
    LISTEN_FDS=lies.get("count", str(len(passed))),
    LISTEN_FDNAMES=":".join(["smtp"] * len(passed)),
)
os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])
