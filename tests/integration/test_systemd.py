"""mired under a systemd of the test's own, in the unit of the package and with all that the unit forbids."""

import json

import pytest

from lib import manager, ports, processes
from lib.mired import SANITIZED
from lib.smtp import Client, deliver
from lib.waiting import until

pytestmark = [
    pytest.mark.skipif(bool(manager.unable()), reason=manager.unable()),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls and memory that the unit forbids"),
]

CONFIG = """
hostname = "mx.example.test"
domains = { "example.test" }
workers = 2
listen "127.0.0.1:@PORT@" { }
recipients "file" { path = "/etc/mired/recipients" }
backend "maildir" { }
tarpit { time = 0  ledger_size = 65536 }
"""


class Machine(manager.Manager):
    """With a configuration; `port` is where mired listens."""

    def __init__(self):
        super().__init__()
        self.port = ports.free()
        (self.root / "etc/mired/mired.conf").write_text(CONFIG.replace("@PORT@", str(self.port)))
        (self.root / "etc/mired/recipients").write_text("alice@example.test\n")

    def start(self):
        self.must("systemctl", "start", "mired")

    def stop(self):
        self.must("systemctl", "stop", "mired")
        assert self.show("Result") == {"Result": "success"}

    def passes(self):
        assert deliver(self.port, "a@b.test", "alice@example.test").code == 250
        with Client(self.port) as c:
            c.ehlo()
            assert c.envelope("a@b.test", ["nobody@example.test"])[0].code == 550

    def users(self):
        """Role -> the names of the users that its processes run as."""
        names = dict(reversed(line.split(":")[:3:2]) for line in self.must("getent", "passwd").splitlines())
        roles = {}
        for pid in processes.children(self.master()):
            try:
                ids = set(processes.status(pid, "Uid").split())
            except (FileNotFoundError, ProcessLookupError):  # of the earlier generation, and just gone
                continue
            assert len(ids) == 1
            roles.setdefault(processes.command(pid).removeprefix("mired: ").split()[0], set()).add(names[ids.pop()])
        return roles

    def messages(self):
        return [p for p in (self.root / "var/lib/mired/mail").rglob("*") if p.is_file() and p.parent.name == "new"]

    def remembers(self, client):
        """That 30 offences of it were booked; they expire slowly."""
        return 20 < json.loads(self.must("mirectl", "--json", "show", client))["client"]["offences"] <= 30

    def status(self):
        return json.loads(self.must("mirectl", "--json", "status"))


@pytest.fixture
def machine():
    try:
        made = Machine()
    except manager.CannotBoot as e:
        pytest.skip(f"no second systemd runs here: {e}")
    yield made
    print(f"--- log of the mired\n{made.log[-20000:]}")
    made.close()


def assert_well(log):
    """No process died, and each is confined as it is outside systemd."""
    for words in ("child_died", "not confined", "cannot be protected", "level=error"):
        assert words not in log


def test_the_unit_lets_mired_serve_reload_upgrade_and_end(machine):
    machine.script("postinst", "configure", "0.1.0")
    machine.start()
    machine.passes()
    sandbox = machine.status()["sandbox"]
    assert sandbox["seccomp"] == sandbox["landlock"] > 5 and sandbox["none"] == 0
    machine.must("systemctl", "reload", "mired")
    until(lambda: "generation 2 serves" in machine.log)
    machine.passes()
    machine.must("mirectl", "upgrade")
    machine.passes()
    machine.stop()
    assert_well(machine.log)


def test_a_unit_that_forbids_landlock_costs_landlock_and_no_mail(machine):
    """A unit that the administrator has copied is older than the program, and a running master keeps its filter."""
    unit = machine.root / "run/units/mired.service"
    unit.write_text(unit.read_text().replace("landlock_create_ruleset landlock_add_rule landlock_restrict_self", ""))
    machine.must("systemctl", "daemon-reload")
    machine.script("postinst", "configure", "0.1.0")
    machine.start()
    machine.passes()
    assert "(SystemCallFilter of the unit) forbids Landlock" in machine.log
    sandbox = machine.status()["sandbox"]
    assert sandbox["landlock"] == 0 and sandbox["seccomp"] > 5
    machine.must("mirectl", "upgrade")
    machine.passes()
    machine.stop()
    assert "child_died" not in machine.log
