"""A real unbound of the test's own, which serves the zones that it is given and asks nobody."""

import ipaddress
import socket
import struct
import time

from . import ports
from .service import Service
from .waiting import PATIENCE

PROGRAM = "/usr/sbin/unbound"

CONF = """
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  verbosity: 0
  log-queries: yes
  interface: 127.0.0.1@{port}
  interface: ::1@{port}
  access-control: 127.0.0.0/8 allow
  access-control: ::1/128 allow
  module-config: "iterator"
  local-zone: "." static
{data}
"""


def reverse(address, zone):
    """Where a list has its entry for an address (RFC 5782)."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return pointer.replace("in-addr.arpa", zone).replace("ip6.arpa", zone)


class Unbound(Service):
    """port: where it answers. Zones are given before it starts."""

    def __init__(self):
        super().__init__("unbound", PROGRAM)
        self.port = ports.free()
        self.records = []
        self.zones = []

    @property
    def resolver(self):
        """The line of mired.conf."""
        return f'resolver = {{ "127.0.0.1:{self.port}" }}'

    def add(self, name, kind, value, ttl=300):
        self.records.append(f"  local-data: '{name}. {ttl} IN {kind} {value}'\n")
        return self

    def list(self, zone, address, value="127.0.0.2"):
        """In a zone that has the test entries of a list (RFC 5782)."""
        if zone not in self.zones:
            self.zones.append(zone)
            self.add(reverse("127.0.0.2", zone), "A", "127.0.0.2")
        return self.add(reverse(address, zone), "A", value)

    def everything(self, zone, value="127.0.0.2"):
        """An expired zone's wildcard."""
        self.records.append(f'  local-zone: "{zone}." redirect\n')
        return self.add(zone, "A", value)

    def name(self, address, name):
        """What the address calls itself."""
        return self.add(ipaddress.ip_address(address).reverse_pointer, "PTR", f"{name}.")

    def host(self, name, address):
        return self.add(name, "AAAA" if ":" in address else "A", address)

    def start(self):
        conf = self.folder / "unbound.conf"
        conf.write_text(CONF.format(folder=self.folder, port=self.port, data="".join(self.records)))
        self.run([PROGRAM, "-d", "-c", conf])
        self._wait_answers()
        return self

    def _wait_answers(self):
        question = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + b"\4here\4test\0" + struct.pack(">2H", 1, 1)
        end = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.connect(("127.0.0.1", self.port))
            while self.daemon.running and time.monotonic() < end:
                try:
                    s.send(question)
                    if s.recv(512):
                        return
                except (socket.timeout, ConnectionError):
                    time.sleep(0.01)
        raise AssertionError(f"unbound does not answer:\n{self.daemon.output.text}")

    def questions(self, words):
        """Lines of its log about questions with these words."""
        return [line for line in self.daemon.output.text.splitlines() if words in line]
