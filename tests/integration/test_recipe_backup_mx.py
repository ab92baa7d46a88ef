"""docs/recipes/backup-mx.md as it is written: a mired and a Postfix on either machine, but for ports, paths and domain."""

import os
import re
import subprocess

import pytest

from lib import ports
from lib.recipes import block, configured, recipes_postfix, relays_nothing, serves
from lib.smtp import Client
from lib.waiting import PATIENCE, until

USER = "alice@example.test"
SPAM = b"Subject: buy me\r\n\r\nx\r\n"


class Site:
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


@pytest.fixture
def site(mired, postfix, tmp_path):
    return lambda **options: Site(mired, postfix, tmp_path, **options)


def test_while_the_primary_is_up_it_decides_and_nothing_is_queued(site):
    s = site()
    source = serves(s.m)
    assert b"Subject: good" in s.mx1.delivered(USER)[0]
    s.mx1.wait_log(rf"client=unknown\[{re.escape(source)}\]")
    reply = s.send(SPAM)
    assert reply.code == 550 and "no spam here" in reply
    assert "from=<a@b.test>" not in s.queue.log


def test_while_the_primary_is_down_only_mail_for_people_is_queued(site):
    s = site()
    s.mx1.stop()
    serves(s.m)  # a typo is refused and held, as ever
    s.queue.wait_log(rf"to=<{re.escape(USER)}>, .*status=deferred")
    s.mx1.start()
    assert b"Subject: good" in s.mx1.delivered(USER)[0]


def test_the_list_is_fetched_as_it_is_written(site, tmp_path):
    s = site()
    (tmp_path / "mx1").mkdir()
    new = "carol@example.test"
    (tmp_path / "mx1" / "recipients").write_text(f"{USER}\n{new}\n")
    script = block("backup-mx", "fetch-recipients").replace("/etc/mired/recipients.new", f"{s.people}.new")
    script = script.replace("mx1.example.test:/etc/mired/recipients", str(tmp_path / "mx1" / "recipients"))
    script = script.replace("/etc/mired/recipients", str(s.people)).replace("scp -q", "cp")

    def fetch():
        return subprocess.run(["sh", "-c", script], capture_output=True, timeout=PATIENCE).returncode

    assert fetch() == 0
    until(lambda: '"taken"' in s.m.control("--json", "recipient", new).stdout, why="the list is not reread", every=0.1)
    assert s.send(b"Subject: new\r\n\r\nx\r\n", new).code == 250
    os.unlink(tmp_path / "mx1" / "recipients")
    assert fetch() != 0 and s.people.read_text() == f"{USER}\n{new}\n"


def test_the_backup_relays_nothing_whether_the_primary_is_up_or_down(site):
    s = site(tarpit="time = 0")
    relays_nothing(s.m)
    s.mx1.stop()
    relays_nothing(s.m)


def test_neither_postfix_relays_for_the_machine_that_mired_is_on(site):
    """A way past mired, from its own machine, leads nowhere."""
    s = site()
    for server in (s.mx1, s.queue):
        with Client(server.port) as client:
            client.ehlo()
            assert [r.code for r in client.envelope("a@b.test", ["joe@evil.test", USER])] == [554, 250]
