"""The sandbox in a running mired: each process is confined, says so, and a process that was taken over gives no command.

What each role's sandbox forbids is tried call by call in tests/unit/master/test_sandbox.c.
"""

import contextlib
import json
import os
import pathlib
import time

import pytest

from lib import processes
from lib.mired import BUILD, SANITIZED, Mired

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs")

ROLES = ("worker", "clerk", "store", "keeper", "freezer", "web")
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


def test_a_worker_that_was_taken_over_changes_little(monkeypatch):
    """It exempts nobody, takes nothing from its own debt, and of a thousand clients with good mail it puts few in debt."""
    now = int(time.time() * 1000)
    innocents = [f"10.0.{i // 250}.{i % 250 + 1}" for i in range(1000)]
    mired = Mired(workers=1)
    mired.start()
    lines = [{"kind": "client", "address": who, "good": 20, "at_ms": now} for who in innocents]
    lines.append({"kind": "client", "address": "192.0.2.7", "offences": 30, "at_ms": now})
    file = mired.folder / "dump"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = mired.control("ledger", "load", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not mired.stop()

    mired.program = DOOR
    mired.lies_expected = True
    monkeypatch.setenv("MIRED_DOOR", "mired worker")
    mired.start()
    try:
        mired.log.wait("door: proposed", timeout=60)
        assert "door: ledger: to write: EACCES, 0 descriptors" in mired.log.text
        assert "door: mixed answers: to write: EACCES, 0 descriptors" in mired.log.text
        mired.log.wait("changes of the ledger that no worker makes")
        mired.log.wait("beyond what one may")
        dump = {}
        for line in mired.control("ledger", "dump").stdout.splitlines():
            entry = json.loads(line)
            if entry["kind"] == "client":
                dump[entry["address"]] = entry
        assert 29 < dump["192.0.2.7"]["offences"] <= 30
        assert not any(entry.get("exempt") for entry in dump.values())
        assert not any(dump[who].get("trapped") for who in innocents)
        harmed = [who for who in innocents if dump[who].get("offences", 0) >= 0.5]
        print(f"{len(harmed)} of {len(innocents)} innocents have offences")
        assert 0 < len(harmed) <= 300  # 200 at once, and 20 a second
        assert mired.daemon.running
    finally:
        mired.stop()
