"""mired under a service manager: sockets that are passed, the watchdog, and processes that hang."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import sys
import threading
import time

import pytest

from lib import ports, processes, sockets
from lib.mired import UNDER, Mired, PROGRAM
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

PASS = pathlib.Path(__file__).parent / "lib" / "pass_sockets.py"


class Activated(Mired):
    """One that gets the sockets of its first port, and `more`, from somebody else."""

    def __init__(self, more=(), **options):
        super().__init__(**options)
        self.prefix = [sys.executable, PASS, f"{self.host}:{self.port}", *more, "--"]


@pytest.fixture
def activated(mired, monkeypatch):
    import conftest

    monkeypatch.setattr(conftest, "Mired", Activated)
    return mired


def inodes(port):
    """Of the sockets that listen on a port of 127.0.0.1."""
    return {s.inode for s in sockets.tcp() if s.listens and (s.address, s.port) == ("0100007F", port)}


@pytest.mark.fast
def test_passed_sockets_are_served_by_all_workers_and_missing_ones_bound(activated):
    m = activated(tarpit="time = 0", workers=3)
    assert len(inodes(m.port)) == 1 and len(inodes(m.submission)) == 3
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login("alice@example.test", "wonderland").code == 235
    environment = pathlib.Path(f"/proc/{m.pid}/environ").read_bytes()
    assert b"LISTEN_FDS=1" in environment  # it was asked to, that way
    m.deaths_expected = True
    for worker in m.processes("worker")[:2]:  # any of them will do
        os.kill(worker, signal.SIGKILL)
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_passed_sockets_outlive_reloads_and_upgrades_with_other_numbers_of_workers(activated):
    m = activated(tarpit="time = 2s", workers=2)
    (inode,) = inodes(m.port)
    with Client(m.port) as held:
        held.ehlo()
        held.must("MAIL FROM:<a@b.test>")
        held.send("RCPT TO:<nobody@example.test>\r\n")
        text = m.file.read_text()
        for workers, command in ((4, "reload"), (4, "upgrade"), (1, "reload"), (3, "upgrade")):
            m.file.write_text(text.replace("workers = 2", f"workers = {workers}"))
            done = m.control(command)
            assert done.returncode == 0, done.stderr
            assert inodes(m.port) == {inode}
            for _ in range(5):
                assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        assert held.reply().code == 550
    m.file.write_text(text + "frobnicate = 1\n")
    assert m.control("reload").returncode == 1
    m.file.write_text(text + f'listen "192.0.2.200:{m.port}" {{ }}\n')  # not of this machine: all of it comes to nothing
    assert m.control("reload").returncode == 1
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


class Keeper:
    """Listens for a mired, keeps the socket, and sends it to every one that is started."""

    def __init__(self, folder, host, port):
        self.kept = socket.create_server((host, port))
        self.path = f"{folder}/keeper"
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(self.path)
        self.door.listen()
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self):
        for asker in ports.accepted(self.door):
            with asker:
                socket.send_fds(asker, [b"x"], [self.kept.fileno()])

    def close(self):
        self.door.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.door.close()
        self.kept.close()


def test_clients_queue_while_no_mired_runs():
    m = Mired(tarpit="time = 0")
    keeper = Keeper(m.folder, m.host, m.port)
    m.prefix = [sys.executable, PASS, keeper.path, "--"]
    try:
        m.start()
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        assert m.stop() == []
        with socket.create_connection((m.host, m.port), timeout=PATIENCE) as waiting:  # not refused
            m.start()
            assert waiting.recv(100).startswith(b"220 ")
        assert m.control("stop", "--drain").returncode == 0
        m.daemon.process.wait()
        with socket.create_connection((m.host, m.port), timeout=PATIENCE):  # nor now
            pass
    finally:
        m.stop()
        keeper.close()
        m.remove()


def test_a_passed_socket_of_no_listen_is_warned_about_and_closed(activated, monkeypatch):
    other = ports.free()

    class WithAnother(Activated):
        def __init__(self, **options):
            super().__init__(more=[f"127.0.0.1:{other}"], **options)

    import conftest

    monkeypatch.setattr(conftest, "Mired", WithAnother)
    m = activated(tarpit="time = 0")
    m.log.wait(rf"127.0.0.1 port {other}\) that no `listen`")
    assert not inodes(other)
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


@pytest.fixture
def passing():
    """passing(WHAT...) starts a mired that gets them (see PASS); {m.port} and the like in them are its own."""
    started = []

    def start(*what):
        m = Mired(tarpit="time = 0")
        started.append(m)
        m.prefix = [sys.executable, PASS, *(w.format(m=m) for w in what), "--"]
        return m.start()

    yield start
    wrong = [line for m in started for line in m.stop()]
    for m in started:
        m.remove()
    assert not wrong


def serves(m):
    """Both ports, also after a signal, which comes through a descriptor that it opened early."""
    for generation in (1, 2):
        for port in (m.port, m.submission):
            with Client(port) as c:
                c.ehlo()
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        os.kill(m.pid, signal.SIGHUP)
        m.log.wait(f"generation {generation + 1} serves")


@pytest.mark.parametrize(
    "count, said",
    [
        ("2", "LISTEN_FDS counts 2 sockets, but 1 of these descriptors are not open"),
        ("40", "LISTEN_FDS counts 40 sockets, but 39 of these descriptors are not open"),
        ("5000", "LISTEN_FDS counts 1024 sockets, but 1023 of these descriptors are not open"),
    ],
)
def test_a_count_that_is_too_large_takes_the_sockets_that_there_are(passing, count, said):
    m = passing(f"--count={count}", "127.0.0.1:{m.port}")
    assert m.log.text.count(said) == 1 and m.log.text.count("level=warn") == 1
    assert len(inodes(m.port)) == 1 and len(inodes(m.submission)) == 2
    serves(m)


@pytest.mark.parametrize("count", ["-1", "0x2", "one", "1 ", "18446744073709551617", ""])
def test_a_count_that_is_no_number_takes_nothing(passing, count):
    m = passing(f"--count={count}")
    m.log.wait("are not numbers; taking no sockets")
    serves(m)


@pytest.mark.parametrize("pid, said", [("1", "to process 1, which is not this one"), ("-1", "are not numbers"), ("me", "are not numbers")])
def test_sockets_for_another_process_are_not_taken(passing, pid, said):
    """The variables were inherited from a process that got sockets of its own."""
    other = ports.free()
    m = passing(f"--pid={pid}", f"127.0.0.1:{other}")
    m.log.wait(said)
    assert inodes(other)  # it may be used for something else
    serves(m)


def test_what_is_no_listening_tcp_socket_is_warned_about_and_closed(passing, tmp_path):
    wrong = ["udp:127.0.0.1:{m.port}", "bound:127.0.0.1:{m.submission}", f"unix:{tmp_path}/socket", "pair", "file"]
    m = passing(wrong[0], "127.0.0.1:{m.port}", *wrong[1:])
    for fd in (3, 5, 6, 7, 8):
        m.log.wait(f"descriptor {fd}, which is not a TCP socket that listens; ignored")
    assert len(inodes(m.port)) == 1 and len(inodes(m.submission)) == 2  # mired has bound that itself
    serves(m)


def test_a_socket_that_is_passed_twice_is_served(passing, tmp_path):
    keeper = Keeper(tmp_path, "127.0.0.1", ports.free())
    port = keeper.kept.getsockname()[1]
    m = Mired(tarpit="time = 0")
    m.file.write_text(m.file.read_text().replace(f":{m.port}\"", f":{port}\""))
    m.port = port
    m.prefix = [sys.executable, PASS, keeper.path, keeper.path, "--"]
    try:
        m.start()
        assert len(inodes(m.port)) == 1
        serves(m)
    finally:
        keeper.close()
        wrong = m.stop()
        m.remove()
    assert not wrong


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_systemd_itself_passes_the_sockets_and_the_first_client_is_served():
    """It starts mired when the first client comes."""
    m = Mired(tarpit="time = 0")
    m.prefix = ["systemd-socket-activate", "-E", "NOTIFY_SOCKET", "-l", f"{m.host}:{m.port}"]
    greetings = []

    def first():
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not greetings:
            try:
                with socket.create_connection((m.host, m.port), timeout=PATIENCE) as s:
                    greetings.append(s.recv(100))
            except ConnectionRefusedError:
                time.sleep(0.05)

    client = threading.Thread(target=first)
    client.start()
    try:
        m.start()
        client.join()
        assert greetings and greetings[0].startswith(b"220 ")
        assert len(inodes(m.port)) == 1
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        assert m.stop() == []
    finally:
        m.stop()
        m.remove()


def test_a_worker_that_hangs_is_replaced_and_the_others_serve_on(mired, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    m = mired(tarpit="time = 0", workers=2)
    m.deaths_expected = True
    with Client(m.port) as other:  # held by the worker that hangs, or by the other one
        other.ehlo()
        workers = m.processes("worker")
        os.kill(workers[0], signal.SIGSTOP)
        m.log.wait(rf"worker \d \(process {workers[0]}\) has not answered .*; killing it")
        m.log.wait("child_died.*child=worker")
        left = until(lambda: len(now := m.processes("worker")) == 2 and workers[0] not in now and now)
        assert workers[1] in left
        for _ in range(6):
            assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


@pytest.mark.skipif(UNDER, reason="the master waits 120 s for its processes there")
def test_a_process_that_hangs_at_the_end_is_killed_and_the_others_end_by_themselves(mired):
    m = mired(tarpit="time = 0", workers=2)
    m.deaths_expected = True
    hangs, ends = m.processes("worker")
    os.kill(hangs, signal.SIGSTOP)
    m.daemon.signal(signal.SIGTERM)
    log = m.log
    log.wait(r'text="worker \d did not stop in time; killing it"')
    assert not processes.alive(ends)
    assert m.stop() == []
    assert log.text.count("did not stop in time") == 1


@contextlib.contextmanager
def heard(m):
    """A list to which is added what mired tells its service manager from now on, each as its first line."""
    path = f"{m.folder}/ready"  # what it told before went to another socket there
    pathlib.Path(path).unlink()
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        os.chmod(path, 0o777)
        listener = threading.Thread(target=lambda: told.extend(iter(lambda: manager.recv(4096).decode().splitlines()[0], "over")))
        listener.start()
        try:
            yield told
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"over", path)
            listener.join()


def test_a_manager_hears_the_end_of_a_reload_whose_processes_cannot_start(mired):
    """It would wait for that with all that it is asked to do later."""
    m = mired(tarpit="time = 0 freeze = off")
    m.deaths_expected = True
    m.mail.rename(m.mail.with_name("kept"))
    m.mail.write_text("no folder")
    m.file.write_text(m.file.read_text().replace('"mx.example.test"', '"other.example.test"'))  # so that it gets another store
    with heard(m) as told:
        done = m.control("reload")
        assert done.returncode == 1 and "its processes cannot start" in done.stderr
        until(lambda: len(told) > 1)
        m.mail.unlink()
        m.mail.with_name("kept").rename(m.mail)
        assert m.control("reload").returncode == 0
        until(lambda: len(told) > 3)
    assert told == ["RELOADING=1", "READY=1"] * 2


def greeting(port):
    with Client(port) as client:
        return client.greeting


def test_a_manager_hears_of_no_reload_that_ends_while_mired_drains(mired):
    m = mired(tarpit="time = 0 freeze = off")
    m.file.write_text(m.file.read_text().replace('"mx.example.test"', '"other.example.test"'))
    stopped = m.processes("worker")[0]
    os.kill(stopped, signal.SIGSTOP)  # the reload waits 2 s for it to stop accepting
    with heard(m) as told:
        os.kill(m.pid, signal.SIGHUP)
        until(lambda: "other.example.test" in greeting(m.port))
        assert m.control("stop", "--drain").returncode == 0
        m.log.wait("generation 2 serves")
        os.kill(stopped, signal.SIGCONT)
        m.daemon.process.wait(PATIENCE)
    assert told == ["RELOADING=1", "STOPPING=1", "STOPPING=1"]  # it drains, and then it stops


def test_the_watchdog_is_fed_until_the_master_hangs(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")  # the master asks its children as often: a busy one has 4.5 s
    m = Mired(tarpit="time = 0")
    try:
        m.start()  # and what it tells from now on goes to a socket of ours
        path = f"{m.folder}/ready"
        pathlib.Path(path).unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            for _ in range(3):
                assert manager.recv(4096) == b"WATCHDOG=1"
            os.kill(m.pid, signal.SIGSTOP)
            manager.settimeout(4)  # one would come within 1.5 s
            with pytest.raises(socket.timeout):
                while True:
                    manager.recv(4096)
            os.kill(m.pid, signal.SIGCONT)
            manager.settimeout(PATIENCE)
            assert manager.recv(4096) == b"WATCHDOG=1"
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    finally:
        assert m.stop() == []
        m.remove()
