"""docs/recipes/backup-mx.md as it is written: a mired and a Postfix on either machine, but for ports, paths and domain."""

import os
import re
import subprocess

import pytest

from lib.recipes import block, relays_nothing, serves
from lib.sites import USER, BackupMx
from lib.smtp import Client
from lib.waiting import PATIENCE, until

SPAM = b"Subject: buy me\r\n\r\nx\r\n"


@pytest.fixture
def site(mired, postfix, tmp_path):
    return lambda **options: BackupMx(mired, postfix, tmp_path, **options)


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
