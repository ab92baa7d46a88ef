"""Another version of the program, or of the configuration, under load: nobody is refused, nothing is lost."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

import pytest

from lib import ports, power, processes
from lib.load import Held, Stream
from lib.mired import CONTROL, PROGRAM, UNDER
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

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


def replace_by(program, script):
    program.unlink()
    program.write_text(script)
    program.chmod(0o755)


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
                with Client(self.port) as client:
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
        for message in m.delivered(USER, count=count)
    )


@pytest.mark.skipif(UNDER, reason="what runs is valgrind")
@pytest.mark.fast
def test_an_upgrade_runs_the_new_file_under_the_same_process_id(mired, program):
    m = mired(program=program, tarpit="time = 2s")
    (waiting,) = held(m, 1)
    inode = replace(program)
    done = m.control("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.stat(f"/proc/{m.pid}/exe").st_ino == inode
    assert "generation 2" in done.stdout
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    reply = waiting.reply()
    assert reply.code == 550 and 1.99 <= reply.seconds
    waiting.close()
    assert m.control("reload").returncode == 0  # and it can be steered as before
    assert m.control("upgrade").returncode == 0


def test_clerks_of_an_earlier_program_end_with_the_workers_who_asked_them(mired, program):
    """Nobody else could tell them: only the new program's own generation has its queues in the master."""
    m = mired(program=program, tarpit="time = 100s max = 100s", config="clerks = 2")
    (waiting,) = held(m, 1)  # by a worker of the first generation, for which two clerks stay
    for _ in range(3):
        assert m.control("upgrade").returncode == 0
    until(lambda: len(m.processes("clerk")) == 4)
    waiting.close()
    until(lambda: len(m.processes("clerk")) == 2 and len(m.processes("worker")) == 2)


def started(pid):
    """When a process has been started, in s since the machine was."""
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")


def test_a_reload_pauses_between_the_starts_of_its_processes(mired):
    """10 ms each, so that no message meets several starts."""
    m = mired(tarpit="time = 0 freeze = off", workers=5, config="clerks = 3")
    before = set(processes.children(m.pid))
    assert m.control("reload").returncode == 0
    times = sorted(started(pid) for pid in set(processes.children(m.pid)) - before)
    assert len(times) == 10  # 5 workers, 3 clerks, the keeper, web; the store is kept
    assert times[-1] - times[0] >= 0.07  # not 0.09: the kernel counts hundredths, and mired whole ms
    assert deliver(m.port, "a@b.test", USER).code == 250


@pytest.mark.parametrize("after", [0, 0.02, 0.05, 0.08])
def test_a_stop_during_a_reload_ends_all_processes(mired, after):
    m = mired(tarpit="time = 0", workers=5)
    m.wait_begun()  # else a freezer that comes late is taken for the reload
    before = set(m.processes(""))
    with subprocess.Popen(
        [CONTROL, "-s", m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        until(lambda: set(m.processes("")) - before)  # the reload has begun
        time.sleep(after)
        assert m.stop() == []


@pytest.mark.parametrize("after", [0, 0.03, 0.07])
def test_a_drain_during_a_reload_ends_mired(mired, after):
    """The generation that was about to start is given up: nobody would tell its workers to drain."""
    m = mired(tarpit="time = 0", workers=5)
    m.wait_begun()  # else a freezer that comes late is taken for the reload
    before = set(m.processes(""))
    control = [CONTROL, "-s", m.folder / "run" / "control"]
    with subprocess.Popen([*control, "reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        until(lambda: set(m.processes("")) - before)  # the reload has begun
        time.sleep(after)
        subprocess.run([*control, "stop", "--drain"], stdout=subprocess.DEVNULL, check=True)
        assert m.daemon.process.wait(PATIENCE) == 0
        assert m.stop() == []


@pytest.mark.soak
@pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed")
def test_a_reload_has_time_for_each_of_its_processes(mired):
    """Each starts when the one before it is ready, and may need seconds for that, with long lists or beside an attack."""
    slow = ["-e", "trace=getppid", "-e", "inject=getppid:delay_enter=3500000"]  # each process asks for it once
    prefix = [power.PROGRAM, "-D", "-f", "-qq", "-o", "/dev/null", *slow]
    m = mired(tarpit="time = 0 freeze = off", workers=4, config="clerks = 2", prefix=prefix)
    before = set(processes.children(m.pid))
    begun = time.monotonic()
    done = m.control("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(processes.children(m.pid)) - before) == 8  # 4 workers, 2 clerks, the keeper, web
    assert time.monotonic() - begun > 8 * 3.4  # else it has not met the case
    assert deliver(m.port, "a@b.test", USER).code == 250


@pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed")
def test_nobody_waits_for_the_workers_that_a_reload_adds(mired):
    """Until they serve, those that do greet all clients."""
    slow = ["-e", "trace=getppid", "-e", "inject=getppid:delay_enter=1000000"]  # each process asks for it once
    prefix = [power.PROGRAM, "-D", "-f", "-qq", "-o", "/dev/null", *slow]
    m = mired(tarpit="time = 0 freeze = off", workers=1, prefix=prefix)
    text = m.file.read_text().replace('"mx.example.test"', '"other.example.test"')
    m.file.write_text(text.replace("workers = 1", "workers = 4"))
    before = 0
    with subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL) as reload:
        while len(m.processes("worker")) < 1 + 4:  # the last one begins to serve a second later
            with Client(m.port) as client:
                assert "mx.example.test" in client.greeting
                before += 1
            time.sleep(0.02)
        assert reload.wait(PATIENCE) == 0
    assert before > 20
    for _ in range(20):
        with Client(m.port) as client:
            assert "other.example.test" in client.greeting


def test_who_comes_after_a_reload_meets_the_new_configuration(mired):
    """The answer is given when no worker of the earlier generation takes clients any more."""
    m = mired(tarpit="time = 0", workers=4)
    told = m.file.read_text()
    for n in range(10):
        name = f"mx{n}.example.test"
        m.file.write_text(told.replace('"mx.example.test"', f'"{name}"'))
        assert m.control("reload").returncode == 0
        clients = [Client(m.port) for _ in range(8)]
        assert all(name in client.greeting for client in clients)
        for client in clients:
            client.close()


@pytest.mark.parametrize("command", ["reload", "upgrade"])
def test_what_is_changed_during_a_reload_is_loaded_after_it(mired, command):
    """By a hook of certbot's beside an update of the package, say: neither asks a second time."""
    m = mired(tarpit="time = 0", workers=2)
    told = m.file.read_text()
    before = set(m.processes(""))
    stopped = m.processes("worker")[0]
    os.kill(stopped, signal.SIGSTOP)  # the reload waits 2 s for it to stop accepting
    with subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL) as first:
        until(lambda: set(m.processes("worker")) - before)  # it has read the configuration
        m.file.write_text(told.replace('"mx.example.test"', '"other.example.test"'))
        assert first.poll() is None
        done = m.control(command)
        os.kill(stopped, signal.SIGCONT)
        assert first.wait(PATIENCE) == 0
    assert done.returncode == 0, done.stderr
    assert "generation 3" in done.stdout
    with Client(m.port) as client:
        assert "other.example.test" in client.greeting


def test_a_reload_keeps_the_store_if_it_would_begin_the_same_anew(mired):
    m = mired(tarpit="time = 1s")
    (store,) = m.processes("store")
    m.file.write_text(m.file.read_text().replace("time = 1s", "time = 2s"))
    assert m.control("reload").returncode == 0 and m.processes("store") == [store]
    assert deliver(m.port, "a@b.test", USER).code == 250
    m.file.write_text(m.file.read_text().replace('"mx.example.test"', '"other.example.test"'))
    assert m.control("reload").returncode == 0 and not processes.wait_gone([store])
    assert deliver(m.port, "a@b.test", USER).code == 250
    m.deaths_expected = True
    (store,) = m.processes("store")
    assert m.control("reload").returncode == 0
    os.kill(store, signal.SIGKILL)  # it is the next generation's, which begins it again
    until(lambda: m.processes("store") not in ([], [store]))
    assert deliver(m.port, "a@b.test", USER).code == 250
    assert len(m.delivered(USER, count=3)) == 3


def test_a_generation_that_comes_to_nothing_has_taken_no_client(mired):
    """Its store cannot begin: until all of it is ready, the earlier one serves alone."""
    m = mired(tarpit="time = 2s")
    m.deaths_expected = True
    text = m.file.read_text().replace('"mx.example.test"', '"other.example.test"')
    m.file.write_text(text.replace("workers = 2", "workers = 8"))
    m.mail.rename(m.mail.with_name("kept"))  # where the store that serves goes on writing
    m.mail.write_text("no folder")
    clients = []
    with subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"], stderr=subprocess.PIPE) as reload:
        while reload.poll() is None:
            clients += held(m, 1)
            time.sleep(0.02)
        assert reload.returncode == 1 and b"cannot start" in reload.stderr.read()
    assert clients
    for client in clients:
        assert "mx.example.test" in client.greeting and client.reply().code == 550
        client.close()
    m.mail.unlink()
    m.mail.with_name("kept").rename(m.mail)
    assert m.control("reload").returncode == 0
    with Client(m.port) as client:
        assert "other.example.test" in client.greeting


@pytest.mark.long
def test_reloads_and_upgrades_under_load_lose_nothing_and_refuse_nobody(mired, program):
    m = mired(program=program, tarpit="time = 12s", workers=2)
    clients = held(m, 200)
    begun = [client.begun for client in clients]
    traffic = Traffic(m.port)
    try:
        for i in range(12):
            if i % 4 == 3:
                replace(program)
                done = m.control("upgrade")
            else:
                done = m.control("reload")
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        traffic.stop()
    assert not traffic.wrong, traffic.wrong[:5]
    assert len(traffic.sent) > 12
    for client, since in zip(clients, begun):
        reply = client.reply()
        assert reply.code == 550 and "5.1.1" in reply, reply
        assert 11.9 <= time.monotonic() - since
        client.close()
    assert subjects(m, len(traffic.sent)) == sorted(traffic.sent)
    print(f"{len(traffic.sent)} messages beside 9 reloads and 3 upgrades")


def change(m, program, count, pause):
    """So many changes of which every fifth is an upgrade, each begun `pause` seconds after the one before has ended."""
    for i in range(count):
        time.sleep(pause)
        if i % 5 == 4:
            replace(program)
        done = m.control("upgrade" if i % 5 == 4 else "reload")
        assert done.returncode == 0, done.stdout + done.stderr


ROUNDS = 5  # a calm time, and then 4 reloads and an upgrade


@pytest.mark.soak
@pytest.mark.alone
def test_twenty_reloads_and_five_upgrades_beside_five_thousand_held_and_five_hundred_messages_a_second(mired, program):
    """As an administrator would, 2 s after the one before has ended; and one straight after the other, of which the
    times are only printed: there mail shares the processors with a reload at any moment.

    Each round compares with a calm time right before it, and the median round counts: what else the machine does
    meets both alike, and a burst of it spoils one round."""
    rules = "growth = 1 pace = false drip = 0 shield = 0 patience_offences = 0 freeze = off held_max = 20000"
    m = mired(program=program, tarpit=f"time = 280s max = 280s {rules}", workers=2)
    waiting = Held(m.port, 5000, addresses=50, seconds=320)
    assert waiting.until("held", 5000), waiting.last

    def stream(count, pause):
        with Stream(m.port, USER, 500) as told:
            time.sleep(0 if count else 8)
            change(m, program, count, pause)
        print(f"{count} changes, {pause} s between: {told.told['taken']} messages, {told}")
        return told

    rounds = [(stream(0, 0), stream(5, 2)) for _ in range(ROUNDS)]
    streams = [*(s for pair in rounds for s in pair), stream(25, 0)]
    assert all(s.told["broken"] == 0 and s.told["errors"] == 0 for s in streams), streams[-1].errors[-1000:]
    assert len(m.delivered(USER, count=0)) == sum(s.told["taken"] for s in streams)
    ratios = sorted(changing.told["p99_ms"] / calm.told["p99_ms"] for calm, changing in rounds)
    print(f"p99 beside changes to that without: {', '.join(f'{r:.2f}' for r in ratios)}")
    assert statistics.median(ratios) < 2, ratios
    rates = [changing.told["rate"] / calm.told["rate"] for calm, changing in rounds]
    assert statistics.median(rates) > 0.9, rates
    end = waiting.end()
    assert end["r5xx"] == 5000 and end["closed"] == 0 and end["refused"] == 0, end


@pytest.mark.skipif(UNDER, reason="what runs is valgrind")
def test_a_program_that_does_not_run_changes_nothing(mired, program):
    m = mired(program=program, tarpit="time = 0 freeze = off")  # else a freezer may come later
    before = sorted(processes.children(m.pid))
    replace_by(program, "#!/bin/sh\necho this is not mired >&2; exit 1\n")
    done = m.control("upgrade")
    assert done.returncode == 1 and "this is not mired" in done.stderr
    program.unlink()
    done = m.control("upgrade")
    assert done.returncode == 1 and "No such file" in done.stderr
    assert sorted(processes.children(m.pid)) == before
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


@pytest.mark.skipif(UNDER, reason="the master waits 120 s for a program's check there")
@pytest.mark.parametrize("closes", ["", " 2>/dev/null"])
def test_a_program_that_hangs_changes_nothing(mired, program, closes):
    """The master waits for its check, and does nothing else meanwhile: it would not feed the watchdog."""
    m = mired(program=program, tarpit="time = 0")
    replace_by(program, f"#!/bin/sh\nexec sleep 1000{closes}\n")
    done = m.control("upgrade")
    assert done.returncode == 1 and "has not checked the configuration within 10 s" in done.stderr
    assert deliver(m.port, "a@b.test", USER).code == 250
    replace(program)
    assert m.control("upgrade").returncode == 0


def test_version_0_1_is_refused_with_the_way_back_to_it(mired, program):
    """It does not know --quick, nor all of this version's children: it would end with them, and drop everybody."""
    m = mired(program=program, tarpit="time = 0 freeze = off")
    before = sorted(processes.children(m.pid))
    replace_by(program, "#!/bin/sh\necho \"$0: invalid option -- '-'\" >&2\necho 'usage: mired [-c FILE] [-t] [-V]' >&2\nexit 2\n")
    done = m.control("upgrade")
    assert done.returncode == 1 and "a version before 0.2.0" in done.stderr and "systemctl restart mired" in done.stderr
    assert "usage" not in done.stderr and sorted(processes.children(m.pid)) == before
    assert deliver(m.port, "a@b.test", USER).code == 250


def test_a_configuration_that_the_new_program_does_not_like_changes_nothing(mired, program):
    m = mired(program=program, tarpit="time = 0")
    good = m.file.read_text()
    m.file.write_text(good + "frobnicate = 3\n")
    done = m.control("upgrade")
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
        done = m.control("upgrade")
        assert done.returncode == 1 and str(taken) in done.stderr
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    m.file.write_text(good)
    assert m.control("reload").returncode == 0
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


@contextlib.contextmanager
def failed_upgrade(m):
    """The new program's own generation fails, because a port of it is taken; the body runs while it is, and can tell
    others to try again in vain. Afterwards the configuration is as before."""
    good, taken = m.file.read_text(), ports.free()
    with socket.create_server(("127.0.0.1", taken)):
        m.file.write_text(good + f'listen "127.0.0.1:{taken}" {{ }}\n')
        done = m.control("upgrade")
        assert done.returncode == 1 and str(taken) in done.stderr
        yield
    m.file.write_text(good)


def all_are_served(m):
    """The kernel spreads them over the sockets of all workers."""
    clients = [Client(m.port) for _ in range(20)]
    for client in clients:
        client.ehlo()
        client.close()
    assert deliver(m.port, "a@b.test", USER).code == 250


@pytest.mark.parametrize("role", ["worker", "clerk", "store", "keeper", "web"])
def test_what_dies_of_the_earlier_programs_processes_is_replaced(mired, program, role):
    """The new program cannot start such a process again, so it reloads."""
    m = mired(program=program, tarpit="time = 0")
    m.deaths_expected = True
    with failed_upgrade(m):
        all_are_served(m)
    died = m.processes(role)[0]
    os.kill(died, signal.SIGKILL)
    all_are_served(m) if role == "worker" else m.log.wait("generation 3 serves")
    until(lambda: m.processes(role) and died not in m.processes(role))
    all_are_served(m)
    assert m.control("reload").returncode == 0
    m.log.wait("generation 4 serves")  # it has reloaded once, and no more


def test_the_earlier_programs_processes_are_replaced_as_soon_as_that_is_possible(mired, program):
    m = mired(program=program, tarpit="time = 0")
    m.deaths_expected = True
    with failed_upgrade(m):
        failures = m.log.text.count("another server has this port")
        os.kill(m.processes("worker")[0], signal.SIGKILL)
        until(lambda: m.log.text.count("another server has this port") >= failures + 4)  # more and more slowly
    all_are_served(m)
    assert m.log.text.count("it reloads, again and again until") == 1


KILLS = """#!/bin/sh
case " $* " in *" -t "*) kill -9 @WORKER@ ;; esac
exec "$0.real" "$@"
"""


@pytest.mark.skipif(UNDER, reason="what runs is valgrind")
def test_a_worker_that_dies_during_an_upgrade_that_fails_is_replaced(mired, program):
    """While the master waits for the new program's check, so that the new program learns of it."""
    m = mired(program=program, tarpit="time = 0")
    m.deaths_expected = True
    shutil.copy(PROGRAM.resolve(), f"{program}.real")
    replace_by(program, KILLS.replace("@WORKER@", str(m.processes("worker")[0])))
    with failed_upgrade(m):
        pass
    all_are_served(m)


def test_a_worker_that_waits_for_its_restart_during_an_upgrade_that_fails_is_replaced(mired, program):
    m = mired(program=program, tarpit="time = 0", workers=1)
    m.deaths_expected = True
    for _ in range(6):  # then it is started again 1.6 s later
        (died,) = until(lambda: m.processes("worker"))
        os.kill(died, signal.SIGKILL)
        until(lambda: died not in m.processes("worker"))
    with failed_upgrade(m):
        assert not m.processes("worker"), "it has not met the case"
    all_are_served(m)


@pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed")
def test_a_worker_that_starts_during_an_upgrade_that_fails_serves(mired, program):
    """Nobody has told it to accept yet."""
    slow = ["-e", "trace=getppid", "-e", "inject=getppid:delay_enter=3500000"]  # each process asks for it once
    m = mired(program=program, tarpit="time = 0", prefix=[power.PROGRAM, "-D", "-f", "-qq", "-o", "/dev/null", *slow])
    m.deaths_expected = True
    stays, died = m.processes("worker")
    os.kill(died, signal.SIGKILL)
    until(lambda: len(m.processes("worker")) == 2)
    with failed_upgrade(m):
        pass
    (begun,) = set(m.processes("worker")) - {stays}
    all_are_served(m)
    assert set(m.processes("worker")) == {stays, begun}


def test_a_worker_of_the_earlier_program_that_hangs_is_replaced(mired, program, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    m = mired(program=program, tarpit="time = 0")
    m.deaths_expected = True
    with failed_upgrade(m):
        pass
    hangs = m.processes("worker")[0]
    os.kill(hangs, signal.SIGSTOP)
    m.log.wait(rf"process {hangs}\) has not answered .*; killing it")
    all_are_served(m)


def spoil(m, file):
    """A full disk, say: the new program has some of its files and not the others. Returns what is to be removed."""
    path = m.folder / "state" / file
    path.unlink()
    path.mkdir()  # and it cannot be renamed
    (m.folder / "state" / f"{file}.set-aside" / "full").mkdir(parents=True)
    return path


@pytest.mark.skipif(UNDER, reason="the new program tries 50 times, and a start takes a second there")
def test_a_reload_that_begins_the_program_again_confirms_that_lists_are_shorter(mired, program):
    people = [f"user-{n}@example.test" for n in range(40)]
    m = mired(program=program, tarpit="time = 0", recipients=[*people, USER])
    m.deaths_expected = True
    path = spoil(m, "retries")
    assert m.control("upgrade").returncode == 1
    path.rmdir()
    m.recipients.write_text(f"{USER}\n")
    os.utime(m.recipients, (time.time() - 60,) * 2)  # so that it counts as complete
    m.log.wait("keeping the previous version")
    assert "generation 2 serves" not in m.log.text
    assert m.control("reload", "--accept-shorter").returncode == 0
    m.log.wait("generation 2 serves")

    def is_gone():
        with Client(m.port) as client:
            client.ehlo()
            return client.envelope("a@b.test", [people[39]])[0].code == 550

    until(is_gone)


@pytest.mark.skipif(UNDER, reason="the new program tries 50 times, and a start takes a second there")
@pytest.mark.parametrize("file", ["retries", "decoys"])
def test_a_reload_ends_the_trouble_of_a_program_that_could_not_open_its_files(mired, program, file):
    """No restart is necessary."""
    m = mired(program=program, tarpit="time = 0")
    m.deaths_expected = True
    path = spoil(m, file)
    for command in ("upgrade", "reload"):
        done = m.control(command)
        assert done.returncode == 1 and str(path) in done.stderr
        all_are_served(m)
    path.rmdir()
    os.kill(m.processes("worker")[0], signal.SIGKILL)
    all_are_served(m)
    m.log.wait("generation 2 serves")
    assert m.control("reload").returncode == 0
    all_are_served(m)


def test_counters_and_the_time_of_the_start_go_on(mired, program):
    m = mired(program=program, tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250

    def status():
        return json.loads(m.control("--json", "status").stdout)

    until(lambda: status()["messages"]["passed"] == 1)
    before = status()
    assert m.control("upgrade").returncode == 0
    after = json.loads(m.control("--json", "status").stdout)
    assert after["messages"] == before["messages"] and before["messages"]["passed"] == 1
    assert after["since_ms"] == before["since_ms"]
    assert after["generation"] == before["generation"] + 1


ANOTHER_LAYOUT = """#!/usr/bin/python3
import json, os, sys
number = os.environ.get("MIRED_UPGRADE")
if number:
    path = f"/proc/self/fd/{number}"
    with open(path) as f:
        will = json.load(f)
    will["house"]["layout"] ^= 2
    with open(path, "w") as f:
        json.dump(will, f)
os.execv(sys.argv[0] + ".real", sys.argv)
"""


def test_counters_of_a_program_that_counts_other_things_begin_again(mired, program):
    """Their memory may have the same size, and the same place of a row another meaning."""
    m = mired(program=program, tarpit="time = 0")
    assert deliver(m.port, "a@b.test", USER).code == 250
    passed = lambda: json.loads(m.control("--json", "status").stdout)["messages"]["passed"]  # noqa: E731
    until(lambda: passed() == 1)
    shutil.copy(PROGRAM.resolve(), f"{program}.real")
    replace_by(program, ANOTHER_LAYOUT)
    done = m.control("upgrade")
    assert done.returncode == 0, done.stderr
    assert passed() == 0
    assert deliver(m.port, "a@b.test", USER).code == 250
    until(lambda: passed() == 1)
