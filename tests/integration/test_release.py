"""release says what has happened: it answers when workers and freezer have answered the holds (issue 14, item 7)."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from lib import netns, ports, processes
from lib.frozen import FROZEN, ask, source, told, wait_frozen
from lib.mired import BUILD
from lib.smtp import Client
from lib.waiting import PATIENCE, until

LONG = "time = 60s max = 60s pace = off freeze_after = 280s"  # with a freezer that gets none
HELD = int(os.environ.get("MIRED_RELEASED", "1500"))  # of one client


def status(m):
    return json.loads(m.control("--json", "status").stdout)


def hold_many(m, stack, client, count):
    """`count` connections of one client, each with a reply held."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count + 500)), hard))
    all_of_them = []
    for _ in range(count):
        c = stack.enter_context(Client(m.port, source=client))
        c.send("EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\n")
        all_of_them.append(c)
    until(lambda: status(m)["held"] >= count)
    m.booked()
    return all_of_them


def paused(m, stack, role):
    """The only process of that role stops, until the end of the test."""
    (pid,) = until(lambda: len(now := m.processes(role)) == 1 and now)  # a freezer comes later than clients are served
    stack.enter_context(processes.paused([pid]))
    return pid


@pytest.fixture
def mired_with_many(mired):
    return lambda **o: mired(
        tarpit=f"time = 280s max = 280s pace = off freeze = off held_per_client = {2 * HELD + 100}",
        config=f"timeout = 5m {o.pop('config', '')}", **o)


def test_release_returns_when_all_holds_of_a_client_are_answered_with_their_number(mired_with_many):
    m = mired_with_many()
    with contextlib.ExitStack() as stack:
        client = ports.stranger()
        clients = hold_many(m, stack, client, HELD)
        begun = time.monotonic()
        done = m.control("release", client)
        took = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        assert f" {HELD} held connections are answered" in done.stdout
        readable = select.poll()  # at once: nothing is waited for any more
        for c in clients:
            readable.register(c.socket.fileno(), select.POLLIN)
        assert len(readable.poll(0)) == HELD
        assert all(c.reply().code for c in clients[:10])
        print(f"{HELD} holds answered in {took:.2f} s")


def test_release_names_the_freezer_that_is_stopped_within_two_seconds(mired):
    m = mired(tarpit=LONG)
    with contextlib.ExitStack() as stack:
        until(lambda: len(m.processes("freezer")) == 1)
        client = ports.stranger()
        c = hold_many(m, stack, client, 1)[0]
        pid = paused(m, stack, "freezer")
        begun = time.monotonic()
        done = m.control("release", client)
        took = time.monotonic() - begun
        assert done.returncode == 1
        assert f"the freezer [{pid}] (no answer within 1.5 s)" in done.stderr
        assert "released in part" in done.stderr and "1 held connection is answered" in done.stderr
        assert took < 50  # of 60 s
        assert c.reply().code == 250  # EHLO: what was held is answered all the same
        done = m.control("--json", "release", client)
        assert done.returncode == 1


def test_a_worker_that_ends_before_it_reads_a_release_is_not_missed(mired):
    """It has no connections any more. As one of an earlier generation does, at any moment."""
    m = mired(workers=2, tarpit="time = 0 freeze = off")
    m.deaths_expected = True
    tries = iter(range(1, 200))

    def ends():
        client, worker = f"192.0.2.{next(tries)}", until(lambda: len(now := m.processes("worker")) == 2 and now)[0]
        os.kill(worker, signal.SIGSTOP)
        order = [BUILD / "mirectl", "-s", m.folder / "run" / "control", "exempt", client]
        with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asked:
            m.log.wait(f"event=control command=exempt about={client} ")
            os.kill(worker, signal.SIGKILL)
            said = asked.communicate(timeout=PATIENCE)[0]
        return asked.returncode == 0 and "not reached" not in said

    until(ends)  # the machine may pause for longer than the 1.5 s


def test_release_names_the_worker_that_is_stopped_and_what_the_others_answered(mired):
    m = mired(workers=1, tarpit=LONG)
    with contextlib.ExitStack() as stack:
        client = ports.stranger()
        hold_many(m, stack, client, 1)
        pid = paused(m, stack, "worker")
        done = m.control("release", client)
        assert done.returncode == 1 and re.search(rf"not reached: worker \d+ \[{pid}\] ", done.stderr)


@pytest.mark.parametrize("command", [("exempt",), ("release", "--all")])
def test_siblings_of_release_say_what_was_not_reached_too(mired, command):
    m = mired(tarpit=LONG)
    with contextlib.ExitStack() as stack:
        client = ports.stranger()
        hold_many(m, stack, client, 1)
        paused(m, stack, "freezer")
        words = command if "--all" in command else (*command, client)
        done = m.control(*words)
        assert done.returncode == 1 and "not reached: the freezer" in done.stderr, done.stdout


def test_the_page_answers_a_release_as_the_command_does(mired, tmp_path):
    token, port = tmp_path / "token", ports.free()
    token.write_text("a long secret\n")
    m = mired(config=f'web {{ listen = "127.0.0.1:{port}" token_file = "{token}" }}', tarpit=LONG)

    def post(what, address):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        c.request("POST", f"/{what}?address={address}", headers={"X-Mired-Token": "a long secret"})
        answer = c.getresponse()
        return answer.status, answer.read().decode()

    with contextlib.ExitStack() as stack:
        one, other = ports.stranger(), ports.stranger()
        hold_many(m, stack, one, 3)
        code, said = post("release", one)
        assert code == 200 and "3 held connections are answered" in said
        hold_many(m, stack, other, 2)
        pid = paused(m, stack, "freezer")
        code, said = post("release", other)
        assert code == 503 and f"the freezer [{pid}]" in said and "2 held connections are answered" in said


def test_a_release_goes_on_when_its_asker_hangs_up(mired):
    m = mired(tarpit=LONG)
    with contextlib.ExitStack() as stack:
        client = ports.stranger()
        c = hold_many(m, stack, client, 1)[0]
        pid = paused(m, stack, "freezer")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(m.folder / "run" / "control"))
            s.sendall(json.dumps({"v": 1, "command": "release", "args": {"address": client}}).encode() + b"\n")
            assert c.reply().code == 250
        until(lambda: m.control("status").returncode == 0)  # the web process lives
        os.kill(pid, signal.SIGCONT)
        assert m.control("release", client).returncode in (0, 1)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_release_counts_the_frozen_holds_that_were_answered(frozen, cable):
    m = frozen(time=60)
    clients = [ask(m.port, n) for n in range(50)]
    wait_frozen(cable, 4)
    network = f"{source(0).rsplit('.', 1)[0]}.0/24"
    done = m.control("--json", "release", network)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["held"], answer["frozen"], answer["unanswered"]) == (0, 50, 0)
    assert "50 held connections are answered" in answer["text"]
    for client in clients:
        assert told(client).seconds < 50


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
@pytest.mark.parametrize("target", [f"{source(0).rsplit('.', 1)[0]}.0/24", "--all"])
def test_a_release_that_meets_holds_on_their_way_to_the_freezer_ends_them_too(frozen, cable, target):
    """Each is in a packet of its own. The freezer reads one in a turn, and the release after the first."""
    m = frozen(time=280, workers=1)
    with contextlib.ExitStack() as stack:
        pid = paused(m, stack, "freezer")
        ordinary = ask(m.port, 0)
        ordinary.send("NOOP\r\n")  # what is unread keeps it out of the freezer
        on_their_way = []
        for n in range(1, 6):
            on_their_way.append(ask(m.port, n))
            m.log.wait(f"client={source(n)} .*what=freezes")
        order = [BUILD / "mirectl", "-s", m.folder / "run" / "control", "release", target]
        with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asked:
            assert told(ordinary)  # the worker has read the release, and the freezer's copy waits
            os.kill(pid, signal.SIGCONT)
            for client in on_their_way:
                assert told(client).seconds < PATIENCE
            assert "connections are answered" in asked.communicate(timeout=PATIENCE)[0]


FROZEN_AT_ONCE = int(os.environ.get("MIRED_RELEASED_FROZEN", "100000"))
FREEZELOAD = BUILD / "bench" / "freezeload"


def silence(port):
    """The load's clients are frozen too: their kernel must not answer for them."""
    rule = (
        "table inet load { chain output { type filter hook output priority filter\n"
        f"tcp dport {port} tcp flags & (rst | ack) == rst drop\n}}\n}}"
    )
    subprocess.run(["nft", rule], check=True)


def freeze_many(m, cable, stack, least):
    """At least so many frozen holds of 127.1.0.1, whose clients have no sockets either; returns how many. A few more
    are opened: some cannot have the port that they are to have."""
    cable.at_server(lambda: silence(m.port))
    count = least + least // 1000
    load = cable.at_server(
        lambda: subprocess.Popen(
            [FREEZELOAD, "-n", str(count), "-c", "-o", "256", "-h", "280", f"127.0.0.1:{m.port}"],
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(lambda: (load.kill(), load.wait()))
    for line in load.stdout:  # one a second
        now = json.loads(line)
        if now["frozen"] + now["failed"] == count:
            break
    assert now["frozen"] >= least, now
    until(lambda: status(m)["frozen"] == now["frozen"])
    return now["frozen"]


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_hundred_thousand_frozen_holds_of_one_client_are_released_and_counted(mired, cable):
    """While the freezer is stopped a release says so within 2 s. One that it hears when it goes on answers all."""
    m = cable.at_server(
        lambda: mired(
            host="0.0.0.0",
            workers=8,
            tarpit=f"{FROZEN.format(time=280)} held_max = 1000000 reserve = 0%",
            config='log_level = "warn"',
        )
    )
    client = "127.1.0.1"
    m.deaths_expected = True  # at its end each worker closes 12,500 connections, for which the master waits 5 s
    with contextlib.ExitStack() as stack:
        count = freeze_many(m, cable, stack, FROZEN_AT_ONCE)
        # To an address of its own: from all others each port of this client is a frozen hold's.
        own = [cable.at_server(lambda: ask(m.port, host="127.0.0.9", origin=client)) for _ in range(10)]
        count += len(own)
        until(lambda: status(m)["frozen"] == count)
        (row,) = [c for c in json.loads(m.control("--json", "clients").stdout)["clients"] if c["address"] == client]
        assert (row["held"], row["frozen"]) == (0, count)

        pid = paused(m, stack, "freezer")
        begun = time.monotonic()
        done = m.control("release", client)
        stopped = time.monotonic() - begun
        assert done.returncode == 1 and f"the freezer [{pid}] (no answer within 1.5 s)" in done.stderr
        assert stopped < 2

        with concurrent.futures.ThreadPoolExecutor() as pool:
            begun = time.monotonic()
            release = pool.submit(m.control, "--json", "release", client, timeout=90)
            os.kill(pid, signal.SIGCONT)
            done = release.result()
        took = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["held"], answer["frozen"], answer["unanswered"]) == (0, count, 0)
        assert status(m)["frozen"] == 0
        assert all(told(c).seconds < 280 for c in own)
        print(f"{count} frozen holds of one client released in {took:.2f} s; freezer stopped: said so in {stopped:.2f} s")
