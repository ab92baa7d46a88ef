"""What others can do to the master, which has the keys of certificates: it leaves no core file, nobody but root can read or
trace it, and an upgrade keeps the rights that it has."""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile

import pytest

from lib import processes
from lib.mired import PROGRAM, SANITIZED, UNDER, Mired
from lib.smtp import deliver
from lib.waiting import PATIENCE, until

USER = "alice@example.test"
NOBODY = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
UNLIMITED = ["sh", "-c", 'ulimit -c "$(ulimit -H -c)" && exec "$@"', "sh"]
BIND = 1 << 10  # CAP_NET_BIND_SERVICE

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to be somebody else")


def status_of(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.split()[1]


@pytest.fixture
def program():
    """A copy that anybody can run, in a folder where files may have capabilities."""
    with tempfile.TemporaryDirectory(prefix="mired-program-") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(PROGRAM.resolve(), f"{folder}/mired")
        yield pathlib.Path(f"{folder}/mired")


@pytest.fixture
def nobodys(program):
    """A mired that nobody starts, with keys and passwords to lose."""
    started = []

    def start(**options):
        m = Mired(user="nobody", prefix=NOBODY, program=program, **options)
        for path in (m.file, m.recipients, m.passwords):
            path.chmod(0o644)
        shutil.chown(m.folder, "nobody")
        started.append(m)
        return m.start()

    yield start
    for m in started:
        assert m.stop() == []


def unreadable(pid):
    """Its files in /proc are root's, and its own user is refused."""
    if os.stat(f"/proc/{pid}/mem").st_uid != 0:
        return False
    read = subprocess.run([*NOBODY, "head", "-c", "1", f"/proc/{pid}/maps"], capture_output=True)
    return read.returncode != 0


@pytest.mark.skipif(UNDER, reason="that user cannot write what valgrind says")
def test_its_own_user_can_read_neither_the_master_nor_another_process(nobodys):
    m = nobodys()
    with subprocess.Popen([*NOBODY, "sleep", "60"]) as other:  # this one is readable
        until(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        assert not unreadable(other.pid)
        other.kill()
    assert m.control("reload").returncode == 0
    assert m.control("upgrade").returncode == 0  # exec() makes it readable, for a moment
    for pid in (m.pid, *processes.children(m.pid)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of an earlier generation, and just gone
            assert unreadable(pid) or not processes.command(pid)  # a zombie has no memory any more
    assert status_of(m.pid, "NoNewPrivs") == "1"
    assert deliver(m.port, "a@b.test", USER).code == 250


def dumps(arguments):
    """Whether these, which abort, leave a core file where the limit allows it."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([*UNLIMITED, *arguments], cwd=folder) as ran:
        _, status = os.waitpid(ran.pid, 0)
        ran.returncode = status
        return os.WCOREDUMP(status)


def test_a_master_that_dies_leaves_no_core_file(tmp_path):
    if not dumps(["sh", "-c", "kill -ABRT $$"]):
        pytest.skip("nothing leaves a core file here")
    m = Mired(prefix=[*UNLIMITED, "env", f"--chdir={tmp_path}"])
    m.deaths_expected = True
    m.start()
    assert resource.prlimit(m.pid, resource.RLIMIT_CORE) == (0, 0)
    children = processes.children(m.pid)
    os.kill(m.pid, signal.SIGABRT)
    assert m.daemon.process.wait(PATIENCE) == -signal.SIGABRT
    assert processes.wait_gone(children) == []
    assert os.listdir(tmp_path) == []
    m.stop()


def capabilities(pid):
    return int(status_of(pid, "CapPrm"), 16)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's library is not found by a program with capabilities")
@pytest.mark.skipif(not shutil.which("setcap"), reason="no setcap")
def test_an_upgrade_keeps_the_capabilities_of_the_programs_file(nobodys, program):
    subprocess.run(["setcap", "cap_net_bind_service=ep", program], check=True)
    m = nobodys()
    assert capabilities(m.pid) == BIND and status_of(m.pid, "NoNewPrivs") == "0"
    for _ in range(2):
        assert m.control("upgrade").returncode == 0
        assert capabilities(m.pid) == BIND and unreadable(m.pid)
    assert deliver(m.port, "a@b.test", USER).code == 250
