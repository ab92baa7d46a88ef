"""R25: several mireds that share what they know of clients, through a real Redis."""

import concurrent.futures
import json
import time

import pytest

from lib import ports
from lib.redis import Redis
from lib.smtp import Client, deliver

ROUND_TRIP = 0.05  # of a client that is not on this machine
FLAT = "growth = 1 drip = 0 patience_offences = 0 network_share = 0 "
FLEET = 'fleet {{ redis = {{ "{url}" }} name = "mx" member = "{member}" {more} }}\n'


def until(truth, seconds=10, every=0.02):
    """Waits until it is true; how long that took."""
    begun = time.monotonic()
    while not truth():
        assert time.monotonic() - begun < seconds, "it did not become true"
        time.sleep(every)
    return time.monotonic() - begun


def up(m, timeout=20):
    m.log.wait("fleet: up", timeout=timeout)
    return m


@pytest.fixture
def redis():
    """redis(...) starts one; all are ended with the test."""
    started = []

    def start(*arguments, **options):
        r = Redis(*arguments, **options)
        started.append(r)
        return r.start()

    yield start
    for r in started:
        r.stop()
        r.remove()


@pytest.fixture
def fleet(mired):
    """fleet(redis, 3) starts so many members and waits until they are up."""

    def start(r, count=2, tarpit="time = 1s " + FLAT, more="", config="", wait=True, first=1):
        members = [
            mired(
                tarpit=tarpit,
                config=config + FLEET.format(url=r if isinstance(r, str) else r.url, member=f"mx{first + i}", more=more),
            )
            for i in range(count)
        ]
        return [up(m) if wait else m for m in members]

    return start


def number(m, source, name):
    """What that member shows of the client."""
    return json.loads(m.control("show", source, "--json").stdout)["client"][name]


def offences(m, source):
    return number(m, source, "offences")


def offend(m, source, times=1):
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        for n in range(times):
            c.say(f"RCPT TO:<nobody{n}@example.test>")


def test_a_debt_at_one_member_is_a_debt_at_all(redis, fleet):
    one, two = fleet(redis())
    source = ports.stranger()
    offend(one, source)
    took = until(lambda: offences(two, source) > 0.9)
    print(f"known after {took:.3f} s")
    offend(two, source)
    until(lambda: offences(one, source) > 1.8)
    assert abs(offences(one, source) - offences(two, source)) < 0.05


def test_a_new_member_knows_a_client_in_debt_at_its_first_recipient(redis, fleet):
    """Proof 6: its ledger is empty; the key is asked for while the greeting is on its way."""
    r = redis()
    (one,) = fleet(r, 1, tarpit="time = 3s pace_after = 0 " + FLAT)
    source = ports.stranger()
    offend(one, source)
    (two,) = fleet(r, 1, tarpit="time = 3s pace_after = 0 " + FLAT, first=2)
    with Client(two.port, source=source) as c:
        time.sleep(ROUND_TRIP)
        c.ehlo()
        time.sleep(ROUND_TRIP)
        c.must("MAIL FROM:<a@b.test>")
        assert c.say("RCPT TO:<alice@example.test>").seconds > 1.5
    with Client(two.port) as stranger:
        stranger.ehlo()
        stranger.must("MAIL FROM:<a@b.test>")
        assert stranger.say("RCPT TO:<alice@example.test>").seconds < 1


def test_good_mail_at_one_member_covers_at_all(redis, fleet):
    one, two = fleet(redis())
    source = ports.stranger()
    for name in ("alice", "bob", "carol"):
        deliver(one.port, "a@b.test", [f"{name}@example.test"], source=source)
    until(lambda: print(number(two, source, "good"), number(one, source, "good")) or number(two, source, "good") > 2.9)
