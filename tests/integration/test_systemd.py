"""mired under a systemd of the test's own, in the unit of the package and with all that the unit forbids."""

import json
import os
import pathlib
import re
import signal
import time

import pytest

from lib import manager, ports, processes
from lib.mired import SANITIZED, SOURCE
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

    def take_configuration(self):
        """Away, to a name that ends with .later."""
        config = self.root / "etc/mired/mired.conf"
        return config.rename(config.with_suffix(".later"))

    def stop(self):
        self.must("systemctl", "stop", "mired")
        assert self.show("Result") == {"Result": "success"}

    def dropin(self):
        """The text of the drop-in; None if there is none. Here a link of that machine would lead elsewhere."""
        done = self.run("cat", f"/{DROPIN}")
        return done.stdout if done.returncode == 0 else None

    def dropin_is_link(self):
        return self.run("readlink", f"/{DROPIN}").stdout == "/run/program/separate-users.conf\n"

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

    def ids(self, user):
        """Its id, its group's and all of its groups'."""
        return int(self.must("id", "-u", user)), int(self.must("id", "-g", user)), set(map(int, self.must("id", "-G", user).split()))

    def wait_rights(self, users, bounding):
        """Until each process has exactly the rights that SECURITY.md gives its role."""
        ids = {role: self.ids(users.get(role, "mired")) for role in ("worker", "clerk", "store", "keeper", "web", "freezer")}

        def wrong():
            return processes.rights_of_children(self.master(), ids.get, bounding=bounding)

        until(lambda: not wrong(), why=lambda: "\n".join(wrong()))

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


@pytest.mark.parametrize("version", ["0.1.0", ""])
def test_a_reload_by_systemd_says_what_has_become_of_it(machine, version):
    """With one user, and with a user for each kind of process."""
    machine.script("postinst", "configure", version)
    machine.start()
    machine.must("systemctl", "reload", "mired")
    assert machine.status()["generation"] == 2
    config = machine.root / "etc/mired/mired.conf"
    right = config.read_text()
    config.write_text(right + "frobnicate = 3\n")
    done = machine.run("systemctl", "reload", "mired")
    assert done.returncode == 1 and "Job for mired.service failed" in done.stderr
    assert "unknown key frobnicate" in machine.log
    assert machine.show("ActiveState") == {"ActiveState": "active"} and machine.status()["generation"] == 2
    machine.passes()
    mail = machine.root / "var/lib/mired/mail"
    mail.rename(mail.with_name("kept"))  # the new processes start, and one of them cannot serve
    mail.write_text("no folder")
    config.write_text(right.replace("mx.example.test", "other.example.test"))
    done = machine.run("systemctl", "reload", "mired")
    assert done.returncode == 1 and "its processes cannot start" in machine.log
    assert machine.show("ActiveState") == {"ActiveState": "active"} and machine.status()["generation"] == 2
    mail.unlink()
    mail.with_name("kept").rename(mail)
    machine.passes()
    config.write_text(right)
    (machine.root / "run/mired/control").unlink()  # as where `run` is another folder
    machine.must("systemctl", "reload", "mired")
    until(lambda: "generation 4 serves" in machine.log)
    machine.passes()
    machine.stop()


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


def test_a_unit_that_forbids_io_uring_costs_io_uring_and_no_mail(machine):
    """By the line of SECURITY.md. The freezer opens its ring before it confines itself."""
    (line,) = re.findall(r"`(SystemCallFilter=~io_uring\S+)`", (SOURCE / "SECURITY.md").read_text())
    config = machine.root / "etc/mired/mired.conf"
    config.write_text(config.read_text().replace("time = 0", "time = 1s"))
    machine.script("postinst", "configure", "0.1.0")

    def rings():
        """How many there are when all processes are confined."""
        until(lambda: (now := machine.status()["sandbox"])["none"] == 0 and now["seccomp"] == len(processes.children(machine.master())))
        fds = [fd for pid in processes.children(machine.master()) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        return [os.readlink(fd) for fd in fds].count("anon_inode:[io_uring]")

    machine.start()
    machine.passes()
    if not rings():
        pytest.skip("this kernel has no ring for the freezer")
    machine.stop()
    dropin = machine.root / "etc/systemd/system/mired.service.d/no-io_uring.conf"
    dropin.parent.mkdir(exist_ok=True)
    dropin.write_text(f"[Service]\n{line}\n")
    machine.must("systemctl", "daemon-reload")
    machine.start()
    machine.passes()
    assert rings() == 0
    machine.stop()
    assert_well(machine.log)


def commands():
    """There and back, as docs/operations.md has them."""
    text = (SOURCE / "docs/operations.md").read_text().split("## A user for each kind of process", 1)[1].split("\n## ", 1)[0]
    there, back = re.findall(r"```sh\n(.*?)```", text, re.S)
    return there.replace("/usr/share/mired", "/run/program"), back


OWN = {"worker": "mired-worker", "clerk": "mired-clerk", "store": "mired-store", "keeper": "mired-keeper"}
DROPIN = "etc/systemd/system/mired.service.d/separate-users.conf"
MASTER_KEEPS = sum(1 << cap for cap in (0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 18))  # capability.h, in the order of the drop-in's text

UNIT_KEEPS = sum(1 << cap for cap in (10, 12, 18))


def runs_apart(machine):
    return machine.users() == {**{role: {name} for role, name in OWN.items()}, "web": {"mired"}}


def test_a_new_installation_has_a_user_for_each_kind_of_process(machine):
    machine.script("postinst", "configure", "")
    machine.start()
    machine.passes()
    assert runs_apart(machine)
    assert int(processes.status(machine.master(), "CapPrm"), 16) == MASTER_KEEPS
    machine.wait_rights(OWN, bounding=0)
    master = processes.rights(machine.master())
    assert master["CapEff"] == master["CapBnd"] == MASTER_KEEPS and master["CapInh"] == master["CapAmb"] == 0
    assert master["NoNewPrivs"] == 1 and master["core"] == ("0", "0") and master["reader"] == 0
    assert machine.owner("/var/lib/mired/mail") == machine.owner("/var/lib/mired/mail/example.test") == "mired-store"
    assert machine.owner("/var/lib/mired") == machine.owner("/var/lib/mired/ledger") == "mired"
    sandbox = machine.status()["sandbox"]
    assert sandbox["seccomp"] == sandbox["landlock"] > 5 and sandbox["none"] == 0 and sandbox["root"] >= 4
    machine.must("systemctl", "reload", "mired")
    until(lambda: "generation 2 serves" in machine.log)
    machine.passes()
    machine.must("mirectl", "upgrade")
    machine.passes()
    until(lambda: runs_apart(machine))  # and none of an earlier generation is left
    machine.stop()
    assert_well(machine.log)
    machine.start()
    machine.passes()
    assert len(machine.messages()) == 4
    assert "now belongs to" not in machine.log.split("event=stop")[-1]


def test_the_master_ends_a_process_of_another_user_that_hangs(machine):
    machine.script("postinst", "configure", "")
    (machine.root / "run/units/mired.service.d/soon.conf").write_text("[Service]\nWatchdogSec=3s\n")
    machine.must("systemctl", "daemon-reload")
    machine.start()
    workers = [p for p in processes.children(machine.master()) if processes.command(p).startswith("mired: worker")]
    os.kill(workers[0], signal.SIGSTOP)
    until(lambda: re.search(r"event=child_died .*child=worker .*signal=KILL", machine.log))
    assert "has not answered" in machine.log and not processes.alive(workers[0])
    until(lambda: runs_apart(machine))
    machine.passes()
    machine.stop()


def test_an_older_installation_keeps_its_user_until_it_is_switched_and_back(machine):
    """With the commands of docs/operations.md, and nothing is lost on the way."""
    there, back = commands()
    machine.script("postinst", "configure", "0.1.0")
    assert not os.path.lexists(machine.root / DROPIN)
    machine.start()
    machine.passes()
    one = {**{role: {"mired"} for role in OWN}, "web": {"mired"}}
    assert machine.users() == one
    # Only root may make the bounding set smaller than the unit has made it; without an exec() it gives nothing.
    machine.wait_rights({}, bounding=UNIT_KEEPS)
    master = processes.rights(machine.master())
    assert master["CapEff"] == master["CapBnd"] == UNIT_KEEPS and master["NoNewPrivs"] == 1
    assert master["core"] == ("0", "0") and master["reader"] == 0
    machine.must("mirectl", "penalise", "192.0.2.7", "--offences", "30")
    machine.must("sh", "-ec", there)
    machine.passes()
    assert runs_apart(machine)
    assert machine.remembers("192.0.2.7")
    assert {machine.owner(f"/{path.relative_to(machine.root)}") for path in machine.messages()} == {"mired-store"}
    assert len(machine.messages()) == 2

    # Somebody forgets the chown.
    assert machine.run("sh", "-ec", back.replace("chown", ": chown")).returncode == 1
    machine.must("systemctl", "stop", "mired")
    machine.run("systemctl", "reset-failed", "mired")  # systemd may have tried to start it several times
    told = re.search(r"/var/lib/mired/mail belongs to uid .* run (chown -R \d+:\d+ /var/lib/mired/), and", machine.log)
    machine.must("sh", "-c", told[1])
    forgotten = len(machine.log)
    machine.start()
    machine.passes()
    assert machine.users() == one
    machine.must("sh", "-ec", there)
    machine.must("sh", "-ec", back)
    machine.passes()
    assert machine.users() == one
    assert len(machine.messages()) == 4
    assert machine.remembers("192.0.2.7")
    assert "belongs to uid" not in machine.log[forgotten:] and "child_died" not in machine.log[forgotten:]


def test_a_return_to_a_version_with_one_user_gives_it_everything(machine):
    machine.script("postinst", "configure", "")
    machine.start()
    machine.passes()
    machine.script("prerm", "upgrade", machine.must("mired", "-V").split()[1] + "+1")  # not a return
    assert machine.owner("/var/lib/mired/mail") == "mired-store"
    machine.script("prerm", "upgrade", "0.1.0")
    whose = machine.must("find", "/var/lib/mired", "-printf", "%u\n").split()
    assert len(whose) > 10 and set(whose) == {"mired"}
    machine.must("mirectl", "upgrade")  # as the other version's script does
    machine.passes()
    machine.stop()


def test_what_an_administrator_has_made_before_the_package_keeps_one_user(machine):
    """Settings of the unit, a unit of one's own, or mail that a purge has left."""
    for before in ("etc/systemd/system/mired.service.d", "etc/systemd/system/mired.service", "var/lib/mired"):
        (machine.root / before).mkdir(parents=True)
        machine.script("postinst", "configure", "")
        assert not os.path.lexists(machine.root / DROPIN)
        (machine.root / before).rmdir()
    machine.start()
    machine.passes()
    assert machine.users()["store"] == {"mired"}


def test_half_an_installation_before_is_made_whole(machine):
    """The disk was full, or the power went, while the first configuration copied its file."""
    half = (machine.root / DROPIN).parent.with_suffix(".d.new")
    half.mkdir(parents=True)
    (half / "separate-users.conf").write_text("[Service]\nUser=root\n")
    machine.script("postinst", "configure", "")
    assert machine.dropin() == (SOURCE / "dist/separate-users.conf").read_text() and not half.exists()


def test_the_drop_in_changes_with_the_package(machine):
    """Also where it was a copy that nobody has changed, as earlier versions and documents made it."""
    packaged = machine.root / "run/program/separate-users.conf"
    later = packaged.read_text() + "# of a later version\n"
    for made in ("by a first installation", "as a copy, before", "as a copy of this version"):
        (machine.root / DROPIN).unlink(missing_ok=True)
        packaged.write_text((SOURCE / "dist/separate-users.conf").read_text())
        if made == "by a first installation":
            machine.script("postinst", "configure", "")
        else:
            machine.must("cp", "/run/program/separate-users.conf", f"/{DROPIN}")
        if made == "as a copy of this version":
            machine.script("postinst", "configure", "0.2.0~")  # the version before it had no preinst
        machine.script("preinst", "upgrade", "0.2.0")
        packaged.write_text(later)
        machine.script("postinst", "configure", "0.2.0")
        assert machine.dropin_is_link() and machine.dropin() == later, made
    machine.start()
    machine.passes()
    assert runs_apart(machine)
    machine.stop()


def test_a_drop_in_of_the_administrators_own_stays_and_is_named(machine):
    machine.script("postinst", "configure", "")
    (machine.root / DROPIN).unlink()
    (machine.root / DROPIN).write_text("[Service]\nUser=root\n")
    machine.script("preinst", "upgrade", "0.1.0")
    said = machine.run("sh", "-ec", f"{machine.text_of('postinst')}", "postinst", "configure", "0.1.0")
    assert said.returncode == 0 and machine.dropin() == "[Service]\nUser=root\n"
    assert f"/{DROPIN} is a file of yours, and differs from /run/program/separate-users.conf" in said.stderr
    machine.must("sh", "-ec", commands()[0].split("systemctl restart")[0])  # as the document says
    assert machine.dropin_is_link()
    assert "file of yours" not in machine.run("sh", "-ec", machine.text_of("postinst"), "postinst", "configure", "0.2.0").stderr


def test_a_link_that_leads_nowhere_does_no_harm(machine):
    """The package is removed, or an earlier version has come back; a later one finds the link again."""
    machine.script("postinst", "configure", "")
    packaged = machine.root / "run/program/separate-users.conf"
    away = packaged.rename(packaged.with_suffix(".away"))
    machine.must("systemctl", "daemon-reload")
    assert machine.show("User", "LoadState") == {"User": "mired", "LoadState": "loaded"}
    away.rename(packaged)
    machine.script("postinst", "configure", "0.1.0")
    assert machine.show("User") == {"User": "root"}


def test_no_number_of_failed_starts_ends_the_tries(machine):
    """At boot an address, a mount or a certificate may come minutes late. Here it is the configuration."""
    machine.script("postinst", "configure", "")
    (machine.root / "run/units/mired.service.d/soon.conf").write_text("[Service]\nRestartSec=100ms\n")
    machine.must("systemctl", "daemon-reload")
    later = machine.take_configuration()
    assert machine.run("systemctl", "start", "mired").returncode != 0
    until(lambda: int(machine.show("NRestarts")["NRestarts"]) > 6)
    later.rename(later.with_suffix(".conf"))
    until(lambda: machine.show("ActiveState") == {"ActiveState": "active"})
    machine.passes()
    machine.stop()


def test_a_wrong_configuration_is_tried_at_a_pace_that_fills_no_journal(machine):
    """And a person who has corrected it does not wait for the next try."""
    machine.script("postinst", "configure", "")
    later = machine.take_configuration()
    assert machine.run("systemctl", "start", "mired").returncode != 0
    begun = []
    for tries in (1, 2):
        until(lambda: int(machine.show("NRestarts")["NRestarts"]) == tries)
        begun.append(time.monotonic())
    assert begun[1] - begun[0] > 8  # a slow machine makes it longer
    assert len(machine.log.splitlines()) <= 3 * 4
    (machine.root / "run/units/mired.service.d/late.conf").write_text("[Service]\nRestartSec=1h\n")
    machine.must("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "mired")
    until(lambda: machine.show("SubState") == {"SubState": "auto-restart"})
    later.rename(later.with_suffix(".conf"))
    machine.must("systemctl", "restart", "mired")  # `start` would wait for the next try
    machine.passes()
    machine.stop()


def test_mail_waits_for_the_mount_of_its_folder_and_a_worker_killed_for_memory_ends_no_other(machine):
    for old in ("0.1.0", ""):
        machine.script("postinst", "configure", old)
        shown = machine.show("RequiresMountsFor", "OOMPolicy")
        assert "/var/lib/mired" in shown["RequiresMountsFor"].split() and shown["OOMPolicy"] == "continue"


def test_a_package_that_is_removed_runs_no_more(machine):
    machine.script("postinst", "configure", "")
    machine.start()
    machine.passes()
    master = machine.master()
    machine.script("prerm", "remove")
    assert not processes.alive(master) and machine.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    machine.script("postrm", "remove")
    assert len(machine.messages()) == 1


def test_without_systemd_it_runs_no_more_either(machine):
    """Somebody has started it by hand."""
    machine.script("postinst", "configure", "")
    machine.must("sh", "-c", "mired >/run/mired.log 2>&1 & exec 2>&1; until [ -S /run/mired/control ]; do sleep 0.1; done")
    until(lambda: machine.run("mirectl", "status").returncode == 0)
    machine.script("prerm", "remove")
    until(lambda: not (machine.root / "run/mired/control").exists())


@pytest.mark.parametrize("edited", [False, True])
def test_an_installation_after_a_purge_opens_the_mailboxes_that_it_left(machine, edited):
    """They belong to mired-store still, and only root can start processes as it. Settings of the administrator's own
    are beside those of the package (systemctl edit)."""
    machine.script("postinst", "configure", "")
    if edited:
        (machine.root / DROPIN).with_name("override.conf").write_text("[Service]\nLimitNOFILE=10000\n")
    machine.start()
    machine.passes()
    machine.stop()
    machine.script("postrm", "purge")
    machine.script("postinst", "configure", "")
    machine.start()
    machine.passes()
    assert runs_apart(machine) and len(machine.messages()) == 2
    machine.stop()


def test_a_purge_leaves_no_number_to_the_next_user(machine):
    """What it may not remove (keys, mailboxes of another `state`, backups) belongs to nobody else then."""
    machine.script("postinst", "configure", "")
    machine.must("install", "-D", "-o", "root", "-g", "mired", "-m", "0640", "/dev/null", "/etc/mired/tls.key")
    machine.must("install", "-D", "-o", "mired-store", "-m", "0600", "/dev/null", "/var/lib/other/mail/message")
    machine.script("postrm", "purge")
    machine.must("adduser", "--system", "--group", "--quiet", "--no-create-home", "next")
    assert machine.must("stat", "-c", "%G", "/etc/mired/tls.key").strip() == "mired"
    assert machine.owner("/var/lib/other/mail/message") == "mired-store"


def test_what_is_purged_does_not_start_by_itself_when_it_comes_again(machine):
    """A link of the administrator's own unit stays."""
    machine.script("postinst", "configure", "")
    wants = machine.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for target, stays in (("/lib/systemd/system", False), ("/usr/lib/systemd/system", False), ("/etc/systemd/system", True)):
        (wants / "mired.service").symlink_to(f"{target}/mired.service")
        machine.script("postrm", "purge")
        assert (wants / "mired.service").is_symlink() == stays


def test_a_purge_leaves_mail_and_its_user(machine):
    machine.script("postinst", "configure", "")
    machine.start()
    machine.passes()
    machine.stop()
    machine.script("postrm", "purge")
    assert not (machine.root / DROPIN).parent.exists()
    assert [p.name for p in (machine.root / "var/lib/mired").iterdir()] == ["mail"] and len(machine.messages()) == 1
    assert machine.owner("/var/lib/mired/mail") == "mired-store"
