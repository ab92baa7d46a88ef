"""What goes wrong with frozen holds: addresses and routes that are not there when they are due, a freezer that cannot
keep up, a disk without room. Nobody else notices, and what can still be answered is."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from lib import netns, power, processes
from lib.frozen import ask, release, told, wait_frozen, waits_frozen
from lib.mired import CONTROL, SANITIZED
from lib.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")

SECOND = "10.77.0.9"  # another address of the server's


def ip(cable, *words):
    cable.at_server(lambda: subprocess.run(["ip", *words], check=True))


def held(mired, what):
    return json.loads(mired.control("--json", "status").stdout)[what]


@pytest.mark.parametrize(
    "gone",
    [("address", f"{SECOND}/24", "dev", "server"), ("route", "10.78.0.0/16", "via", "10.77.0.2")],
    ids=["bind", "connect"],
)
def test_a_hold_that_cannot_be_put_back_is_tried_again(frozen, cable, gone):
    """bind() finds no such local address, connect() no route: both may come back, as when a cluster moves an address."""
    what, *words = gone
    ip(cable, "address", "replace", f"{SECOND}/24", "dev", "server")
    m = frozen(time=12)  # the address or the route goes before that
    client = ask(m.port, host=SECOND)
    other = ask(m.port, origin="10.77.0.2")  # who needs neither
    wait_frozen(cable, 4)
    ip(cable, what, "del", *words)
    told(other)
    assert held(m, "frozen") == 1, "it is due, and kept"
    ip(cable, what, "add", *words)
    assert told(client).seconds > 11.9
    assert client.quit().code == 221 and other.quit().code == 221
    until(lambda: held(m, "frozen") == 0)


def fill_queue(mired):
    """Clients, fifty at a time, until some of them have not gone to the freezer."""
    clients = []
    while True:
        first = len(clients)
        assert first < 2000, "the queue takes all"
        clients += [ask(mired.port, first + n) for n in range(50)]
        end = time.monotonic() + 3  # the others go within a fraction of it, unless the machine is very busy
        while held(mired, "held"):
            if time.monotonic() > end:
                return clients
            time.sleep(0.05)


@pytest.mark.long
def test_a_flood_that_the_freezer_cannot_keep_up_with_is_held_as_ordinary(frozen, cable):
    """Its queue takes so many; the others wait with their sockets until it has caught up, and all hear their answer."""
    m = frozen(time=40, workers=1)
    freezer = m.processes("freezer")[0]
    first = ask(m.port, 5000)
    until(lambda: held(m, "frozen") == 1)
    os.kill(freezer, signal.SIGSTOP)
    try:
        clients = [first, *fill_queue(m)]
        assert held(m, "frozen") == 1
    finally:
        os.kill(freezer, signal.SIGCONT)
    until(lambda: held(m, "frozen") > 50 and held(m, "frozen") + held(m, "held") == len(clients))
    for client in clients:
        assert told(client).seconds > 39.9
        client.close()


# Gives a mired a state folder of so many octets, which is gone with it.
SMALL_STATE = 'mount -t tmpfs -o size="$1" tmpfs "$(dirname "$4")/state" && shift && exec "$@"'


def small_state(octets):
    return ["unshare", "-m", "sh", "-c", SMALL_STATE, "sh", str(octets)]


def remount(mired, option):
    state = f"{mired.folder}/state"
    enter = ["nsenter", "-t", str(mired.pid), "-m"]
    subprocess.run([*enter, "mount", "-o", f"remount,{option}", state], check=True)


def state_size(mired):
    """What all of its state but the frozen table takes on the disk."""
    state = pathlib.Path(f"/proc/{mired.pid}/root{mired.folder}/state")
    files = [f for f in state.rglob("*") if f.is_file() and f.name != "frozen"]
    return sum(f.stat().st_blocks * 512 for f in files)


def replace(text, **values):
    for name, value in values.items():
        text, changed = re.subn(rf"{name} = \S+", f"{name} = {value}", text, count=1)
        assert changed
    return text


@pytest.mark.skipif(SANITIZED, reason="there is no sandbox in such a build")
@pytest.mark.parametrize("damage", ["head", "removed", "replaced"])
def test_a_table_that_the_next_freezer_cannot_open_in_its_sandbox_is_left_to_the_one_after(frozen, cable, damage):
    """A confined freezer can open no file but the one that was there when it began, and can make, rename and remove none:
    it ends, and another one, which is not confined yet, makes the file."""
    m = frozen(time=240)
    m.deaths_expected = True
    table, copy = m.folder / "state" / "frozen", m.folder / "state" / "copy"
    first = m.processes("freezer")
    os.kill(first[0], signal.SIGSTOP)  # the next one waits until this one ends, which is when the table has changed
    try:
        m.file.write_text(replace(m.file.read_text(), log_level='"info"'))
        reload = subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL)
        until(lambda: len(m.processes("freezer")) == 2)
        (second,) = set(m.processes("freezer")) - set(first)
        until(lambda: "Seccomp:\t2" in pathlib.Path(f"/proc/{second}/status").read_text())
        if damage == "head":
            with open(table, "r+b") as file:
                file.write(b"?")
        elif damage == "removed":
            table.unlink()
        else:
            copy.write_bytes(table.read_bytes())
            copy.chmod(0o600)
            shutil.chown(copy, table.owner(), table.group())
            copy.replace(table)
    finally:
        processes.kill_all(first)
    assert reload.wait(PATIENCE) == 0
    m.log.wait("another freezer begins")
    assert processes.wait_gone([second]) == []
    client = waits_frozen(m, 7)
    assert (m.folder / "state" / "frozen.set-aside").exists() == (damage == "head")
    release(m, 7, client, 0)


@pytest.mark.long
def test_without_room_for_the_file_itself_holds_are_ordinary_until_there_is(frozen, cable):
    m = frozen(time=6, tarpit="ledger_size = 1M", prefix=small_state(64 << 20))
    m.deaths_expected = True
    table = pathlib.Path(f"/proc/{m.pid}/root{m.folder}/state/frozen")
    table.rename(table.with_name("kept"))
    files = os.statvfs(table.parent)
    remount(m, f"nr_inodes={files.f_files - files.f_ffree}")  # no more than there are
    processes.kill_all(m.processes("freezer"))
    m.log.wait("has no room")
    told(ask(m.port))
    assert held(m, "frozen") == 0
    assert m.log.text.count("has no room") == 1
    remount(m, "nr_inodes=1000")
    until(lambda: m.log.text.count('"freezing connections') == 2)
    client = waits_frozen(m, 1)
    assert table.exists()
    told(client)


@pytest.mark.long
def test_without_room_on_the_disk_holds_are_ordinary_until_there_is(frozen, cable):
    plenty = 64 << 20
    m = frozen(time=2, tarpit="ledger_size = 1M", prefix=small_state(plenty))
    needs = state_size(m)
    m.stop()
    m = frozen(time=6, tarpit="ledger_size = 1M", prefix=small_state(needs + (64 << 10)))
    told(ask(m.port))
    assert held(m, "frozen") == 0
    m.log.wait("has no room")
    assert m.log.text.count("has no room") == 1
    remount(m, f"size={plenty}")
    m.log.wait("freezing connections again")
    client = ask(m.port, 1)
    until(lambda: held(m, "frozen") == 1)
    told(client)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_thawed_connection_does_not_keep_the_next_mired_from_its_port(frozen, cable, end):
    """The kernel takes SO_REUSEADDR from a connection that it puts back. One that mired has closed, and its client has
    not, is there for a minute."""
    m = frozen(time=1)
    client = ask(m.port)
    told(client)
    m.log.wait("thaws")
    assert m.stop() == [] if end == "stop" else m.kill_all() is None
    cable.at_server(m.start)
    told(ask(m.port, 1))
    client.close()


@pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed")
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's process cannot be traced, or closes other files")
def test_who_is_released_while_the_worker_still_closes_the_connection_is_answered(frozen):
    """The worker sends the descriptor and then closes its own. While the system keeps it from that, the connection is still
    there, and its addresses cannot be bound again."""
    m = frozen(time=60, workers=1)
    (pid,) = m.processes("worker")
    slow = [power.PROGRAM, "-qq", "-o", "/dev/null", "-e", "trace=close", "-e", "inject=close:delay_enter=1500000", "-p", str(pid)]
    client = ask(m.port)
    strace = subprocess.Popen(slow)
    try:
        until(lambda: processes.status(pid, "TracerPid") != "0")
        until(lambda: held(m, "frozen") == 1)
        m.control("release", client.source)
        told(client)
    finally:
        strace.terminate()
        strace.wait()
