"""scripts/setup installs packages for mired's tests, and changes nothing about the services of the machine.

`/usr/sbin` is a layer over the machine's in a mount namespace of the test's own, and apt-get is a stand-in, so nothing is
installed. policy-rc.d is what a package asks before it starts its service.
"""

import os
import shutil
import subprocess

import pytest

from lib import temporary
from lib.mired import SOURCE
from lib.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nsenter"), reason="needs root and nsenter")

LAYER = """
mount -t tmpfs tmpfs $0 && mkdir $0/upper $0/work &&
mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=$0/upper,workdir=$0/work /usr/sbin || exit 1
rm -f /usr/sbin/policy-rc.d
echo; read -r _
"""

# What it installs asks twice: at once, and when `gate` lets it go on.
APT = """#!/bin/sh
[ "$1" = install ] || exit 0
/usr/sbin/policy-rc.d service start; echo $? >>$HOME/asked
if [ -p $HOME/gate ]; then
    echo >$HOME/begun
    read -r _ <$HOME/gate
    /usr/sbin/policy-rc.d service start; echo $? >>$HOME/asked
fi
"""

FORBIDDEN, ALLOWED = 101, 0


class Machine:
    """One that lacks every package."""

    def __init__(self):
        self.home = temporary.folder("setup-")
        (self.home / "bin").mkdir()
        (self.home / "layer").mkdir()
        for name, text in (("apt-get", APT), ("dpkg-query", "#!/bin/sh\n"), ("debconf-set-selections", "#!/bin/sh\n")):
            (self.home / "bin" / name).write_text(text)
            (self.home / "bin" / name).chmod(0o755)
        layer = ("unshare", "--mount", "--propagation", "private", "sh", "-c", LAYER, self.home / "layer")
        self.keeper = subprocess.Popen(layer, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.can = self.keeper.stdout.readline() == b"\n"
        self.started = []

    def start(self, *command):
        environment = {"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        inside = ("nsenter", "-t", str(self.keeper.pid), "--mount", "--wd=/", *command)
        self.started.append(subprocess.Popen(inside, env=environment, stderr=(self.home / "said").open("a")))
        return self.started[-1]

    def setup(self):
        return self.start(SOURCE / "scripts/setup", "valgrind")

    def policy(self):
        """What a package hears that the administrator installs."""
        return self.start("sh", "-c", "[ ! -e /usr/sbin/policy-rc.d ] || exec /usr/sbin/policy-rc.d service start").wait()

    def has_policy(self):
        return self.start("test", "-e", "/usr/sbin/policy-rc.d").wait() == 0

    def asked(self):
        """The answers that apt-get has heard."""
        file = self.home / "asked"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def said(self):
        return (self.home / "said").read_text()

    def hold(self):
        """Packages take long from now on, until pass_gate()."""
        os.mkfifo(self.home / "gate")

    def in_the_middle(self):
        until((self.home / "begun").exists)

    def pass_gate(self):
        """One of them."""
        with (self.home / "gate").open("w") as gate:
            gate.write("\n")

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
        self.keeper.stdin.close()
        self.keeper.stdout.close()
        self.keeper.wait()


@pytest.fixture
def machine():
    made = Machine()
    if made.can:
        yield made
    made.close()
    if not made.can:
        pytest.skip("no layer can be mounted over /usr/sbin here")


def test_what_is_installed_starts_no_service_and_nothing_is_left(machine):
    assert machine.setup().wait() == 0, machine.said()
    assert machine.asked() == [FORBIDDEN]
    assert not machine.has_policy()


def test_a_setup_that_is_killed_forbids_nothing_later(machine):
    """Its apt-get lives on, and still starts no service; the administrator's does. The next set-up removes the file."""
    machine.hold()
    killed = machine.setup()
    machine.in_the_middle()
    killed.kill()
    killed.wait()
    assert machine.policy() == ALLOWED
    machine.pass_gate()
    until(lambda: machine.asked() == [FORBIDDEN, FORBIDDEN])
    (machine.home / "gate").unlink()
    assert machine.setup().wait() == 0, machine.said()
    assert machine.asked() == [FORBIDDEN] * 3
    assert not machine.has_policy()


def test_while_it_installs_the_administrators_packages_start_their_services(machine):
    machine.hold()
    setup = machine.setup()
    machine.in_the_middle()
    assert machine.policy() == ALLOWED
    machine.pass_gate()
    assert setup.wait() == 0 and machine.asked() == [FORBIDDEN, FORBIDDEN]


def test_two_at_a_time_take_turns(machine):
    """Otherwise the first one would take the file away from the second."""
    machine.hold()
    first = machine.setup()
    machine.in_the_middle()
    second = machine.setup()
    until(lambda: f"waiting for another set-up, which installs packages (process {first.pid})" in machine.said())
    assert machine.asked() == [FORBIDDEN]
    (machine.home / "begun").unlink()
    machine.pass_gate()
    assert first.wait() == 0
    machine.in_the_middle()
    machine.pass_gate()
    assert second.wait() == 0, machine.said()
    assert machine.asked() == [FORBIDDEN] * 4
    assert not machine.has_policy()


def test_a_policy_of_the_machines_own_stays(machine):
    """A container's, for example, which forbids everything."""
    write = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"
    assert machine.start("sh", "-c", write).wait() == 0
    assert machine.setup().wait() == 0, machine.said()
    assert machine.asked() == [FORBIDDEN]
    assert machine.policy() == FORBIDDEN
