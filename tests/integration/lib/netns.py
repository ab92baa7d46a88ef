"""Network namespaces of a test's own, joined by a cable: mired in one, its clients in the other; or behind the other.

Needs root. The calling thread moves from one to the other; what it starts stays where it was started. Each side has
a whole range of addresses, so that there can be many clients. Nothing of the machine's own network is touched, and
all of it is gone with the last process in it.
"""

import ctypes
import os
import pathlib
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

SERVER, SERVER6 = "10.77.0.1", "fd77::1"


def _check(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _run(*arguments, **options):
    subprocess.run(arguments, check=True, **options)


def unable():
    """Why there can be no namespaces with nftables here; empty where there can."""
    if os.geteuid() != 0:
        return "namespaces of their own need root"
    probe = ["unshare", "-n", "sh", "-c", "ip link set lo up && nft add table inet probe"]
    done = subprocess.run(probe, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no namespace with nftables here: {done.stderr.strip()}"


class Cable:
    def __init__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.server = self._new()
        self.clients = self._new()
        _run("ip", "link", "add", "clients", "type", "veth", "peer", "name", "server")
        _run("ip", "link", "set", "server", "netns", f"/proc/self/fd/{self.server}", pass_fds=[self.server])
        self._raise("clients", "10.77.0.2/24", "fd77::2/64", "10.78.0.0/16", None)
        self.enter(self.server)
        self._raise("server", f"{SERVER}/24", f"{SERVER6}/64", None, "10.78.0.0/16")
        self.enter(self.clients)

    def _new(self):
        _check(_libc.unshare(CLONE_NEWNET))
        _run("ip", "link", "set", "lo", "up")
        return os.open("/proc/self/ns/net", os.O_RDONLY)

    @staticmethod
    def _raise(link, address, address6, own, beyond):
        _run("ip", "address", "add", address, "dev", link)
        _run("ip", "address", "add", address6, "dev", link, "nodad")
        _run("ip", "link", "set", link, "up")
        if own:
            _run("ip", "route", "add", "local", own, "dev", "lo")
        if beyond:
            _run("ip", "route", "add", beyond, "via", "10.77.0.2")

    def enter(self, side):
        _check(_libc.setns(side, CLONE_NEWNET))

    def at_server(self, do):
        """Runs `do` with the calling thread on the server's side."""
        self.enter(self.server)
        try:
            return do()
        finally:
            self.enter(self.clients)

    def sockets(self):
        """TCP sockets in use on the server's side."""
        text = self.at_server(pathlib.Path("/proc/thread-self/net/sockstat").read_text)
        return int(text.split("TCP: inuse ")[1].split()[0])

    def ruleset(self):
        """What nftables has on the server's side."""
        list_it = ["nft", "list", "ruleset"]
        return self.at_server(lambda: subprocess.check_output(list_it, text=True))

    def close(self):
        self.enter(self.home)
        for fd in (self.home, self.server, self.clients):
            os.close(fd)


INSIDE = ("10.79.0.2", "10.79.0.3")  # addresses that share one outside
SHARED = "10.77.0.2"


class Nat(Cable):
    """The same, and a third namespace whose clients reach the server through the second one, all from one address."""

    def __init__(self):
        super().__init__()
        self.inside = self._new()
        _run("ip", "link", "add", "inside", "type", "veth", "peer", "name", "router")
        self.enter(self.clients)
        router = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.enter(self.inside)
        _run("ip", "link", "set", "router", "netns", f"/proc/self/fd/{router}", pass_fds=[router])
        os.close(router)
        for address in INSIDE:
            _run("ip", "address", "add", f"{address}/24", "dev", "inside")
        _run("ip", "link", "set", "inside", "up")
        _run("ip", "route", "add", "default", "via", "10.79.0.1")
        self.enter(self.clients)
        _run("ip", "address", "add", "10.79.0.1/24", "dev", "router")
        _run("ip", "link", "set", "router", "up")
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        out = 'add chain ip nat out { type nat hook postrouting priority 100 ; }'
        rule = f'add rule ip nat out oifname "clients" ip saddr 10.79.0.0/24 snat to {SHARED}'
        _run("nft", "-f", "-", input=f"add table ip nat\n{out}\n{rule}\n", text=True)
        self.enter(self.inside)

    def at_server(self, do):
        self.enter(self.server)
        try:
            return do()
        finally:
            self.enter(self.inside)

    def close(self):
        super().close()
        os.close(self.inside)
