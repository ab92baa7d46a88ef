"""One of two backends is killed under load: no message is lost or doubled, no client hears a 5xx, and it is back in
rotation by itself."""

import collections
import concurrent.futures
import re
import threading
import time

import pytest

from lib.load import Load
from lib.smtp import Client
from lib.waiting import until

USER = "alice@example.test"


def send_until(m, number, stop, heard):
    """A client that sends one message after another, each until it is taken, and notes (name, code) of each try."""
    with Client(m.port) as client:
        client.ehlo()
        for n in range(1_000_000):
            name = f"{number}-{n}"
            code = 0
            while code != 250:
                code = client.message("a@b.test", USER, f"X-Name: {name}\r\n\r\nhello\r\n".encode()).code
                heard.append((name, code))
                assert code == 250 or 400 <= code < 500, code
            if stop.is_set():
                return


def names(backend):
    """How often a backend was given each message. Postfix, killed between delivery and noting it, delivers again
    under the same queue id, which is its own affair."""
    given = set()
    for message in backend.delivered(USER, timeout=0, count=0):
        queue_id = re.search(rb"\(Postfix\) with \S+ id (\w+)", message)[1]
        given.add((re.search(rb"X-Name: (\S+)", message)[1].decode(), queue_id))
    return collections.Counter(name for name, _ in given)


@pytest.mark.parametrize("balance", ["first", "round_robin"])
@pytest.mark.long
def test_one_of_two_backends_is_killed_under_load_and_no_message_is_lost_or_doubled(mired, postfix, balance):
    """Clients hear 250 and 4xx only. A message that was put off may stand there twice if it was under way when the
    backend died (RFC 1047), and there are no more of these than clients; it is back in rotation by itself."""
    clients, stop, heard = 8, threading.Event(), []
    one, other = postfix(hostname="one.test"), postfix(hostname="other.test")
    m = mired(
        tarpit="time = 0",
        backend=f'backend "smtp://127.0.0.1:{one.port}" {{ }}\nbackend "smtp://127.0.0.1:{other.port}" {{ }}',
        config=f"balance = {balance}",
    )

    def wait_heard(more):
        wanted = len(heard) + more
        while len(heard) < wanted and not any(f.done() for f in running):
            time.sleep(0.01)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        begun = time.monotonic()
        running = [pool.submit(send_until, m, k, stop, heard) for k in range(clients)]
        try:
            wait_heard(200)
            one.kill()
            m.log.wait(rf"backend smtp://127.0.0.1:{one.port} is down")
            wait_heard(200)
            one.start()
            m.log.wait(rf"backend smtp://127.0.0.1:{one.port} is up again")
            before = {name for name, _ in list(heard)}

            def back():
                """It has a message that no client had begun when it was found up: it is in rotation."""
                return set(names(one)) - before or any(f.done() for f in running)

            until(back)
            wait_heard(200)
        finally:
            stop.set()
        for f in running:
            f.result()
    print(f"{len(heard)} tries, {len(heard) / (time.monotonic() - begun):.0f} a second with a kill and a start")
    assert set(names(one)) - before  # it is back in rotation

    taken = {name for name, code in heard if code == 250}
    put_off = {name for name, code in heard if code != 250}
    until(lambda: taken <= set(names(one) + names(other)), why=lambda: taken - set(names(one) + names(other)), every=0.1)
    twice = {name for name, count in (names(one) + names(other)).items() if count > 1}
    assert twice <= put_off and len(twice) <= clients
    assert max((names(one) + names(other)).values()) <= 2
    assert len(put_off) < len(taken) / 4


def outcomes(file):
    """What mailload has written so far: each message's name, and the code that its client heard."""
    with open(file) as f:
        return dict(map(int, line.split()) for line in f if line.endswith("\n"))


def names_in_maildir(m):
    return collections.Counter(
        int(re.search(rb"^X-Name: (\d+)\r?$", message, re.MULTILINE)[1]) for message in m.delivered(USER, timeout=0)
    )


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("balance", ["first", "round_robin"])
def test_a_backend_killed_under_500_messages_a_second_costs_no_message(mired, tmp_path, balance):
    """The backends are mireds, which bear that rate, and whose Maildirs have each message by its name. No client tries
    again, so that not even a message that was put off may stand there twice."""
    rate, seconds, file = 500, 40, tmp_path / "outcomes"
    exempt = 'exempt = { "127.0.0.0/8" }\nlog_level = "warn"'
    one, other = (mired(config=exempt, hostname=name) for name in ("one.test", "other.test"))
    m = mired(
        tarpit="time = 0",
        backend=f'backend "smtp://127.0.0.1:{one.port}" {{ }}\nbackend "smtp://127.0.0.1:{other.port}" {{ }}',
        config=f"balance = {balance}",
    )
    load = Load(m.port, USER, rate, seconds, "-s", "100", "-u", file)
    sending = threading.Thread(target=load.run)

    def wait_heard(more):
        wanted = len(outcomes(file)) + more
        until(lambda: len(outcomes(file)) >= wanted)

    sending.start()
    until(file.exists)
    wait_heard(10 * rate)
    one.deaths_expected = True
    one.kill_all()
    m.log.wait(rf"backend smtp://127.0.0.1:{one.port} is down")
    wait_heard(10 * rate)
    one.start()
    m.log.wait(rf"backend smtp://127.0.0.1:{one.port} is up again")
    before = sum(names_in_maildir(one).values())
    sending.join()
    assert sum(names_in_maildir(one).values()) > before + rate  # it is back in rotation

    heard, (run,) = outcomes(file), load.runs
    taken = {name for name, code in heard.items() if code == 250}
    put_off = {name: code for name, code in heard.items() if code != 250}
    there = names_in_maildir(one) + names_in_maildir(other)
    print(
        f"{len(heard):,} messages, {len(heard) / seconds:.0f} a second: {len(taken):,} taken, put off "
        f"{collections.Counter(put_off.values())}, of which {len(put_off.keys() & there.keys())} stand there; {run}"
    )
    assert run["broken"] == 0 and all(400 <= code < 500 for code in put_off.values())
    assert len(heard) >= 0.98 * rate * seconds
    assert taken <= there.keys() and max(there.values()) == 1  # none lost, none doubled
    assert there.keys() <= heard.keys()
    assert len(put_off) < len(taken) / 100
