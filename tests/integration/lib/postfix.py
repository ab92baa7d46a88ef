"""A real Postfix of the test's own: configuration, queue and ports apart from the machine's. Needs root."""

import os
import pwd
import re
import shutil
import signal
import time


from . import ports, processes
from .mired import PEOPLE, read_maildir
from .service import Service
from .waiting import PATIENCE, until

PROGRAM = "/usr/sbin/postfix"
MASTER_PROGRAM = "/usr/lib/postfix/sbin/master"
# As `postfix check` makes them: folder of the queue, owner, group, mode.
QUEUE = [
    *((name, "postfix", "root", 0o700) for name in (
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")),
    ("maildrop", "postfix", "postdrop", 0o730), ("public", "postfix", "postdrop", 0o710), ("pid", "root", "root", 0o755),
]  # fmt: skip
BOX_USER = "nobody"

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
myhostname = {hostname}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_host_lookup = native
disable_dns_lookups = yes
notify_classes =
biff = no
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/conf/boxes
recipient_delimiter = +
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_peername_lookup = no
local_header_rewrite_clients =
disable_mime_input_processing = yes
message_size_limit = 20000000
virtual_mailbox_limit = 0
mailbox_size_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
minimal_backoff_time = 5s
maximal_backoff_time = 5s
queue_run_delay = 5s
in_flow_delay = 0
service_throttle_time = 1s
{extra}
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
{options}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def last_of_each(main_cf):
    """main.cf with each parameter once, as it is set last. Of one that is set twice every process of Postfix warns at its
    start; postlogd warns to itself, and when its queue is full by then, it and all others wait for ever."""
    entries = {}
    for line in main_cf.splitlines():
        if line[:1].isspace() and line.strip() and entries:
            entries[next(reversed(entries))] += "\n" + line
        elif "=" in line and not line.startswith("#"):
            name = line.split("=")[0].strip()
            entries.pop(name, None)
            entries[name] = line
    return "\n".join(entries.values()) + "\n"


class Postfix(Service):
    """port: its smtpd. Mail for `domains` lands in a Maildir each; all else goes where `extra` says.

    `boxes` are the addresses that exist there; `options` are lines for its smtpd in master.cf."""

    def __init__(self, hostname="backend.test", domains="example.test", extra="", boxes=PEOPLE, greets=True, options=""):
        self.greets = greets  # False: it waits for a PROXY header first
        super().__init__("Postfix", PROGRAM, root=True)
        self.port = ports.free()
        self.mail = self.folder / "mail"
        box = pwd.getpwnam(BOX_USER)
        for name in ("conf", "queue", "data", "mail", "log"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        # Its own: after a kill -9, postsuper as user postfix warns here of files half written, or Postfix does not start.
        (self.folder / "log" / "mail.log").touch()
        shutil.chown(self.folder / "log" / "mail.log", "postfix")
        shutil.chown(self.folder / "log", "postfix")
        shutil.chown(self.mail, box.pw_uid, box.pw_gid)
        paths = ("/".join(reversed(address.split("@"))) for address in boxes)
        (self.folder / "conf" / "boxes").write_text(
            "".join(f"{address} {path}/\n" for address, path in zip(boxes, paths))
        )
        text = {
            "folder": self.folder,
            "hostname": hostname,
            "domains": domains,
            "uid": box.pw_uid,
            "gid": box.pw_gid,
            "port": self.port,
            "options": options,
        }
        (self.folder / "conf" / "main.cf").write_text(last_of_each(MAIN.format(extra=extra, **text)))
        (self.folder / "conf" / "master.cf").write_text(MASTER.format(**text))

    def start(self):
        """The first time without `postfix start`, whose shell scripts take a second of processor to make what stands
        here; and with a main.cf of yesterday: one that is written this second is looked at six times in two seconds."""
        command = [MASTER_PROGRAM, "-c", self.folder / "conf", "-s"]
        if (self.folder / "queue" / "pid").exists():
            command = [PROGRAM, "-c", self.folder / "conf", "start-fg"]  # after a kill: the queue is to be put in order
        else:
            self._make_queue()
        return self.run(command, self.port, greets=self.greets)

    def _make_queue(self):
        yesterday = time.time() - 86400
        for file in (self.folder / "conf").iterdir():
            os.utime(file, (yesterday, yesterday))
        for name, owner, group, mode in QUEUE:
            folder = self.folder / "queue" / name
            folder.mkdir()
            shutil.chown(folder, owner, group)
            folder.chmod(mode)

    def master(self):
        """The id of its master process."""
        return int((self.folder / "queue" / "pid" / "master.pid").read_text())

    def servers(self, name="smtpd"):
        """Ids of its processes of one kind."""
        return processes.children(self.master(), name)

    def stop(self):
        if not self.daemon:
            return
        left = processes.in_session(self.daemon.pid)
        try:
            master = self.master()
            left += [master, *processes.children(master)]
            os.kill(master, signal.SIGTERM)
        except (OSError, ValueError):
            pass
        processes.kill_all(processes.wait_gone(left, 10))
        super().stop()

    def kill(self):
        """kill -9 of all of it at once. start() brings it back, with what was in its queue."""
        master = self.master()
        left = [*processes.in_session(self.daemon.pid), master, *processes.children(master)]
        processes.kill_all(left)
        processes.wait_gone(left)
        super().stop()

    @property
    def log(self):
        path = self.folder / "log" / "mail.log"
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def wait_log(self, pattern, timeout=PATIENCE, since=0):
        """The first match in its log from offset `since` on, now or soon."""
        why = lambda: f"no {pattern!r} in Postfix's log:\n{self.log[-3000:]}\n"  # noqa: E731
        return until(lambda: re.search(pattern, self.log[since:]), timeout, why)

    def delivered(self, address, timeout=PATIENCE, count=1):
        local, domain = address.split("@")
        return read_maildir(self.mail / domain / local, timeout, count)
