"""A real HAProxy of the test's own, which says who the client is."""


from . import ports
from .service import Service

PROGRAM = "/usr/sbin/haproxy"

CONF = """
defaults
    mode tcp
    timeout connect 60s
    timeout client 120s
    timeout server 120s
frontend front
    bind {bind}
    default_backend behind
backend behind
    server mired 127.0.0.1:{behind} {how}
"""


class HAProxy(Service):
    """port: where it takes clients; it hands them to `behind` with `how` ("send-proxy", "send-proxy-v2").

    With both=True it listens on :: for both families, and names IPv4 clients as IPv4-mapped IPv6 addresses."""

    def __init__(self, behind, how, both=False):
        super().__init__("HAProxy", PROGRAM)
        self.port = ports.free()
        self.file = self.folder / "haproxy.cfg"
        bind = f":::{self.port} v4v6" if both else f"127.0.0.1:{self.port}"
        self.file.write_text(CONF.format(bind=bind, behind=behind, how=how))

    def start(self):
        return self.run([PROGRAM, "-db", "-f", self.file], self.port)
