"""The sandbox in a running mired: each process is confined, says so, and a process that was taken over gives no command.

What each role's sandbox forbids is tried call by call in tests/unit/master/test_sandbox.c.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from lib import old_kernel, ports, processes, sockets
from lib.mired import BUILD, SANITIZED, Mired
from lib.openldap import ADMIN, BASE, OpenLDAP
from lib.scripted import HELLO, Scripted
from lib.smtp import Client, deliver
from lib.waiting import until

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs")

LARGE = b"Subject: x\r\n\r\n" + (b"x" * 78 + b"\r\n") * (250 << 10)  # 20 MB: more than a worker keeps in memory
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
    mired = start(tarpit="time = 20s freeze = \"auto\"", config='log_level = "debug"')
    mired.log.wait("(not )?freezing connections")  # clients are served before there is a freezer
    until(lambda: all(mired.processes(role) for role in ROLES))
    children = processes.children(mired.pid)
    for pid in children:

        def confined():
            threads = [status_of(f"{pid}/task/{t.name}") for t in pathlib.Path(f"/proc/{pid}/task").iterdir()]
            return {t["Seccomp"] for t in threads} == {"2"}

        until(confined, why=lambda: processes.command(pid))
    for pid in (mired.pid, *children):
        assert status_of(pid)["NoNewPrivs"] == "1"
        assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())

    def told():
        return json.loads(mired.control("status", "--json").stdout)["sandbox"]

    until(lambda: (now := told())["seccomp"] == now["landlock"] == len(children), why=told)
    sandbox = told()
    assert sandbox["none"] == 0
    assert f"seccomp in {len(children)} processes" in mired.control("status").stdout


def root(pid):
    """What the kernel calls its root directory, and what is in it."""
    return os.readlink(f"/proc/{pid}/root"), os.listdir(f"/proc/{pid}/root")


def roots(mired):
    return {role: root(mired.processes(role)[0])[0] for role in ROLES if mired.processes(role)}


def capabilities(pid):
    status = status_of(pid)
    return {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}


needs_chroot = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change root directories")


@needs_chroot
def test_workers_keeper_and_store_have_root_directories_of_their_own(start):
    mired = start(workers=2)
    assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250
    state = mired.folder / "state"
    for _ in range(2):
        until(lambda: [len(mired.processes(r)) for r in ("worker", "keeper", "store")] == [2, 1, 1])
        for pid in mired.processes("worker"):
            assert root(pid) == (f"{state}/spool", [])
        where, there = root(mired.processes("keeper")[0])
        assert where.startswith(f"{mired.folder}/run/empty") and where.endswith("(deleted)") and not there
        with pytest.raises(OSError):  # root cannot, either
            pathlib.Path(f"/proc/{mired.processes('keeper')[0]}/root/new").mkdir()
        assert root(mired.processes("store")[0]) == (f"{state}/mail", ["example.test"])
        assert {role: where for role, where in roots(mired).items() if role in ("clerk", "web")} == {"clerk": "/", "web": "/"}
        for pid in processes.children(mired.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of the earlier generation, and just gone
                assert not any(c & 1 << 18 for c in capabilities(pid)), processes.command(pid)
        assert not (mired.folder / "run" / "empty").exists()
        until(lambda: json.loads(mired.control("status", "--json").stdout)["sandbox"]["root"] == 4)
        assert "a root directory of its own in 4" in mired.control("status").stdout
        assert deliver(mired.port, "a@b.test", "alice@example.test", LARGE).code == 250
        assert mired.control("upgrade").returncode == 0
    checked = subprocess.run([mired.program, "-c", mired.file, "-t"], capture_output=True, text=True)
    assert ", root directories of their own\n" in checked.stdout


@needs_chroot
@pytest.mark.parametrize("key, config, backend", [("allowance.file", 'allowance { file = "%s/allowances" }', 'backend "maildir" { }'),
                                                  ("backend", "", 'backend "lmtp:/nonexistent/lmtp" { }'),
                                                  ("backend.tls", "", 'backend "smtp://mx.test:25" { tls = "verified" }')])
def test_a_worker_that_opens_files_keeps_the_machines_root_and_the_check_says_why(start, tmp_path, key, config, backend):
    (tmp_path / "allowances").write_text("")
    tmp_path.chmod(0o755)
    mired = start(config=config.replace("%s", str(tmp_path)), backend=backend)
    until(lambda: (now := roots(mired))["worker"] == "/" and now["keeper"] != "/", why=lambda: roots(mired))
    checked = subprocess.run([mired.program, "-c", mired.file, "-t"], capture_output=True, text=True)
    assert f"root directories of their own (but not for workers, because of `{key}`)\n" in checked.stdout


@needs_chroot
def test_without_the_capability_mired_runs_and_says_so():
    mired = Mired(prefix=["setpriv", "--bounding-set=-sys_chroot", "--inh-caps=-sys_chroot"]).start()
    try:
        assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250
        assert set(roots(mired).values()) == {"/"}
        assert json.loads(mired.control("status", "--json").stdout)["sandbox"]["root"] == 0
        checked = subprocess.run([*mired.prefix, mired.program, "-c", mired.file, "-t"], capture_output=True, text=True)
        assert "root directories" not in checked.stdout
    finally:
        assert not mired.stop()


@needs_chroot
def test_connections_to_a_store_that_restarts_wait_for_the_next(start):
    mired = start(tarpit="time = 0", workers=1)
    mired.deaths_expected = True
    for i in range(3):
        os.kill(mired.processes("store")[0], signal.SIGKILL)
        assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250, i
    assert len(mired.delivered("alice@example.test", count=3)) == 3


def packet_sockets(pid):
    """The unix sockets for packets that a process has open, by their inodes."""
    lines = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]]
    packets = {line[6] for line in lines if line[4] == "0005"}
    links = []
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that has just been closed
            links.append(os.readlink(path))
    return {link.removeprefix("socket:[").removesuffix("]") for link in links} & packets


def test_no_worker_has_the_stores_channel(start):
    """One that was taken over could shut it down for all workers. Workers share no channel at all with each other."""
    mired = start(workers=2, config="clerks = 3", tarpit="time = 20s freeze = \"auto\"")
    for _ in range(2):
        assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250
        one, other = map(packet_sockets, mired.processes("worker"))
        assert not one & other
        assert mired.control("upgrade").returncode == 0
        until(lambda: len(mired.processes("worker")) == 2)


LACKS = {"seccomp": "this kernel has no seccomp", "landlock": "this kernel offers no Landlock"}


@pytest.mark.parametrize("parts", [["landlock"], ["seccomp"], ["landlock", "seccomp"]], ids="-".join)
def test_on_a_kernel_without_a_part_it_runs_warns_once_and_says_what_is_in_force(start, parts):
    prefix = [sys.executable, old_kernel.__file__, *parts, "--"]
    mired = start(prefix=prefix, tarpit='time = 20s freeze = "auto"', config='log_level = "debug"')
    mired.log.wait("(not )?freezing connections")
    before = mired.processes("worker")
    assert mired.control("reload").returncode == 0
    assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250
    assert not processes.wait_gone(before)
    count = len(processes.children(mired.pid))
    until(lambda: told(mired)["none"] == (count if len(parts) == 2 else 0), why=lambda: told(mired))
    for part in LACKS:
        until(lambda: told(mired)[part] == (0 if part in parts else len(processes.children(mired.pid))), why=lambda: told(mired))
    for part, text in LACKS.items():
        assert mired.log.text.count(text) == (part in parts)
        assert len(re.findall(f'level=warn text="{text}', mired.log.text)) == (part in parts)
    checked = subprocess.run([*prefix, mired.program, "-c", mired.file, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0
    assert [part for part, text in LACKS.items() if f"warning: {text}" in checked.stderr] == sorted(parts, reverse=True)


def told(mired):
    return json.loads(mired.control("status", "--json").stdout)["sandbox"]


def test_on_a_kernel_that_has_all_it_warns_of_nothing(start):
    mired = start()
    checked = subprocess.run([mired.program, "-c", mired.file, "-t"], capture_output=True, text=True)
    if "(files, TCP ports, signals)" not in checked.stdout:
        pytest.skip("this kernel lacks a part")
    assert "this kernel" not in mired.log.text + checked.stderr


def test_it_can_be_turned_off_and_says_so(start):
    mired = start(config="sandbox = false")
    assert mired.log.text.count("`sandbox` is off") == 1 and "this kernel" not in mired.log.text

    def told():
        return json.loads(mired.control("status", "--json").stdout)["sandbox"]["none"]

    until(lambda: told() == len(processes.children(mired.pid)))  # a freezer comes later than clients are served
    assert {status_of(pid)["Seccomp"] for pid in processes.children(mired.pid)} == {"0"}
    assert "not confined" in mired.control("status").stdout


def test_children_are_a_process_group_of_their_own_also_after_an_upgrade(start):
    mired = start()

    def group(pid):
        with contextlib.suppress(ProcessLookupError):  # of the earlier generation, and just gone
            return os.getpgid(pid)

    def groups():
        return {group(pid) for pid in processes.children(mired.pid)} - {None}

    until(lambda: len(groups()) == 1, why=groups)
    before = groups()
    assert os.getpgid(mired.pid) not in before
    assert mired.control("upgrade").returncode == 0
    assert groups() == before


@pytest.mark.parametrize("role", ["mired worker", "mired clerk"])
def test_a_process_that_was_taken_over_gives_no_command(start, monkeypatch, role):
    mired = Mired(program=DOOR, backend='backend "lmtp:/nonexistent/lmtp" { }')  # workers use unix sockets
    monkeypatch.setenv("MIRED_DOOR", role)
    monkeypatch.setenv("MIRED_DOOR_CONTROL", str(mired.folder / "run" / "control"))
    mired.start()
    try:
        mired.log.wait("door: answer")
        assert '"ok":true' not in mired.log.text.replace(" ", "")
        mired.log.wait("of mired itself tried to give a command")
        assert mired.daemon.running
        assert "workers" in mired.control("status").stdout  # others may
    finally:
        assert not mired.stop()


def test_a_worker_of_the_store_reaches_no_unix_socket(monkeypatch):
    mired = Mired(program=DOOR)
    monkeypatch.setenv("MIRED_DOOR", "mired worker")
    monkeypatch.setenv("MIRED_DOOR_CONTROL", str(mired.folder / "run" / "control"))
    mired.start()
    try:
        mired.log.wait("door: cannot connect: Permission denied")
    finally:
        assert not mired.stop()


def test_a_worker_that_was_taken_over_changes_little(monkeypatch):
    """It exempts nobody, takes nothing from its own debt, and of 6,000 clients with good mail it puts not all in debt."""
    now = int(time.time() * 1000)
    innocents = [f"10.0.{i // 250}.{i % 250 + 1}" for i in range(6000)]
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
    begun = time.monotonic()
    mired.start()
    try:
        mired.log.wait("door: proposed")
        assert "door: ledger: to write: EACCES, 0 descriptors" in mired.log.text
        assert "door: mixed answers: to write: EACCES, 0 descriptors" in mired.log.text
        assert "door: offers: to write: EACCES, 0 descriptors" in mired.log.text
        mired.log.wait("changes of the ledger that no worker makes")
        mired.log.wait("it has reached the limit for offences of clients that have delivered good mail")
        dump = {}
        dumped = mired.control("ledger", "dump").stdout
        seconds = time.monotonic() - begun
        for line in dumped.splitlines():
            entry = json.loads(line)
            if entry["kind"] == "client":
                dump[entry["address"]] = entry
        assert 29 < dump["192.0.2.7"]["offences"] <= 30
        assert not any(entry.get("exempt") for entry in dump.values())
        assert not any(dump[who].get("trapped") for who in innocents)
        harmed = [who for who in innocents if dump[who].get("offences", 0) >= 0.5]
        print(f"{len(harmed)} of {len(innocents)} innocents have offences")
        assert 0 < len(harmed) <= 4000 + 200 * (seconds + 1)  # with five offences at once, and then each second
        assert mired.daemon.running
    finally:
        mired.stop()


def server_of(mired, client):
    """The worker that has the other end of a client's connection."""
    own = client.socket.getsockname()
    for s in sockets.tcp():
        if (s.port, s.peer_port) == (mired.port, own[1]) and s.inode != "0":
            for pid in mired.processes("worker"):
                with contextlib.suppress(FileNotFoundError):  # it has just closed something, or ended
                    if f"socket:[{s.inode}]" in [os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]:
                        return pid


def listeners(mired):
    """How many sockets listen on its port."""
    return sum(s.listens and s.port == mired.port for s in sockets.tcp())


def by(mired, worker, do):
    """do(client) on a connection that the kernel gives to this worker, after EHLO."""
    for _ in range(200):
        with Client(mired.port) as client:
            if server_of(mired, client) == worker:
                client.ehlo()
                return do(client)
    pytest.fail(f"process {worker} accepts nothing")


def deliver_by(mired, worker, recipient="alice@example.test"):
    """Delivers a message over a connection that the kernel gives to this worker."""
    return by(mired, worker, lambda client: client.message("a@b.test", recipient, b"Subject: x\r\n\r\nhello\r\n"))


@pytest.fixture
def take_over(monkeypatch):
    """take_over(...) starts a mired of which the test can make workers do harm."""
    running = []

    def start(config="", **options):
        mired = Mired(program=DOOR, workers=2, config="clerks = 2 " + config, tarpit="time = 20s freeze = \"auto\"", **options)
        monkeypatch.setenv("MIRED_DOOR", "mired worker")
        mired.lies_expected = mired.deaths_expected = True
        running.append(mired)
        return mired.start()

    yield start
    assert not [line for mired in running for line in mired.stop()]


@pytest.fixture
def taken_over(take_over):
    return take_over()


@pytest.fixture
def taken_over_with_tcp(take_over):
    """Workers with the built-in store alone cannot call connect(2), by which one ends its listener."""
    other = ports.free()
    return take_over(
        domains=("example.test", "example.org"),
        config=f'backend "smtp://127.0.0.1:{other}" {{ domains = {{ "example.org" }} }}',
    )


def test_a_worker_that_shuts_its_queues_hurts_only_itself_and_no_successor(taken_over):
    """Until it dies, its own clients hear 451; then mired replaces the sockets by itself."""
    mired = taken_over
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 1)
    mired.log.wait("door: 6 sockets are shut")
    for _ in range(3):
        assert deliver_by(mired, good).code == 250
    assert set(mired.processes("worker")) == {bad, good}
    os.kill(bad, signal.SIGKILL)
    mired.log.wait("has shut down its sockets to other processes")
    mired.log.wait("generation 2 serves")
    until(lambda: len(mired.processes("worker")) == 2 and good not in mired.processes("worker"))
    for worker in mired.processes("worker"):
        assert deliver_by(mired, worker).code == 250


def test_a_listener_that_a_worker_ends_is_bound_again_and_the_worker_replaced(taken_over_with_tcp):
    mired = taken_over_with_tcp
    assert listeners(mired) == 2
    for turn in (0, 1):
        bad, good = mired.processes("worker")[:: 1 - 2 * turn]
        os.kill(bad, signal.SIGRTMIN + 2)
        until(lambda: mired.log.text.count("has stopped listening") == turn + 1)
        until(lambda: len(mired.processes("worker")) == 2 and bad not in mired.processes("worker"))
        assert good in mired.processes("worker")
        until(lambda: listeners(mired) == 2)
        for worker in mired.processes("worker"):
            assert deliver_by(mired, worker).code == 250
    assert mired.control("reload").returncode == 0
    assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250


def test_a_listener_that_a_worker_of_an_earlier_program_ends_gets_a_worker(taken_over_with_tcp):
    """After an upgrade that has failed nobody can give the new socket to those workers, so mired reloads."""
    mired = taken_over_with_tcp
    good, taken = mired.file.read_text(), ports.free()
    with socket.create_server(("127.0.0.1", taken)):
        mired.file.write_text(good + f'listen "127.0.0.1:{taken}" {{ }}\n')
        assert mired.control("upgrade").returncode == 1
    mired.file.write_text(good)
    os.kill(mired.processes("worker")[0], signal.SIGRTMIN + 2)
    mired.log.wait("has stopped listening")
    until(lambda: listeners(mired) == 2)
    for _ in range(12):
        assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250


def wait_lost(mired, count):
    until(lambda: mired.log.text.count("has stopped listening") == count)
    until(lambda: listeners(mired) == 2)


def test_a_worker_of_an_earlier_generation_ends_no_current_one_with_its_listener(taken_over_with_tcp):
    """It has kept the socket that the current worker of its slot accepts from. That one gets another, and goes on."""
    mired = taken_over_with_tcp
    early = [Client(mired.port) for _ in range(20)]  # both workers have some
    workers = {server_of(mired, client): client for client in early}
    assert len(workers) == 2
    assert mired.control("reload", timeout=60).returncode == 0
    now = set(mired.processes("worker")) - set(workers)
    late = [Client(mired.port) for _ in range(20)]
    for count, bad in enumerate(workers, 1):
        os.kill(bad, signal.SIGRTMIN + 2)
        wait_lost(mired, count)
        until(lambda n=count: mired.log.text.count("door: another listener has come") == n)
    assert mired.log.text.count("so no worker is replaced") == 2
    assert set(mired.processes("worker")) == now | set(workers)
    for client in early + late:
        assert client.say("NOOP").code == 250
        client.close()
    for worker in now:
        assert deliver_by(mired, worker).code == 250
    # Nobody else has the new sockets, so the next time it is clear which worker it was.
    bad, good = now
    os.kill(bad, signal.SIGRTMIN + 2)
    wait_lost(mired, 3)
    until(lambda: len(set(mired.processes("worker")) - {bad} - set(workers)) == 2)
    assert good in mired.processes("worker")
    for worker in set(mired.processes("worker")) - set(workers):
        assert deliver_by(mired, worker).code == 250


def test_a_worker_has_no_listener_when_it_accepts_no_more(start):
    """So an attacker who takes it over from then on cannot end any listening."""
    mired = start(tarpit="time = 20s")
    with Client(mired.port) as client:
        worker = server_of(mired, client)
        inodes = {f"socket:[{s.inode}]" for s in sockets.tcp() if s.listens and s.port in (mired.port, mired.submission)}

        def has():
            links = set()
            for path in pathlib.Path(f"/proc/{worker}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # it has just been closed
                    links.add(os.readlink(path))
            return inodes & links

        assert len(has()) == 2
        assert mired.control("reload", timeout=60).returncode == 0
        assert not has()
        assert client.say("NOOP").code == 250


def test_a_worker_that_closes_its_channel_is_ended_and_the_others_serve_on(take_over, monkeypatch):
    """The master could not even tell it to end."""
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")  # the master looks each 5 s
    mired = take_over()
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 4)
    mired.log.wait("door: the channel is closed")
    mired.log.wait(rf"worker \d \(process {bad}\) has closed its channel to the master; killing it")
    until(lambda: len(mired.processes("worker")) == 2 and bad not in mired.processes("worker"))
    assert good in mired.processes("worker")
    for worker in mired.processes("worker"):
        assert deliver_by(mired, worker).code == 250


def test_a_worker_that_sends_notes_without_end_stops_neither_the_master_nor_the_log(taken_over):
    mired = taken_over
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 5)
    mired.log.wait("sent a note of kind 4: unexpected from this process \\(1024 so far\\)")
    assert mired.control("reload", timeout=120).returncode == 0
    mired.log.wait("generation 2 serves")
    for worker in set(mired.processes("worker")) - {bad, good}:
        assert deliver_by(mired, worker).code == 250
    assert mired.log.text.count("unexpected from this process") <= 32


def test_what_a_worker_sets_on_its_listeners_hurts_no_client(taken_over):
    """Its listeners are those of its successor, and a client says less than it set."""
    mired = taken_over
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 10)
    mired.log.wait("door: the listeners wait for")
    assert deliver_by(mired, bad).code == 250
    assert mired.control("reload", timeout=60).returncode == 0
    for worker in mired.processes("worker"):
        assert deliver_by(mired, worker).code == 250


def test_descriptors_that_a_worker_sends_with_its_notes_stay_nowhere(taken_over):
    mired = taken_over
    bad, good = mired.processes("worker")
    others = [mired.pid, *mired.processes("web"), *mired.processes("freezer")]
    before = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in others}
    os.kill(bad, signal.SIGRTMIN + 9)
    mired.log.wait("door: 12000 descriptors are sent")
    assert mired.control("status").returncode == 0  # the notes before it have been read
    for pid, had in before.items():
        assert len(os.listdir(f"/proc/{pid}/fd")) < had + 20, processes.command(pid)
    assert deliver_by(mired, good).code == 250


def test_a_worker_that_sends_connections_to_the_store_without_end_leaves_the_others_theirs(taken_over):
    """They all go through one pair of the master's. A store that has just started must get the others' connections, too."""
    mired = taken_over
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 8)
    mired.log.wait("door: 20000 connections for the store")
    (store,) = mired.processes("store")
    os.kill(store, signal.SIGKILL)
    until(lambda: (now := mired.processes("store")) and now != [store])
    until(lambda: deliver_by(mired, good).code == 250)
    for _ in range(30):
        assert deliver_by(mired, good).code == 250
    sent = mired.log.text.count("connections for the store")
    until(lambda: mired.log.text.count("connections for the store") > sent)  # the flood goes on


def test_a_worker_that_gives_itself_all_connections_ends(taken_over):
    """By a filter, which says which of the sockets of a port gets each connection."""
    mired = taken_over
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 3)
    mired.log.wait("system call setsockopt")
    until(lambda: len(mired.processes("worker")) == 2 and bad not in mired.processes("worker"))
    assert "door: a filter" not in mired.log.text
    for worker in mired.processes("worker"):
        assert deliver_by(mired, worker).code == 250


def test_without_the_sandbox_the_filters_of_listeners_are_locked(take_over):
    mired = take_over("sandbox = false")
    bad, good = mired.processes("worker")
    os.kill(bad, signal.SIGRTMIN + 3)
    mired.log.wait("door: a filter for all listeners: EPERM")
    mired.log.wait("door: a filter for one listener: EPERM")
    for worker in (bad, good):
        assert deliver_by(mired, worker).code == 250


def test_a_worker_that_floods_a_directory_leaves_the_others_their_share(monkeypatch):
    """It claims the best rank for queries as fast as the directory answers, and the queries of the others are in no cache."""
    people = [f"person{n}" for n in range(20)]
    server = OpenLDAP().fill([(name, [f"smtp:{name}@example.test"], 512) for name in people])
    server.start()
    mired = Mired(
        program=DOOR, workers=2, tarpit="time = 20s", recipients=None,
        config=f'clerks = 1 lookups = 2\nrecipients "ldap" {{ url = "{server.url}" base = "{BASE}" bind_dn = "{ADMIN}" '
        f'password_file = "{server.secret}" filter = "(proxyAddresses=smtp:%s)" }}',
    )  # fmt: skip
    monkeypatch.setenv("MIRED_DOOR", "mired worker")
    mired.lies_expected = True
    mired.start()
    try:
        bad, good = mired.processes("worker")
        assert deliver_by(mired, good, "person0@example.test").code == 250
        os.kill(bad, signal.SIGRTMIN + 6)
        mired.log.wait("door: 5000 queries")  # more than may wait
        for name in people[1:]:
            assert deliver_by(mired, good, f"{name}@example.test").code == 250
        sent = mired.log.text.count(" queries")
        until(lambda: mired.log.text.count(" queries") > sent)  # the flood goes on
    finally:
        wrong = mired.stop()
        server.stop()
        server.remove()
    assert not wrong


def test_a_worker_that_floods_a_verifier_leaves_the_others_their_share(monkeypatch):
    """It asks for passwords as fast as the backend refuses them."""

    def answer(verb, argument, session):
        if verb != "AUTH":
            return None
        time.sleep(0.02)
        return "235 2.7.0 ok" if base64.b64decode(argument.split()[1]).endswith(b"\0right") else "535 5.7.8 no"

    with Scripted(answer, hello=(*HELLO, "AUTH PLAIN")) as backend:
        mired = Mired(program=DOOR, workers=2, tarpit="time = 20s", config='clerks = 1\nauth "backend" { }', backend=backend.block)
        monkeypatch.setenv("MIRED_DOOR", "mired worker")
        mired.lies_expected = True
        mired.start()
        try:
            bad, good = mired.processes("worker")
            os.kill(bad, signal.SIGRTMIN + 7)
            mired.log.wait("door: 1000 queries")  # more than may wait
            for n in range(5):
                assert by(mired, good, lambda client: client.login(f"user{n}@example.test", "right")).code == 235
            sent = mired.log.text.count(" queries")
            until(lambda: mired.log.text.count(" queries") > sent)  # the flood goes on
        finally:
            wrong = mired.stop()
        assert not wrong
