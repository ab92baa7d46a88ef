"""Field notes 3, the same kind in auth "file": a file of passwords that is emptied or wrong locks nobody out."""

import os
import subprocess
import time

import pytest

from lib import processes
from lib.mired import PASSWORDS, PROGRAM, password_file
from lib.smtp import Client
from lib.waiting import PATIENCE, until

USER = "alice@example.test"


def login(m, password=PASSWORDS[USER]):
    with Client(m.submission) as client:
        client.ehlo()
        return client.login(USER, password).code


def write(m, octets):
    """As if it had been written some seconds ago: it has settled."""
    m.passwords.write_bytes(octets)
    os.utime(m.passwords, (time.time() - 10,) * 2)


FOUR = {**PASSWORDS, "carol@example.test": "x", "dave@example.test": "y"}
LINES = password_file(FOUR).encode()
WRONG = {
    "empty": (b"", "it has no logins"),
    "less than half": (b"bob@example.test:x\n" + b"#\n", "fewer than half of its logins are left"),
    "no login": (LINES + b"half a li", ":5: the line is not a login"),
    "no name": (b":x\n" + LINES, ":1: the line is not a login"),
    "UTF-16": (LINES.decode().encode("utf-16"), "UTF-16"),
    "NUL octets": (LINES + bytes(4096), "NUL bytes"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_version_is_not_taken(mired, how):
    octets, why = WRONG[how]
    m = mired(passwords=FOUR, tarpit="time = 0")
    assert login(m) == 235
    since = m.log.mark()
    write(m, octets)
    said = m.log.wait(r"level=warn.*keeping the previous version", since=since)
    assert why in said and "wonderland" not in said and "half a li" not in said
    assert login(m) == 235 and login(m, "wrong") == 535
    new = {**FOUR, USER: "looking-glass"}
    write(m, password_file(new).encode())
    until(lambda: login(m, "looking-glass") == 235, every=0.1)


def test_a_mark_of_utf8_is_no_part_of_the_first_name(mired):
    m = mired(tarpit="time = 0", stored=lambda p: "\ufeff" + password_file(p))
    assert login(m) == 235


@pytest.mark.parametrize("how", ["empty", "less than half"])
def test_clerks_that_are_restarted_refuse_no_right_password(mired, how):
    """They have no earlier version: it died with those before them."""
    octets, why = WRONG[how]
    m = mired(passwords=FOUR, tarpit="time = 0")
    m.deaths_expected = True
    write(m, octets)
    m.log.wait(r"level=warn.*keeping the previous version")
    since = m.log.mark()
    before = m.processes("clerk")
    processes.kill_all(before)
    said = m.log.wait(r"level=warn.*no earlier version, so logins are deferred \(454\)", since=since)
    assert why in said
    until(lambda: len(m.processes("clerk")) == len(before) and not set(m.processes("clerk")) & set(before))
    assert login(m) == 454 and login(m, "wrong") == 454
    write(m, LINES)
    until(lambda: login(m) == 235, every=0.1)
    assert login(m, "wrong") == 535


def test_a_file_without_logins_defers_them_until_it_has_one(mired):
    m = mired(passwords={}, tarpit="time = 0")
    assert "it has no logins" in m.log.wait(r"no earlier version, so logins are deferred \(454\)")
    assert login(m) == 454
    checked = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0 and f"{m.passwords}: warning: it has no logins" in checked.stdout + checked.stderr
    write(m, LINES)
    until(lambda: login(m) == 235, every=0.1)
    since = m.log.mark()
    write(m, b"")
    assert "`mirectl reload --accept-shorter` defers them all" in m.log.wait(r"keeping the previous version", since=since)
    assert login(m) == 235
    assert m.control("reload", "--accept-shorter").returncode == 0  # the last account has left
    assert login(m) == 454


@pytest.mark.parametrize("how", ["empty", "less than half"])
def test_a_reload_fails_that_would_lose_logins_and_says_what_takes_the_file(mired, how):
    """Its clerks would have no earlier version. A timer or a hook may have asked for it after an export that failed."""
    octets, why = WRONG[how]
    m = mired(passwords=FOUR, tarpit="time = 0")
    write(m, octets)
    done = m.control("reload")
    assert done.returncode != 0 and why in done.stderr and "`mirectl reload --accept-shorter`" in done.stderr
    assert login(m) == 235 and login(m, "wrong") == 535
    assert m.control("reload", "--accept-shorter").returncode == 0
    assert login(m) == (454 if how == "empty" else 535)
    assert m.control("reload").returncode == 0  # nothing is lost now
    write(m, LINES)
    assert m.control("reload").returncode == 0
    assert login(m) == 235
