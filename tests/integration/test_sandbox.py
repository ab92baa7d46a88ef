"""The sandbox in a running mired: each process is confined, says so, and a process that was taken over gives no command.

What each role's sandbox forbids is tried call by call in tests/unit/master/test_sandbox.c.
"""

import contextlib
import json
import os
import pathlib

import pytest

from lib import processes
from lib.mired import BUILD, SANITIZED, Mired

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs")

ROLES = ("worker", "clerk", "store", "freezer", "web")
DOOR = BUILD / "tests" / "door" / "mired-door"


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.fixture
def start():
    running = []

    def begin(**arguments):
        running.append(Mired(**arguments).start())
        return running[-1]

    yield begin
    wrong = [line for mired in running for line in mired.stop()]
    assert not wrong


def test_each_process_is_confined_and_status_says_so(start):
    mired = start(tarpit="time = 20s freeze = \"auto\"")
    children = processes.children(mired.pid)
    for role in ROLES:
        assert mired.processes(role), role
    for pid in children:
        status = status_of(pid)
        threads = [status_of(f"{pid}/task/{t.name}") for t in pathlib.Path(f"/proc/{pid}/task").iterdir()]
        assert {t["Seccomp"] for t in threads} == {"2"}, processes.command(pid)
        assert status["NoNewPrivs"] == "1"
        assert pathlib.Path(f"/proc/{pid}/limits").read_text().count("Max core file size        0") == 1
    sandbox = json.loads(mired.control("status", "--json").stdout)["sandbox"]
    assert sandbox["seccomp"] == sandbox["landlock"] == len(children)
    assert sandbox["none"] == 0
    assert f"seccomp in {len(children)} processes" in mired.control("status").stdout


def test_it_can_be_turned_off_and_says_so(start):
    mired = start(config="sandbox = false")
    children = processes.children(mired.pid)
    assert {status_of(pid)["Seccomp"] for pid in children} == {"0"}
    assert json.loads(mired.control("status", "--json").stdout)["sandbox"]["none"] == len(children)
    assert "not confined" in mired.control("status").stdout


def test_children_are_a_process_group_of_their_own_also_after_an_upgrade(start):
    mired = start()

    def group(pid):
        with contextlib.suppress(ProcessLookupError):  # of the earlier generation, and just gone
            return os.getpgid(pid)

    def groups():
        return {group(pid) for pid in processes.children(mired.pid)} - {None}

    before = groups()
    assert len(before) == 1
    assert os.getpgid(mired.pid) not in before
    assert mired.control("upgrade", timeout=30).returncode == 0
    assert groups() == before


@pytest.mark.parametrize("role", ["mired worker", "mired clerk"])
def test_a_process_that_was_taken_over_gives_no_command(start, monkeypatch, role):
    mired = Mired(program=DOOR)
    monkeypatch.setenv("MIRED_DOOR", role)
    monkeypatch.setenv("MIRED_DOOR_CONTROL", str(mired.folder / "run" / "control"))
    mired.start()
    try:
        mired.log.wait("door: answer")
        assert '"ok":true' not in mired.log.text.replace(" ", "")
        mired.log.wait("of mired itself tried to give a command")
        assert mired.daemon.running
        assert mired.control("status").returncode == 0  # others may
    finally:
        assert not mired.stop()
