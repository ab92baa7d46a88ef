"""Recipes that need several servers, as they are written, but for ports, paths and the domain."""

import re

from . import ports
from .dovecot import Dovecot
from .recipes import USER, block, configured, recipes_postfix
from .smtp import Client


class BackupMx:
    """mx1: the primary's Postfix, at the listener that is for mx2.  queue: mx2's Postfix.  m: mx2's mired."""

    def __init__(self, mired, postfix, folder, **options):
        folder.chmod(0o755)
        self.people = folder / "recipients"
        self.people.write_text(f"{USER}\n")
        listener, *lines = block("backup-mx", "mx1 master.cf").splitlines()
        assert listener.startswith("10.0.0.11:10026 inet ")
        checks = folder / "checks"
        checks.write_text("/^Subject: buy me/ REJECT no spam here\n")
        self.mx1 = postfix(
            extra=f"mynetworks = 127.9.9.9\nheader_checks = regexp:{checks}\n",
            options="\n".join(lines).replace("10.0.0.12", "127.0.0.1"),
        )
        ours = block("backup-mx", "mx2 main.cf").replace("[10.0.0.11]:10026", f"[127.0.0.1]:{self.mx1.port}")
        self.queue = recipes_postfix(lambda **more: postfix(domains="", **more), ours + "transport_retry_time = 1s\n")
        self.m = configured(
            mired, "backup-mx",
            {"10.0.0.11:10026": f"127.0.0.1:{self.mx1.port}", "127.0.0.1:10025": f"127.0.0.1:{self.queue.port}",
             "/etc/mired/recipients": self.people}, **options,
        )  # fmt: skip

    def send(self, octets, recipient=USER):
        with Client(self.m.port, source=ports.stranger()) as client:
            client.ehlo("client.elsewhere.test")
            return client.message("a@b.test", recipient, octets)

class TwoDomains:
    """m: the mired of docs/recipes/two-domains.md.  at_a: the Postfix of a.example.  at_b: the Dovecot of b.example,
    started by `others`."""

    ANN, CY = "ann@a.example", "cy@b.example"

    def __init__(self, mired, postfix, others, folder, **options):
        self.at_a = postfix(
            domains="a.example", boxes=[self.ANN], extra=block("two-domains", "main.cf").replace("10.0.0.1", "127.0.0.1")
        )
        lmtp = ports.free()
        ours = block("two-domains", "dovecot.conf").replace("imap ", "").replace("= 24", f"= {lmtp}").replace("10.0.0.6", "127.0.0.1")
        self.at_b = others(Dovecot(extra=ours.replace("10.0.0.1", "127.0.0.1"), users={self.CY: "{PLAIN}nobody knows this"}))
        people = folder / "recipients"
        people.write_text(f"{self.ANN}\n{self.CY}\nnobody@b.example\n")
        folder.chmod(0o755)
        text = re.sub(r"^(hostname|domains|tarpit|listen).*\n", "", block("two-domains", "mired.conf"), flags=re.M)
        replace = {
            "/etc/mired/recipients": people, "10.0.0.5:25": f"127.0.0.1:{self.at_a.port}", "10.0.0.6:24": f"127.0.0.1:{lmtp}"
        }  # fmt: skip
        for old, new in replace.items():
            assert old in text
            text = text.replace(old, str(new))
        options = {"tarpit": "time = 1s growth = 1", **options}
        self.m = mired(domains=("a.example", "b.example"), recipients=None, backend="", config=text, **options)
