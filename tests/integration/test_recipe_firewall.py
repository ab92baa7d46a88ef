"""The firewall of docs/operations.md: workers reach their backends and DNS servers, clients reach workers, and nothing else."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from lib import netns
from lib.waiting import PATIENCE

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable())

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/operations.md"
WORKER = 65534  # a user that runs nothing here; the machine may have no mired-worker

# In a network namespace of its own, with all hosts at its loopback device: prints what the worker's user can do.
PLAY = """
import errno, json, os, socket, subprocess, sys

rules, worker = sys.argv[1], int(sys.argv[2])
hosts = ["192.0.2.20", "192.0.2.53", "198.51.100.9"]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for host in hosts:
    subprocess.run(["ip", "address", "add", f"{host}/32", "dev", "lo"], check=True)
subprocess.run(["ip", "address", "add", "2001:db8::9/128", "dev", "lo", "nodad"], check=True)
subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
listeners = []
for host, port in [(h, p) for h in hosts for p in (25, 26, 53)] + [("2001:db8::9", 25)]:
    listeners.append(socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET))
listens = socket.create_server(("198.51.100.9", 2525))
client = socket.create_connection(("198.51.100.9", 2525), timeout=20)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
os.setgid(worker)
os.setuid(worker)

def tried(do):
    try:
        do()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def connect(host, port):
    socket.create_connection((host, port), timeout=20).close()

def send(host, port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (host, port))

def serve():
    served, _ = listens.accept()
    served.sendall(b"220\\r\\n")
    assert client.recv(5) == b"220\\r\\n"
    client.sendall(b"QUIT\\r\\n")
    assert served.recv(6) == b"QUIT\\r\\n"

# What the kernel sends by itself belongs to no user: echoes here, and the neighbours of IPv6 elsewhere.
def echo(raw, host):
    request = bytes.fromhex("8000000000000000" if ":" in host else "0800f7ff00000000")
    raw.settimeout(1)
    for _ in range(20):  # nobody sends one again that was lost
        raw.sendto(request, (host, 0))
        try:
            while raw.recv(100)[0 if ":" in host else 20] != (129 if ":" in host else 0):
                pass
            return
        except TimeoutError:
            pass
    raise TimeoutError("no echo")

print(json.dumps({
    "echo": [tried(lambda: echo(*by)) for by in ((raw, "198.51.100.9"), (raw6, "2001:db8::9"))],
    "backend": tried(lambda: connect("192.0.2.20", 25)),
    "DNS": [tried(lambda: send("192.0.2.53", 53)), tried(lambda: connect("192.0.2.53", 53))],
    "client": tried(serve),
    "elsewhere": [tried(lambda: connect(*to)) for to in
                  [("198.51.100.9", 25), ("192.0.2.20", 26), ("192.0.2.53", 25), ("198.51.100.9", 53), ("2001:db8::9", 25)]],
    "datagrams": [tried(lambda: send(*to)) for to in [("198.51.100.9", 53), ("192.0.2.53", 123), ("192.0.2.20", 25)]],
}))
"""


def play(rules):
    command = ["unshare", "-n", sys.executable, "-c", PLAY, rules, str(WORKER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_workers_reach_their_backends_and_the_dns_only():
    rules = re.search(r"^```nftables\n(.*?)^```", DOCUMENT.read_text(), re.S | re.M)[1]
    assert '"mired-worker"' in rules
    needed = {"echo": ["ok", "ok"], "backend": "ok", "DNS": ["ok", "ok"], "client": "ok"}
    assert play("") == {**needed, "elsewhere": ["ok"] * 5, "datagrams": ["ok"] * 3}
    refused = {"elsewhere": ["ECONNREFUSED"] * 5, "datagrams": ["EPERM"] * 3}
    assert play(rules.replace('"mired-worker"', str(WORKER))) == {**needed, **refused}
