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


class Harvester:
    """Asks from the same address over five connections for some seconds."""

    def __init__(self, port, seconds):
        self.port, self.until = port, time.monotonic() + seconds
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(5)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        while time.monotonic() < self.until:
            try:
                with Client(self.port, source=HERE, timeout=10) as c:
                    c.ehlo()
                    c.must(f"MAIL FROM:<x@m{number}.test>")
                    while time.monotonic() < self.until:
                        c.say(f"RCPT TO:<nobody{number}@example.test>")
            except (OSError, AssertionError):
                time.sleep(0.1)

    def join(self):
        for thread in self.threads:
            thread.join()


@pytest.fixture
def shielded(mired):
    """A mired that has this address on the shield for about ten seconds, while somebody harvests from it."""
    m = mired(tarpit=TARPIT)
    assert m.control("penalise", HERE, "--offences", "100").returncode == 0
    harvester = Harvester(m.port, 8)
    yield m
    harvester.join()


def arrives_once(m):
    assert len(m.delivered("alice@example.test", timeout=60)) == 1
    put_off = [l for l in m.log.text.splitlines() if "to=alice@example.test code=450" in l]
    assert put_off  # it was not told at first
    time.sleep(2.5)  # longer than the servers wait between two tries: none of them sends it again
    assert len(m.delivered("alice@example.test")) == 1
    print(len(put_off), "times put off")
    # Exim says all at once, QUIT too, and ends its side: that is not giving up, and it hears the 450.
    assert not [l for l in m.log.text.splitlines() if "helo=sender.test" in l and "gave up" in l]


@pytest.mark.parametrize("name", senders.NAMES)
def test_a_message_that_is_put_off_arrives_once(shielded, name):
    box, seconds = senders.send(name, shielded.port, "alice@example.test", timeout=90, again=2)
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
    deadline = time.monotonic() + 140
    while ask("alice") != 250:
        assert time.monotonic() < deadline
        assert ask("bob", f"w{time.monotonic()}@new.test") == 450
        time.sleep(5)
    assert ask("alice", "writer@another.test") == 450


@pytest.mark.soak
def test_no_real_schedule_loses_a_message_with_200_keys():
    subprocess.run([BUILD / "tests/unit/sim/test_sim_schedules", "200"], check=True)
