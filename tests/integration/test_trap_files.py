"""Issue 14, 3: `traps = { "file:..." }` and `suspect = { "file:..." }`: a file with a wrong line is never taken, a new
version is, and a million traps are found at once."""

import os
import re
import time

import pytest

from lib.mired import UNDER
from lib.smtp import Client
from lib.waiting import until

BAIT = "bait@example.test"


def write(path, octets):
    """As if it had been written some seconds ago: it has settled."""
    path.write_bytes(octets.encode() if isinstance(octets, str) else octets)
    long_ago = time.time() - 10
    os.utime(path, (long_ago, long_ago))


def served(mired, octets, more=""):
    """A mired with a file of traps, which stands in the folder of the one that was started first."""
    m = mired(tarpit='traps = { "other@example.test" } time = 100ms max = 200ms')
    m.stop()
    m.traps = m.folder / "traps"
    write(m.traps, octets)
    text = m.file.read_text().replace('"other@example.test"', f'"other@example.test", "file:{m.traps}"')
    m.file.write_text(text + more.replace("@FOLDER@", str(m.folder)))
    return m.start()


def is_trap(m, address):
    return "a trap" in m.control("recipient", address).stdout


def wait_trap(m, address, trap=True):
    """Each clerk looks at the file in its own time: what one of them knows, another may learn a second later."""
    until(lambda: is_trap(m, address) == trap, why=lambda: m.control("recipient", address).stdout, every=0.1)


def shields(m, address, source):
    """Whether a client that writes to it has no verdicts afterwards (R15, R7)."""
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.envelope("a@b.test", [address])
        m.booked()
        return "shield" in m.control("show", source).stdout


@pytest.mark.skipif(UNDER, reason="a million lines take longer there than a start may")
def test_traps_of_a_file_are_traps_and_a_million_of_them_cost_nothing(mired):
    many = "".join(f"trap-{n}@example.test\n" for n in range(1_000_000))
    m = served(mired, "\ufeff# planted\r\n" + many)
    for address in ("trap-0@example.test", "Trap-999999@Example.TEST", "other@example.test"):
        assert is_trap(m, address)
    for address in ("trap-1000000@example.test", "alice@example.test", "@example.test"):
        assert not is_trap(m, address)
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<alice@example.test>").code == 250
    assert shields(m, "trap-500000@example.test", "127.19.4.2")
    assert not shields(m, "nobody@example.test", "127.19.5.2")


WRONG = ["nobody\n", f"{BAIT}\nalice@example.test OK\n", f"{BAIT}\nmore@", BAIT.encode("utf-16"), b"\0" * 100, ""]


@pytest.mark.parametrize("octets", WRONG)
def test_a_wrong_version_of_a_trap_file_is_not_taken(mired, octets):
    m = served(mired, f"{BAIT}\none@example.test\ntwo@example.test\n")
    assert is_trap(m, BAIT)
    write(m.traps, octets)
    m.log.wait(re.escape(str(m.traps)) + ".*keeping the previous version")
    assert is_trap(m, BAIT) and not is_trap(m, "alice@example.test")
    assert m.control("recipient", "alice@example.test").stdout.count("taken") == 1
    if octets:  # an empty one may be meant
        done = m.control("reload")
        assert done.returncode != 0 and str(m.traps) in done.stdout + done.stderr
        m.stop()
        m.start()
        assert is_trap(m, BAIT), "a restart beside a broken file finds the earlier version"
    write(m.traps, f"{BAIT}\nnew@example.test\nthree@example.test\n")
    wait_trap(m, "new@example.test")
    wait_trap(m, "one@example.test", False)


def test_a_trap_file_that_is_being_written_changes_nothing_until_it_has_settled(mired):
    m = served(mired, f"{BAIT}\n")
    gone, longest = 0, 0
    with m.traps.open("w") as f:
        for n in range(30):
            f.write(f"trap-{n}@exam")
            f.flush()
            written = time.monotonic()
            time.sleep(0.1)
            gone += not is_trap(m, BAIT)
            f.write("ple.test\n")
            longest = max(longest, time.monotonic() - written)
    if longest > 2.5:  # a file that has not changed for 3 s is taken for whole (directory/lines.h)
        pytest.skip(f"this machine paused for {longest:.1f} s, which no writer may")
    assert not gone
    wait_trap(m, "trap-29@example.test")
    wait_trap(m, BAIT, False)


def test_a_file_of_suspects_with_a_wrong_line_fails_a_reload_and_keeps_the_earlier_ones(mired):
    m = served(mired, f"{BAIT}\n")
    suspects = m.folder / "suspects"
    write(suspects, "\ufeff127.31.0.0/16 # one\n")
    m.file.write_text(m.file.read_text() + f'suspect = {{ "file:{suspects}" }}\n')
    assert m.control("reload").returncode == 0

    def listed():
        return "suspect:127.31.0.0/16" in m.control("show", "127.31.7.7").stdout

    with Client(m.port, source="127.31.7.7") as client:
        client.ehlo()
        m.booked()
        assert listed()
    for octets in ("127.32.0.0/16\nnonsense\n", "127.32.0.0/16\n127.3", "\0"):
        write(suspects, octets)
        done = m.control("reload")
        assert done.returncode != 0 and str(suspects) in done.stdout + done.stderr
    m.stop()
    m.start()
    with Client(m.port, source="127.31.8.8") as client:
        client.ehlo()
        m.booked()
        assert "suspect:127.31.0.0/16" in m.control("show", "127.31.8.8").stdout
