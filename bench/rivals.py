"""Other relays in front of the benchmark's sink: Postfix, and Exim and OpenSMTPD as scripts/senders unpacks them.

Each takes mail for anybody and queues it on the disk before it answers. They need root; available() leaves
out those that are not there, and names them.
"""

import os
import pathlib
import shutil
import sys
import tempfile

POSTFIX = """
relay_domains = example.test
relay_transport = relay:[127.0.0.1]:{port}
message_size_limit = 60000000
"""

EXIM = """
mkdir -p /etc/exim4 /m/spool
cat >/etc/exim4/exim4.conf <<C
primary_hostname = relay.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {own}
spool_directory = /m/spool
log_file_path = /m/exim-%slog
pid_file_path = /m/spool/pid
keep_environment =
rfc1413_query_timeout = 0s
message_size_limit = 60M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
out:
  driver = manualroute
  transport = smtp
  route_list = * 127.0.0.1
  self = send
begin transports
smtp:
  driver = smtp
  port = {sink}
begin retry
* * F,2h,1s
C
chown -R Debian-exim:Debian-exim /m
exec /usr/sbin/exim4 -bdf -q1s
"""

# Its queue is on our folder's disk and not in the name space's memory. It looks up the names of its clients and waits
# for them.
OPENSMTPD = """
for n in $(seq 1 200); do echo "127.0.2.$n client$n.test"; done >>/etc/hosts
echo 'lookup file' >/etc/resolv.conf
mkdir -p /run /m/spool /var/spool/smtpd
mount --bind /m/spool /var/spool/smtpd
cat >/s.conf <<C
smtp limit max-mails 1000000
smtp max-message-size 60M
listen on 127.0.0.1 port {own}
action "out" relay host "smtp://127.0.0.1:{sink}" helo relay.test
match from any for any action "out"
C
chgrp opensmtpq /usr/sbin/smtpctl && chmod 2555 /usr/sbin/smtpctl
chown root:root /m/spool && chmod 711 /m/spool
exec /usr/sbin/smtpd -d -f /s.conf
"""


class Unpacked:
    """A relay out of build/senders, in name spaces of its own (tests/integration/lib/senders/enter)."""

    def __init__(self, name, script, sink_port):
        from lib import ports

        self.name, self.port = name, ports.free()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"mired-{name}-"))
        self.folder.chmod(0o755)
        (self.folder / "serve.sh").write_text(script.format(own=self.port, sink=sink_port))

    def start(self):
        from lib import senders
        from lib.daemon import Daemon

        self.daemon = Daemon(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
             senders.HERE / "enter", senders.FOLDER / self.name, self.folder, "bash", "-e", "/m/serve.sh"]
        )  # fmt: skip
        self.daemon.wait_listening(self.port, timeout=60)
        return self

    def stop(self):
        from lib import processes

        processes.kill_all([self.daemon.pid])  # and with it all that runs in its name spaces
        self.daemon.stop()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def _postfix(sink_port):
    from lib.postfix import PROGRAM, Postfix

    if not os.path.exists(PROGRAM):
        return None
    return Postfix(domains="", extra=POSTFIX.format(port=sink_port))


def _unpacked(name, script):
    def make(sink_port):
        from lib import senders

        return Unpacked(name, script, sink_port) if (senders.FOLDER / name).is_dir() else None

    return make


MAKERS = {
    "Postfix": _postfix,
    "Exim": _unpacked("exim", EXIM),
    "OpenSMTPD": _unpacked("opensmtpd", OPENSMTPD),
}


def available(sink_port):
    """{name: a relay that is not yet started}, of all that are there."""
    if os.geteuid() != 0:
        print("without other relays, which only root can start", file=sys.stderr)
        return {}
    there = {name: make(sink_port) for name, make in MAKERS.items()}
    for name, relay in there.items():
        if not relay:
            print(f"without {name}: it is not there (make setup, scripts/senders)", file=sys.stderr)
    return {name: relay for name, relay in there.items() if relay}
