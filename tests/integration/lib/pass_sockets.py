"""Does what systemd does with a socket unit: listens on addresses, and becomes a command that gets the sockets.

    pass_sockets.py HOST:PORT... -- COMMAND

An address that is a path is the unix socket of a process that keeps a socket and sends it to each client."""

import os
import socket
import sys

split = sys.argv.index("--")
passed = []
for address in sys.argv[1:split]:
    if address.startswith("/"):
        with socket.socket(socket.AF_UNIX) as keeper:
            keeper.connect(address)
            (fd,) = socket.recv_fds(keeper, 1, 1)[1]
        passed.append(socket.socket(fileno=fd))
        continue
    host, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host.strip("[]"), int(port)))
    s.listen(128)
    passed.append(s)
free = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(passed)]
for i, fd in enumerate(free):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)), LISTEN_FDNAMES=":".join(["smtp"] * len(passed)))
os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])
