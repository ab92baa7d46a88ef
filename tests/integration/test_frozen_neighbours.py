"""Two mireds in one network namespace: each keeps its own frozen connections, whatever the other one does."""

import os
import re
import signal
import subprocess

import pytest

from lib import netns, ports
from lib.frozen import frozen_in, release, waits_frozen
from lib.waiting import until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")

OF_OURS = re.compile(r"table inet (mired_[0-9a-f]+_[0-9a-f]+) {")


def tables(cable):
    return set(OF_OURS.findall(cable.ruleset()))


def disturb(client):
    """Sends data for which there is no socket. A reset would be here when send() returns: the cable has no delay."""
    client.send("NOOP\r\n")


def test_each_of_two_keeps_its_frozen_connections_while_the_other_starts_reloads_and_stops(frozen, cable):
    first = frozen(time=240)
    one = waits_frozen(first, 1)
    own = tables(cable)
    second = frozen(time=240)
    two = waits_frozen(second, 2)
    assert len(tables(cable)) == 2 and own < tables(cable)
    disturb(one)
    for mired in (second, first):
        assert mired.control("reload").returncode == 0
        disturb(one)
    assert second.stop() == []
    assert tables(cable) == own
    disturb(one)  # the other client must be silent now: while its mired is stopped, it gets a reset
    cable.at_server(second.start)
    until(lambda: len(tables(cable)) == 2 and frozen_in(second) == 1)
    disturb(one)
    disturb(two)
    release(first, 1, one, 5)
    release(second, 2, two, 1)


@pytest.mark.parametrize("how", ["kill", "upgrade"])
def test_a_successor_finds_the_table_again_and_leaves_the_others_alone(frozen, cable, how):
    first, second = frozen(time=240), frozen(time=240)
    one, two = waits_frozen(first, 1), waits_frozen(second, 2)
    both, before = tables(cable), cable.ruleset()
    if how == "kill":
        second.kill_all()
        disturb(two)  # what was killed has left its rule
        cable.at_server(second.start)
    else:
        assert second.control("upgrade").returncode == 0
        disturb(two)
    disturb(one)
    release(second, 2, two, 1)
    assert tables(cable) == both
    until(lambda: sorted(cable.ruleset().splitlines()) == sorted(before.splitlines()))
    release(first, 1, one, 1)
    assert second.stop() == []
    assert len(tables(cable)) == 1
    assert first.stop() == []
    assert "mired" not in cable.ruleset()


def earlier_version(cable, port):
    """The table that an earlier version makes, as after an upgrade."""
    rules = (
        f"table inet mired {{ set any4 {{ type inet_service; elements = {{ {port} }}; }}\n"
        "chain output { type filter hook output priority filter; policy accept;\n"
        "meta nfproto ipv4 tcp sport @any4 tcp flags & (rst | ack) == rst meta skuid 0 drop; }; }"
    )
    cable.at_server(lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True))


@pytest.mark.parametrize("whose", ["own", "another's"])
def test_the_table_of_an_earlier_version_goes_unless_it_is_another_mireds(frozen, cable, whose):
    port, other = ports.free(), ports.free()
    earlier_version(cable, port if whose == "own" else other)
    m = frozen(time=240, config=f'listen "0.0.0.0:{port}" {{ }}')
    waits_frozen(m, 1)
    assert ("table inet mired {" in cable.ruleset()) == (whose == "another's")
    assert m.stop() == []
    assert ("table inet mired {" in cable.ruleset()) == (whose == "another's")
    assert tables(cable) == set()


def test_a_hung_freezer_of_one_does_not_disturb_the_other(frozen, cable):
    first, second = frozen(time=240), frozen(time=240)
    one = waits_frozen(first, 1)
    hung = second.processes("freezer")
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        two = waits_frozen(first, 2)
        disturb(two)
        release(first, 1, one, 0)
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    release(first, 2, two, 1)
