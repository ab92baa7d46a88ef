"""Each kind of server that stands behind mired in the tests, in one form: started with its recipe, read as mailboxes."""

import socket

from .dovecot import Dovecot
from .mired import PEOPLE, read_maildir
from .postfix import Postfix
from .receivers import Receiver
from .recipes import block, configured
from .waiting import PATIENCE

NAMES = ("store", "postfix", "exim", "sendmail", "opensmtpd", "dovecot")
RECEIVERS = {"exim": ("exim-heavy", "exim.conf"), "opensmtpd": ("opensmtpd", "smtpd.conf"), "sendmail": ("sendmail", "sendmail.mc")}


class Behind:
    """m: the mired before it.  mails(): all that has been delivered to PEOPLE.  dial(): a connection past mired, and
    the word that it is greeted with; none with the built-in store."""

    def __init__(self, name, mired, **options):
        self.name, self.server = name, None
        options = {"tarpit": "time = 0", **options}
        more = options.pop("config", "")
        try:
            if name == "store":
                self.m = mired(config=more, **options)
                return
            self.server = self._server()
            self.server.start()
            if name == "dovecot":
                section = f'backend "lmtp:{self.server.lmtp}" {{ }}\nrecipients "backend" {{ }}\n{more}'
                self.m = mired(recipients=None, backend="", config=section, **options)
            else:
                replace = {"127.0.0.1:10025": f"127.0.0.1:{self.server.port}", "recipients": f"{more}\nrecipients"}
                self.m = configured(mired, name, replace, **options)
        except BaseException:
            self.end()
            raise

    def _server(self):
        if self.name == "dovecot":
            return Dovecot()
        if self.name == "postfix":
            listener, *options = block("postfix", "master.cf").splitlines()
            return Postfix(extra=block("postfix", "main.cf"), options="\n".join(options))
        kind, part = RECEIVERS[self.name]
        return Receiver(kind, block(self.name, part), greets=self.name == "sendmail")

    def dial(self):
        if self.name == "dovecot":
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(self.server.lmtp))
            return s, "LHLO"
        s = socket.create_connection(("127.0.0.1", self.server.port))
        if not getattr(self.server, "greets", True):
            s.sendall(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 16, 0, 0, 25]))  # PROXY, version 2
        return s, "EHLO"

    def folder(self, address):
        local, domain = address.split("@")
        if self.name == "store":
            return self.m.mail / domain / local
        if isinstance(self.server, Receiver):
            return self.server.folder / "mail" / local
        return self.server.mail / domain / local

    def delivered(self, address, count=1, timeout=PATIENCE):
        return read_maildir(self.folder(address), timeout, count)

    def mails(self):
        return [mail for person in PEOPLE for mail in self.delivered(person, 0, 0)]

    def end(self):
        if self.server:
            self.server.stop()
            self.server.remove()
