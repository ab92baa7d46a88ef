"""A systemd of the test's own, which runs mired's unit with all that the unit forbids.

It is process 1 of a PID namespace, in a cgroup of its own. /etc is a copy, and /run, /tmp and /var/lib are empty, so that
the package's scripts can make users there. Nothing of the machine is touched but the cgroup, which is removed at the end;
the kernel's settings are read-only for it. The network is the machine's. The test reads files through `root`.
"""

import os
import pathlib
import shutil
import subprocess
import time

from . import processes, temporary
from .mired import BUILD, SOURCE
from .waiting import until

SYSTEMD = "/lib/systemd/systemd"
PATH = "/run/program:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("unshare", "nsenter", "systemctl", "adduser", "deluser")

# $1: an empty folder. In the first half for a cgroup, in the second half for the rest.
FIRST = """
set -e
mount --make-rprivate /
mkdir $1/groups
mount -t cgroup2 cgroup2 $1/groups
mkdir $1/groups/$2
echo $$ >$1/groups/$2/cgroup.procs
exec unshare --cgroup sh -c "$3" sh "$1"
"""
SECOND = """
set -e
umount $1/groups
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir $1/etc
cp -a /etc/. $1/etc
mount --bind $1/etc /etc
mount -t tmpfs -o mode=755 tmpfs /var/lib
rm -rf /etc/systemd/system/* /etc/mired
mkdir -p /run/units/mired.service.d /run/lock /run/program /var/lib/systemd /etc/mired
cp $1/mired $1/mirectl $1/separate-users.conf /run/program
cp $1/mired.service /run/units
printf '[Service]\\nStandardOutput=append:/run/mired.log\\nStandardError=inherit\\n' >/run/units/mired.service.d/log.conf
for target in sysinit basic shutdown network-online multi-user start; do
    printf '[Unit]\\nDescription=%s\\nDefaultDependencies=no\\n' $target >/run/units/$target.target
done
touch $1/console
mount --bind $1/console /dev/console
if [ -e /usr/sbin/policy-rc.d ]; then # it may forbid services, as in containers
    mount --bind /bin/true /usr/sbin/policy-rc.d
fi
for folder in /tmp /var/tmp; do # systemd makes some there for the unit
    mount -t tmpfs -o mode=1777 tmpfs $folder
done
exec env -i PATH=@PATH@ container=mired-test \\
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units @SYSTEMD@ --system --unit=start.target --show-status=no
""".replace("@SYSTEMD@", SYSTEMD).replace("@PATH@", PATH)


def unable():
    """Why no systemd can run here; empty where it can."""
    if os.geteuid() != 0:
        return "a systemd of its own needs root"
    for tool in (SYSTEMD, *TOOLS):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return ""


class CannotBoot(Exception):
    """This machine does not let a second systemd run."""


class Manager:
    """It has the unit, and no mired.conf yet. `pid` is its process 1."""

    def __init__(self):
        self.folder = temporary.folder("systemd-")
        for name in ("mired", "mirectl"):
            shutil.copy(BUILD / name, self.folder / name)
        shutil.copy(SOURCE / "dist/separate-users.conf", self.folder)
        unit = (SOURCE / "dist/mired.service").read_text()
        unit = unit.replace("/usr/sbin/mired", "/run/program/mired").replace("/usr/bin/mirectl", "/run/program/mirectl")
        (self.folder / "mired.service").write_text(unit)
        self.group = f"mired-test-{os.getpid()}-{self.folder.name.rsplit('-', 1)[1]}"
        self.output = (self.folder / "output").open("wb")
        self.outer = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc",
             "sh", "-c", FIRST, "sh", self.folder, self.group, SECOND],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.pid = None
        try:
            self._wait_booted(120)
        except CannotBoot:
            self.close()
            raise

    def _wait_booted(self, seconds):
        end = time.monotonic() + seconds
        while self.outer.poll() is None and time.monotonic() < end:
            self.pid = next(iter(processes.children(self.outer.pid)), None)
            if self.pid and "systemd" in processes.command(self.pid):
                shown = self.run("systemctl", "is-active", "start.target")
                if shown.stdout.strip() == "active":
                    return
            time.sleep(0.1)
        raise CannotBoot((self.folder / "output").read_text()[-1000:])

    @property
    def root(self):
        """What the machine's files are for a process of this systemd's."""
        return pathlib.Path(f"/proc/{self.pid}/root")

    @property
    def log(self):
        """What mired has said."""
        try:
            return (self.root / "run/mired.log").read_text()
        except FileNotFoundError:
            return ""

    def run(self, *arguments, timeout=120, **options):
        """Runs a command as root beside mired."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-C", "--", "env", f"PATH={PATH}"]
        return subprocess.run([*enter, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)

    def must(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{self.log[-5000:]}"
        return done.stdout

    @staticmethod
    def text_of(name):
        """A script of the package's, with the places of this machine."""
        return (SOURCE / "debian" / f"mired.{name}").read_text().replace("/usr/share/mired", "/run/program")

    def script(self, name, *arguments):
        """Runs a script of the package's."""
        (self.root / "run" / name).write_text(self.text_of(name))
        return self.must("sh", "-e", f"/run/{name}", *arguments)

    def show(self, *properties):
        """What systemd says of mired."""
        lines = self.must("systemctl", "show", "mired", *(f"--property={p}" for p in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def master(self):
        """The id of mired's first process, for this side."""
        return next(p for p in processes.children(self.pid) if processes.command(p).startswith("/run/program/mired"))

    def owner(self, path):
        """The name of the user that a file of the machine belongs to."""
        return self.must("stat", "-c", "%U", path).strip()

    def close(self):
        if self.outer.poll() is None:
            self.outer.kill()  # and all that is in its namespaces
        self.outer.wait()
        if self.pid:
            processes.wait_gone([self.pid], 60)
        self.output.close()
        self._remove_group()
        temporary.remove(self.folder)

    def _remove_group(self):
        """The cgroup, from the machine's own mount of cgroup2."""
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            where, kind = line.split()[1:3]
            if kind == "cgroup2":
                for path, _, _ in os.walk(f"{where}/{self.group}", topdown=False):
                    until(lambda: _removed(path))
                return


def _removed(path):
    """A cgroup cannot be removed before the last of its processes is reaped."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
