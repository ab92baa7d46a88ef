"""A real Dovecot of the test's own: LMTP delivery, users and the socket for AUTH. Needs root."""

import pwd
import shutil
import signal
import socket

from . import processes
from .mired import PASSWORDS, PEOPLE, read_maildir
from .service import Service
from .waiting import PATIENCE, until

PROGRAM = "/usr/sbin/dovecot"

CONF = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
info_log_path = {folder}/log
default_login_user = dovenull
default_internal_user = dovecot
protocols = lmtp
ssl = no
listen = 127.0.0.1
mail_location = maildir:{folder}/mail/%d/%n
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_verbose = yes
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
  default_fields = uid={uid} gid={gid} home={folder}/mail/%d/%n
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
{extra}
"""


def listens(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


class Dovecot(Service):
    """auth, lmtp: paths of its sockets. users, fields: what is stored of passwords, and the passdb's extra fields, by name."""

    def __init__(self, extra="", mechanisms="plain login", users=None, fields=None):
        super().__init__("Dovecot", PROGRAM, root=True)
        user = pwd.getpwnam("nobody")
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        shutil.chown(self.mail, user.pw_uid, user.pw_gid)
        people = {**dict.fromkeys(PEOPLE, "{PLAIN}nobody knows this"), **{u: "{PLAIN}" + p for u, p in PASSWORDS.items()}}
        (self.folder / "users").write_text("".join(f"{u}:{p}::::::{(fields or {}).get(u, '')}\n" for u, p in {**people, **(users or {})}.items()))
        self.file = self.folder / "dovecot.conf"
        self.file.write_text(CONF.format(folder=self.folder, uid=user.pw_uid, gid=user.pw_gid, mechanisms=mechanisms, extra=extra))
        self.auth, self.lmtp = self.folder / "run" / "auth-client", self.folder / "run" / "lmtp"

    def start(self):
        self.run([PROGRAM, "-F", "-c", self.file])
        until(lambda: listens(self.auth) and listens(self.lmtp) or not self.daemon.running, why=lambda: self.log)
        assert self.daemon.running, self.log
        return self

    def stop(self):
        """Its master leaves idle children alone for five seconds and ends them then; here all hear the end at once."""
        if self.daemon and self.daemon.running:
            self.daemon.signal(signal.SIGTERM)
            processes.kill_all(processes.children(self.daemon.pid), signal.SIGTERM)
        super().stop()

    @property
    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="backslashreplace") if path.exists() else self.daemon.output.text

    def delivered(self, address, timeout=PATIENCE, count=1):
        local, domain = address.split("@")
        return read_maildir(self.mail / domain / local, timeout, count)


QUOTA = """
mail_plugins = quota
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=1G
  quota_full_tempfail = no
}
"""


def full_mailbox(user):
    """A Dovecot in which this user's mailbox has room for nothing: a large message is refused with 5.2.2."""
    return Dovecot(QUOTA, users={user: "{PLAIN}x"}, fields={user: "userdb_quota_rule=*:storage=1K"})
