"""Real mail servers whose address is on the shield, and shared with a harvester: their message arrives, once.

Times are compressed: offences halve in seconds, and the servers try again each two."""

import subprocess
import threading
import time

import pytest

from lib import senders
from lib.mired import BUILD
from lib.smtp import Client

HERE = "127.0.0.1"  # where all of them come from
TARPIT = "time = 500ms max = 1s half_life = 8s"


PUT_OFF = "to=alice@example.test code=450"


class Harvester:
    """Asks from the same address over five connections, until the good message has been put off and some seconds longer.
    A mail server that takes long to begin meets the shield, too."""

    def __init__(self, m):
        self.m, self.port, self.over = m, m.port, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(5)]
        self.threads.append(threading.Thread(target=self.watch))
        for thread in self.threads:
            thread.start()

    def watch(self):
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not self.over.is_set():
            try:
                self.m.log.wait(PUT_OFF, timeout=8)
                break
            except AssertionError:  # by now half of the offences are left
                penalise(self.m)
        self.over.wait(3)
        self.over.set()

    def run(self, number):
        while not self.over.is_set():
            try:
                with Client(self.port, source=HERE) as c:
                    c.ehlo()
                    c.must(f"MAIL FROM:<x@m{number}.test>")
                    while not self.over.is_set():
                        c.say(f"RCPT TO:<nobody{number}@example.test>")
            except (OSError, AssertionError):
                time.sleep(0.1)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def penalise(m):
    assert m.control("penalise", HERE, "--offences", "100").returncode == 0


@pytest.fixture
def shielded(mired):
    """A mired that has this address on the shield until the good message has been put off, while somebody harvests from it."""
    m = mired(tarpit=TARPIT)
    penalise(m)
    harvester = Harvester(m)
    yield m
    harvester.end()


def arrives_once(m):
    assert len(m.delivered("alice@example.test", timeout=300)) == 1
    put_off = [l for l in m.log.text.splitlines() if PUT_OFF in l]
    assert put_off  # it was not told at first
    time.sleep(2.5)  # longer than the servers wait between two tries: none of them sends it again
    assert len(m.delivered("alice@example.test")) == 1
    print(len(put_off), "times put off")
    # Exim says all at once, QUIT too, and ends its side: that is not giving up, and it hears the 450.
    assert not [l for l in m.log.text.splitlines() if "helo=sender.test" in l and "gave up" in l]


@pytest.mark.parametrize("name", senders.NAMES)
def test_a_message_that_is_put_off_arrives_once(shielded, name):
    box, seconds = senders.send(name, shielded.port, "alice@example.test", timeout=300, again=2)
    print(f"{name}: {seconds:.0f} s")
    arrives_once(shielded)
    assert "5.1.1" not in box and "550" not in box


def test_postfix_delivers_what_was_put_off_once(shielded, postfix):
    p = postfix(
        domains="nowhere.test",
        extra=f"relayhost = [127.0.0.1]:{shielded.port}\nminimal_backoff_time = 2s\nmaximal_backoff_time = 4s\n"
        "queue_run_delay = 2s",
    )
    with Client(p.port, source=HERE) as c:
        c.ehlo()
        assert c.message("writer@sender.test", "alice@example.test").ok
    arrives_once(shielded)
    assert "status=bounced" not in p.log


@pytest.mark.soak
def test_on_the_shield_a_retry_is_told_and_a_new_name_is_not(mired):
    """R26 with the real program: the table of deferred messages has steps of 64 s."""
    m = mired(tarpit="time = 1s max = 2s half_life = 10h shield = 5 retry_after = 1s")
    assert m.control("penalise", HERE, "--offences", "100").returncode == 0

    def ask(person, sender="writer@sender.test"):
        with Client(m.port, source=HERE) as c:
            c.ehlo()
            c.must(f"MAIL FROM:<{sender}>")
            return c.say(f"RCPT TO:<{person}@example.test>").code

    assert ask("alice") == ask("nobody") == 450
    assert m.stop() == []
    m.start()  # the file outlives the processes
    deadline = time.monotonic() + 300
    while ask("alice") != 250:
        assert time.monotonic() < deadline
        assert ask("bob", f"w{time.monotonic()}@new.test") == 450
        time.sleep(5)
    assert ask("alice", "writer@another.test") == 450


@pytest.mark.soak
def test_no_real_schedule_loses_a_message_with_200_keys():
    subprocess.run([BUILD / "tests/unit/sim/test_sim_schedules", "200"], check=True)
