"""The machine's TCP sockets over IPv4, as the kernel lists them."""

import collections
import pathlib

# port, peer_port: of this end and of the other.  listens: whether it is a listener.  inode: "0" if no process has it.
# unread: octets that have come, and the process has not read.
Socket = collections.namedtuple("Socket", "address port peer_port listens inode unread")


def tcp():
    found = []
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        row = line.split()
        address, port = row[1].split(":")
        found.append(Socket(address, int(port, 16), int(row[2].split(":")[1], 16), row[3] == "0A", row[9], int(row[4].split(":")[1], 16)))
    return found
