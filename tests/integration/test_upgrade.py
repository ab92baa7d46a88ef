"""Another version of the program, or of the configuration, under load: nobody is refused, nothing is lost."""

import json
import os
import re
import shutil
import socket
import threading
import time

import pytest

from lib import ports, processes
from lib.load import Held, Load
from lib.mired import PROGRAM
from lib.smtp import Client

USER = "alice@example.test"


@pytest.fixture
def program(tmp_path):
    """A copy of the program, which a test may replace as a package would."""
    tmp_path.chmod(0o755)
    shutil.copy(PROGRAM.resolve(), tmp_path / "mired")
    return tmp_path / "mired"


def replace(program):
    """As dpkg does: a new file beside it, renamed over it."""
    new = program.with_name("mired.new")
    shutil.copy(PROGRAM.resolve(), new)
    os.rename(new, program)
    return os.stat(program).st_ino


class Traffic:
    """Threads that send, each message over a connection of its own, until told to stop."""

    def __init__(self, port, threads=3):
        self.port = port
        self.sent, self.wrong = [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        count = 0
        while not self.stopping.is_set():
            subject = f"message {number}-{count}"
            count += 1
            try:
                with Client(self.port, timeout=20) as client:
                    client.ehlo()
                    reply = client.message("a@b.test", USER, f"Subject: {subject}\r\n\r\nx\r\n".encode())
                    if reply.code == 250:
                        self.sent.append(subject)
                    else:
                        self.wrong.append(reply.text)
            except (OSError, AssertionError) as error:
                self.wrong.append(repr(error))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self


def held(m, count):
    clients = []
    for _ in range(count):
        client = Client(m.port)
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        clients.append(client)
    return clients


def subjects(m, count):
    return sorted(
        re.search(rb"Subject: (.*?)\r?\n", message)[1].decode()
        for message in m.delivered(USER, timeout=10, count=count)
    )


@pytest.mark.fast
def test_an_upgrade_runs_the_new_file_under_the_same_process_id(mired, program):
    m = mired(program=program, tarpit="time = 2s")
    (waiting,) = held(m, 1)
    inode = replace(program)
    done = m.control("upgrade", timeout=40)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.stat(f"/proc/{m.pid}/exe").st_ino == inode
    assert "generation 2" in done.stdout
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    reply = waiting.reply()
    assert reply.code == 550 and 1.99 <= reply.seconds < 6
    waiting.close()
    assert m.control("reload").returncode == 0  # and it can be steered as before
    assert m.control("upgrade", timeout=40).returncode == 0


def test_clerks_of_an_earlier_program_end_with_the_workers_who_asked_them(mired, program):
    """Nobody else could tell them: only the new program's own generation has its queues in the master."""
    m = mired(program=program, tarpit="time = 100s max = 100s", config="clerks = 2")
    (waiting,) = held(m, 1)  # by a worker of the first generation, for which two clerks stay
    for _ in range(3):
        assert m.control("upgrade", timeout=40).returncode == 0
    processes.wait_until(lambda: len(m.processes("clerk")) == 4)
    waiting.close()
    processes.wait_until(lambda: len(m.processes("clerk")) == 2 and len(m.processes("worker")) == 2)


@pytest.mark.alone
def test_reloads_and_upgrades_under_load_lose_nothing_and_refuse_nobody(mired, program):
    m = mired(program=program, tarpit="time = 20s", workers=2)
    clients = held(m, 200)
    begun = [client.begun for client in clients]
    traffic = Traffic(m.port)
    try:
        for i in range(12):
            if i % 4 == 3:
                replace(program)
                done = m.control("upgrade", timeout=60)
            else:
                done = m.control("reload", timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        traffic.stop()
    assert not traffic.wrong, traffic.wrong[:5]
    assert len(traffic.sent) > 12
    for client, since in zip(clients, begun):
        reply = client.reply()
        assert reply.code == 550 and "5.1.1" in reply, reply
        assert 19.8 <= time.monotonic() - since < 30
        client.close()
    assert subjects(m, len(traffic.sent)) == sorted(traffic.sent)
    print(f"{len(traffic.sent)} messages beside 9 reloads and 3 upgrades")


@pytest.mark.soak
def test_twenty_reloads_and_five_upgrades_beside_five_thousand_held_and_five_hundred_messages_a_second(mired, program):
    rules = "growth = 1 pace = false drip = 0 shield = 0 patience_offences = 0 freeze = off held_max = 20000"
    m = mired(program=program, tarpit=f"time = 150s max = 150s {rules}", workers=2)
    waiting = Held(m.port, 5000, addresses=50, seconds=170)
    assert waiting.until("held", 5000), waiting.last
    calm, load = Load(m.port, USER, 500, 3), Load(m.port, USER, 500, 3)
    for _ in range(4):
        calm.run()
    sender = threading.Thread(target=load.run_until_stopped)
    sender.start()
    try:
        for i in range(25):
            if i % 5 == 4:
                replace(program)
            done = m.control("upgrade" if i % 5 == 4 else "reload", timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        load.stopping.set()
        sender.join()
    print(f"calm: {calm.median('rate'):.0f}/s, p99 {calm.median('p99_ms'):.1f} ms; {load.sum('taken')} messages beside "
          f"25 changes: {load.median('rate'):.0f}/s, p99 {load.median('p99_ms'):.1f} ms")  # fmt: skip
    assert load.sum("broken") == 0 and load.sum("errors") == 0, load.said[-1000:]
    assert len(m.delivered(USER, count=0)) == calm.sum("taken") + load.sum("taken")
    end = waiting.end()
    assert end["r5xx"] == 5000 and end["closed"] == 0 and end["refused"] == 0, end


def test_a_program_that_does_not_run_changes_nothing(mired, program):
    m = mired(program=program, tarpit="time = 0")
    before = sorted(processes.children(m.pid))
    program.unlink()
    program.write_text("#!/bin/sh\necho this is not mired >&2; exit 1\n")
    program.chmod(0o755)
    done = m.control("upgrade", timeout=40)
    assert done.returncode == 1 and "this is not mired" in done.stderr
    program.unlink()
    done = m.control("upgrade", timeout=40)
    assert done.returncode == 1 and "No such file" in done.stderr
    assert sorted(processes.children(m.pid)) == before
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


def test_a_configuration_that_the_new_program_does_not_like_changes_nothing(mired, program):
    m = mired(program=program, tarpit="time = 0")
    good = m.file.read_text()
    m.file.write_text(good + "frobnicate = 3\n")
    done = m.control("upgrade", timeout=40)
    assert done.returncode == 1 and "frobnicate" in done.stderr and "mired.conf:" in done.stderr
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


def test_a_generation_that_cannot_begin_leaves_the_earlier_programs_children_at_work(mired, program):
    """The new program runs, and then an address that it is to listen on is taken."""
    m = mired(program=program, tarpit="time = 0")
    taken = ports.free()
    good = m.file.read_text()
    with socket.create_server(("127.0.0.1", taken)):
        m.file.write_text(good + f'listen "127.0.0.1:{taken}" {{ }}\n')
        done = m.control("upgrade", timeout=40)
        assert done.returncode == 1 and str(taken) in done.stderr
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    m.file.write_text(good)
    assert m.control("reload", timeout=40).returncode == 0
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


def test_counters_and_the_time_of_the_start_go_on(mired, program):
    m = mired(program=program, tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    before = json.loads(m.control("--json", "status").stdout)
    assert m.control("upgrade", timeout=40).returncode == 0
    after = json.loads(m.control("--json", "status").stdout)
    assert after["messages"] == before["messages"] and before["messages"]["passed"] == 1
    assert after["since_ms"] == before["since_ms"]
    assert after["generation"] == before["generation"] + 1
