"""Field notes 3: a file of recipients that is written, emptied, cut or wrong never turns a person into an unknown one."""

import os
import signal
import subprocess
import time

import pytest

from lib import processes, strange
from lib.mired import PEOPLE, PROGRAM, Mired
from lib.smtp import Client
from lib.waiting import until

MANY = [f"user{n}@example.test" for n in range(40)]
SETTLES = 2.5  # s; a file that has not changed for 3 s is taken for whole (directory/lines.h)


def text(people):
    return "".join(f"{p}\n" for p in people)


def write(m, octets):
    """As if it had been written some seconds ago: it has settled."""
    m.recipients.write_bytes(octets.encode() if isinstance(octets, str) else octets)
    long_ago = time.time() - 10
    os.utime(m.recipients, (long_ago, long_ago))


def verdict(m, recipient):
    with Client(m.port) as client:
        client.ehlo()
        return client.envelope("a@b.test", [recipient])[0].code


def wait_verdict(m, recipient, code):
    """Each clerk looks at the file in its own time: what one of them knows, another may learn a second later."""
    until(lambda: verdict(m, recipient) == code, every=0.1)


def test_a_file_that_is_being_written_refuses_nobody(mired):
    """An export with `>` that takes some seconds, and stops now and then: longer than a look, shorter than it takes to settle."""
    m = mired(tarpit="time = 0", recipients=MANY)
    wrong, longest = [], 0
    with m.recipients.open("w") as f:
        for person in MANY + ["late@example.test"]:
            f.write(person[:7])
            f.flush()
            written = time.monotonic()
            time.sleep(0.1)
            wrong += [(r, code) for r in (MANY[0], MANY[39]) if (code := verdict(m, r)) != 250]
            f.write(person[7:] + "\n")
            longest = max(longest, time.monotonic() - written)
    if longest > SETTLES:
        pytest.skip(f"this machine paused for {longest:.1f} s, which no writer may")
    assert not wrong
    wait_verdict(m, "late@example.test", 250)
    wait_verdict(m, "nobody@example.test", 550)


def test_a_file_that_is_renamed_into_place_is_taken_at_once(mired):
    m = mired(tarpit="time = 0", recipients=MANY)
    new = m.folder / "recipients.new"
    new.write_text(text(MANY + ["late@example.test"]))
    probe = m.folder / "probe"
    while not probe.exists() or probe.stat().st_mtime_ns == new.stat().st_mtime_ns:
        probe.write_text("")  # until the clock of files has gone on
    os.rename(new, m.recipients)
    codes = []

    def known():
        codes.append(verdict(m, "late@example.test"))
        return codes[-1] == 250

    until(known, why=lambda: codes, every=0.1)
    assert 451 not in codes  # which is said while a version settles


def test_who_is_new_is_put_off_and_not_refused_while_the_file_settles(mired):
    m = mired(tarpit="time = 0", recipients=MANY)
    with m.recipients.open("a") as f:
        f.write("late@example.test\n")
    seen = set()

    def known():
        seen.add(verdict(m, "late@example.test"))
        return 250 in seen

    until(known, every=0.05)
    assert 451 in seen


EMPTIED = {
    "empty": b"",
    "comments only": b"# nobody\n\n",
    "blank lines": b"\n\r\n  \n",
    "less than half": text(MANY[:19]).encode(),
    "one": text(MANY[:1]).encode(),
}
WRONG = {
    "words behind": (text(MANY) + "alice@example.test OK\n", ":41: ", "the address alone"),
    "a comment behind": ("alice@example.test # Alice\n" + text(MANY), ":1: ", "a comment has a line of its own"),
    "two on a line": (text(MANY) + "a@example.test, b@example.test\n", ":41: ", "one address a line"),
    "in brackets": (text(MANY) + "<a@example.test>\n", ":41: ", "without <"),
    "with its scheme": (text(MANY) + "smtp:a@example.test\n", ":41: ", "without what stands before it"),
    "a table": ("name,mail\n" + text(MANY), ":1: ", "one address a line"),
    "a person without a domain": (text(MANY) + "alice\n", ":41: ", "an address with its domain"),
    "a pattern": (text(MANY) + "*@example.test\n", ":41: ", "@example.org for all of a domain"),
    "UTF-16": (text(MANY).encode("utf-16"), ": ", "UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + text(MANY).encode("utf-16-be"), ": ", "UTF-16"),
    "UTF-16 without its mark": (text(MANY).encode("utf-16-le"), ": ", "NUL bytes"),
    "a hole after a crash": (text(MANY).encode() + bytes(4096), ": ", "NUL bytes"),
    "Latin-1": (text(MANY).encode() + b"m\xfcller@example.test\n", ":41: ", "is not an address"),
    "cut in a line": (text(MANY) + "alice@exam\nuser@", ":42: ", "is not an address"),
    "an error of the export": ("psql: error: connection to server failed\n", ":1: ", "is not an address"),
    "a page of the web": ("<!DOCTYPE html>\n<html>\n", ":1: ", "is not an address"),
}


@pytest.mark.parametrize("how", EMPTIED)
def test_a_version_with_much_fewer_people_waits_until_it_is_confirmed(mired, how):
    m = mired(tarpit="time = 0", recipients=MANY)
    clerks = len(m.processes("clerk"))
    assert verdict(m, MANY[39]) == 250
    since = m.log.mark()
    write(m, EMPTIED[how])
    m.log.wait(r"level=warn.*addresses after 40; .*mirectl reload.*; keeping the previous version", since=since)
    assert [verdict(m, p) for p in (MANY[0], MANY[39])] == [250, 250]
    wait_verdict(m, "nobody@example.test", 550)
    until(lambda: "using an earlier version" in m.control("status").stdout)
    for renew in (lambda: m.control("reload"), lambda: m.daemon.signal(signal.SIGHUP)):  # by a timer or a hook
        mark, before = m.log.mark(), m.processes("clerk")
        renew()
        m.log.wait(r"generation \d+ serves", since=mark)
        assert not processes.wait_gone(before)
        assert verdict(m, MANY[39]) == 250
    assert m.control("reload", "--accept-shorter").returncode == 0
    wait_verdict(m, MANY[39], 550)
    until(lambda: "an earlier version" not in m.control("status").stdout)  # the clerks before the reload have gone
    assert m.log.text.count("addresses after 40") <= 3 * clerks


@pytest.mark.parametrize("how", WRONG)
def test_a_version_with_a_wrong_line_changes_nothing(mired, how):
    octets, line, right = WRONG[how]
    m = mired(tarpit="time = 0", recipients=MANY)
    assert verdict(m, MANY[39]) == 250
    since = m.log.mark()
    write(m, octets)
    assert right in m.log.wait(rf"level=warn.*{m.recipients}{line}.*keeping the previous version", since=since)
    assert [verdict(m, p) for p in (MANY[0], MANY[39])] == [250, 250]
    wait_verdict(m, "nobody@example.test", 550)
    failed = m.control("reload")  # which would begin clerks that know no earlier version
    assert failed.returncode != 0 and right in failed.stdout + failed.stderr
    assert verdict(m, MANY[39]) == 250
    done = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True)
    assert done.returncode == 1 and f"{m.recipients}{line}" in done.stderr and right in done.stderr
    assert subprocess.run([PROGRAM, "-c", m.file, "-t", "--quick"], capture_output=True).returncode == 0
    write(m, text(MANY + ["late@example.test"]))
    wait_verdict(m, "late@example.test", 250)


@pytest.mark.parametrize(
    "octets",
    [b"\xef\xbb\xbf" + text(PEOPLE).encode(), text(PEOPLE).replace("\n", "\r\n").encode(), text(PEOPLE).encode()[:-1]],
    ids=["a mark of UTF-8", "CRLF", "no last line end"],
)
def test_what_editors_do_to_a_file_does_not_matter(mired, octets):
    m = mired(tarpit="time = 0", recipients=PEOPLE)
    write(m, octets.replace(b"carol", b"dave"))
    wait_verdict(m, "dave@example.test", 250)
    wait_verdict(m, "carol@example.test", 550)
    assert [verdict(m, p) for p in PEOPLE[:2]] == [250, 250]
    assert subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True).returncode == 0


@pytest.mark.parametrize("octets", [b"alice@example.test OK\n", b"", text(PEOPLE).encode("utf-16")])
def test_at_first_start_a_wrong_file_is_an_error_and_puts_off(mired, octets):
    """There is no earlier version, and the log does not say that there is."""
    m = Mired(tarpit="time = 0", recipients=PEOPLE)
    m.recipients.write_bytes(octets)
    m.start()
    try:
        m.log.wait("level=error.*no earlier version, so its recipients are deferred")
        until(lambda: "DOWN, no version of its file can be used" in m.control("status").stdout)  # nobody has asked yet
        assert m.control("status").returncode == 1 and "earlier version" not in m.control("status").stdout
        assert verdict(m, "alice@example.test") == 451
        write(m, text(PEOPLE))
        wait_verdict(m, "alice@example.test", 250)
        until(lambda: m.control("status").returncode == 0)
        wait_verdict(m, "nobody@example.test", 550)
    finally:
        m.stop()
        m.remove()


@pytest.mark.parametrize("octets", [b"alice@example.test OK\n", b"", text(MANY).encode("utf-16"), text(MANY[:3]).encode()])
def test_a_restart_beside_a_wrong_file_finds_the_last_good_version(mired, octets):
    m = mired(tarpit="time = 0", recipients=MANY)
    assert verdict(m, MANY[39]) == 250
    m.stop()
    m.recipients.write_bytes(octets)
    m.start()
    assert [verdict(m, p) for p in (MANY[0], MANY[39])] == [250, 250]
    m.log.wait("keeping the previous version")


def test_a_clerk_that_died_beside_an_emptied_file_finds_the_last_good_version(mired):
    m = mired(tarpit="time = 0", recipients=MANY, config="clerks = 1")
    m.deaths_expected = True
    since = m.log.mark()
    write(m, "")
    m.log.wait("keeping the previous version", since=since)
    os.kill(m.processes("clerk")[0], 9)
    wait_verdict(m, MANY[39], 250)


def test_people_leave_and_come_as_ever(mired):
    m = mired(tarpit="time = 0", recipients=MANY)
    write(m, text(MANY[:20] + ["late@example.test"]))  # half is no failed export
    wait_verdict(m, "late@example.test", 250)
    wait_verdict(m, MANY[39], 550)


@pytest.mark.parametrize("kind", strange.KINDS)
def test_what_is_no_file_changes_nothing_and_stops_no_clerk(mired, kind):
    """A pipe would make a clerk wait for a writer, and a device would be read without end."""
    m = mired(tarpit="time = 0", recipients=MANY)
    clerks = m.processes("clerk")
    assert verdict(m, MANY[39]) == 250
    since = m.log.mark()
    strange.replace(m.recipients, kind)

    def told():  # until a clerk says so, it may wait for the file to settle, and then defers strangers
        assert verdict(m, MANY[0]) == 250
        said = [line.split("role=")[1] for line in m.log.lines[since:] if "keeping the previous version" in line]
        return len(set(said)) == len(clerks)

    until(told, every=0.1)
    assert [verdict(m, p) for p in (MANY[0], MANY[39], "nobody@example.test")] == [250, 250, 550]
    until(lambda: "using an earlier version" in m.control("status").stdout)
    if kind != "an unreadable file":  # the master may be root
        assert m.control("reload").returncode != 0
        assert m.processes("clerk") == clerks
    assert [verdict(m, p) for p in (MANY[0], MANY[39], "nobody@example.test")] == [250, 250, 550]
    strange.remove(m.recipients)
    write(m, text(MANY + ["late@example.test"]))
    wait_verdict(m, "late@example.test", 250)
    until(lambda: "an earlier version" not in m.control("status").stdout)
