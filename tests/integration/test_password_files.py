"""Field notes 3, the same kind in auth "file": a file of passwords that is emptied or wrong locks nobody out."""

import os
import time

import pytest

from lib.mired import PASSWORDS, password_file
from lib.smtp import Client
from lib.waiting import until

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
    "empty": (b"", "fewer than half of its logins are left"),
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
