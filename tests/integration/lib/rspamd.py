"""A real Rspamd of the test's own, with Debian's configuration but for ports, folders and the DNS. Needs root."""

import shutil
import socket


from . import ports
from .service import Service

PROGRAM = "/usr/bin/rspamd"

OVERRIDES = {
    "worker-proxy.inc": 'bind_socket = "127.0.0.1:{milter}";\n',
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
    "options.inc": 'dns {{ nameserver = ["127.0.0.1:{silent}:1"]; timeout = 0.1s; retransmits = 1; }}\n'
    'disable_hyperscan = true;\nurl_tld = "{tlds}";\n',  # compiling all of them takes half a minute
    "logging.inc": 'type = "console";\n',
}


class Rspamd(Service):
    """milter: the port where it speaks the milter protocol."""

    def __init__(self, local=()):
        """`local` are files of local.d, name and text."""
        super().__init__("Rspamd", PROGRAM, root=True)
        self.milter = ports.free()
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # a name server that answers nothing
        self.silent.bind(("127.0.0.1", 0))
        silent = self.silent.getsockname()[1]
        for name in ("local.d", "override.d", "data"):
            (self.folder / name).mkdir()
        tlds = self.folder / "tlds"
        tlds.write_text("com\norg\ntest\n")
        for name, text in OVERRIDES.items():
            (self.folder / "override.d" / name).write_text(text.format(milter=self.milter, silent=silent, tlds=tlds))
        for name, text in dict(local).items():
            (self.folder / "local.d" / name).write_text(text)
        shutil.chown(self.folder / "data", "_rspamd", "_rspamd")

    def start(self):
        data = self.folder / "data"
        places = {"LOCAL_CONFDIR": self.folder, "DBDIR": data, "RUNDIR": data, "LOGDIR": data}
        command = [PROGRAM, "-f", "-u", "_rspamd", "-g", "_rspamd", *(f"--var={k}={v}" for k, v in places.items())]
        return self.run(command, self.milter, greets=False)

    @property
    def log(self):
        return self.daemon.output

    def stop(self):
        if self.daemon:
            log = self.log
            super().stop()
            print(f"--- Rspamd's log\n{log.text[-20000:]}")

    def remove(self):
        self.silent.close()
        super().remove()
