"""A real HAProxy of the test's own, which says who the client is."""

import os
import pathlib
import shutil
import tempfile

import pytest

from . import ports
from .daemon import Daemon

PROGRAM = "/usr/sbin/haproxy"

CONF = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind {bind}
    default_backend behind
backend behind
    server mired 127.0.0.1:{behind} {how}
"""


class HAProxy:
    """port: where it takes clients; it hands them to `behind` with `how` ("send-proxy", "send-proxy-v2").

    With both=True it listens on :: for both families, and names IPv4 clients as IPv4-mapped IPv6 addresses."""

    def __init__(self, behind, how, both=False):
        if not os.path.exists(PROGRAM):
            pytest.skip("HAProxy is not installed")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mired-haproxy-"))
        self.port = ports.free()
        self.file = self.folder / "haproxy.cfg"
        bind = f":::{self.port} v4v6" if both else f"127.0.0.1:{self.port}"
        self.file.write_text(CONF.format(bind=bind, behind=behind, how=how))
        self.daemon = None

    def start(self):
        self.daemon = Daemon([PROGRAM, "-db", "-f", self.file])
        self.daemon.wait_listening(self.port)
        return self

    def stop(self):
        if self.daemon:
            self.daemon.stop()
        self.daemon = None

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
