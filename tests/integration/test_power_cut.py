"""A power cut: what the store has confirmed is on the disk, by nothing but what it has flushed itself, and what it has
refused is not, each mailbox on its own (lib/power.py)."""

import concurrent.futures
import itertools
import os
import pathlib

import pytest

from lib.crash import Sender
from lib.mired import UNDER
from lib.power import PROGRAM, Disk, Tracer

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace these processes"),
    pytest.mark.skipif(not pathlib.Path(PROGRAM).exists(), reason="strace is not installed"),
]
# Folders that a store was making when it was killed, or that another program has made: it is not known whether they are
# flushed.
BEGUN = [[], ["."], ["alice"], ["alice/tmp"], ["alice/tmp", "alice/new"], ["alice/tmp", "alice/new", "alice/cur", "bob/new"]]


def confirmed(mired, tmp_path, folders, messages, side_by_side):
    """Confirmed copies, and those of them that a power cut would have taken."""
    m = mired(tarpit="time = 0", recipients=("@example.test",))
    (m.mail / "example.test").mkdir(mode=0o700, parents=True) if folders else m.mail.mkdir(exist_ok=True)
    for folder in folders:
        (m.mail / "example.test" / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    disk = Disk(str(m.mail))
    tracer = Tracer(m.processes("store")[0], tmp_path)
    senders = [Sender(m.port, recipients, str(n)) for n, recipients in enumerate(messages)]
    with concurrent.futures.ThreadPoolExecutor(side_by_side) as pool:
        assert set(pool.map(Sender.send, senders)) == {250}
    disk.play(tracer.end())
    return disk


@pytest.mark.parametrize("folders", BEGUN, ids=range(len(BEGUN)))
def test_what_is_confirmed_survives_whatever_was_begun_before(mired, tmp_path, folders):
    disk = confirmed(mired, tmp_path, folders, [("alice@example.test", "bob@example.test")] * 3, 1)
    assert disk.confirmed == 6
    assert not disk.lost and not disk.lies


def test_what_is_confirmed_survives_when_many_make_the_same_mailboxes(mired, tmp_path):
    """One thread makes a folder, and before it has flushed it another finds it there."""
    messages = [(f"new{n // 8}@example.test", f"new{n // 8 + 1}@example.test") for n in range(160)]
    disk = confirmed(mired, tmp_path, [], messages, 8)
    assert disk.confirmed == 2 * len(messages)
    assert not disk.lost and not disk.lies
    # The file and two folders each; the three folders that lead to a mailbox once, or by each thread at once.
    assert disk.flushes <= 3 * len(messages) + 3 * 8 * 21


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("people", [2, 4])
def test_a_mailbox_that_fails_leaves_the_others_what_is_confirmed(mired, tmp_path, people, first):
    """One mailbox is damaged. The others keep their copies, and the retry gives none of them a second one."""
    m = mired(tarpit="time = 0", recipients=("@example.test",))
    people = [f"u{n}@example.test" for n in range(people)]
    m.mail.mkdir(exist_ok=True)
    disk = Disk(str(m.mail))
    bad = people[0 if first else -1].split("@")[0]
    damaged = m.mail / "example.test" / bad
    damaged.mkdir(mode=0o700, parents=True)
    (damaged / "new").write_text("")  # a file where the folder should be
    disk.add(str(damaged.parent))
    disk.add(str(damaged))
    tracer = Tracer(m.processes("store")[0], tmp_path)
    sender = Sender(m.port, people, "x")
    assert sender.send(once=True) == 451
    (damaged / "new").unlink()
    assert sender.send() == 250
    disk.play(tracer.end())
    assert (disk.confirmed, disk.refused) == (len(people), 1)
    assert not disk.lost and not disk.come_back and not disk.lies
    assert len(list(m.mail.glob("example.test/*/new/*"))) == len(people)
    assert len(list(damaged.glob("new/*"))) == 1


# valgrind writes, too.
FAULTS = {"openat": "EACCES", "write": "EDQUOT", "fsync": "EIO", "linkat": "ENOSPC", "mkdirat": "EDQUOT"}


@pytest.mark.parametrize("call", [call for call in FAULTS if not (UNDER and call == "write")])
def test_each_call_that_fails_makes_no_answer_untrue(mired, tmp_path, call):
    """The n-th call of a message to two new mailboxes fails, until none is left to fail. Each has one copy in the end."""
    m = mired(tarpit="time = 0", recipients=("@example.test",), workers=1, config="sandbox = false")
    m.mail.mkdir(exist_ok=True)
    disk, retried = Disk(str(m.mail)), 0
    for n in itertools.count(1):
        people = [f"a{n}@example.test", f"b{n}@example.test"]
        tracer = Tracer(m.processes("store")[0], tmp_path, (call, FAULTS[call], n))
        sender = Sender(m.port, people, str(n), lines=4000)
        assert sender.send() == 250, sender.heard
        disk.play(tracer.end())
        assert not disk.lost and not disk.come_back and not disk.lies
        assert [len(list(m.mail.glob(f"example.test/{x}{n}/new/*"))) for x in "ab"] == [1, 1], sender.heard
        if not tracer.failed:
            break
        retried += len(sender.heard) > 1
    assert retried >= 3  # not for each: some calls are for the log or for leftovers
    print(f"{call}: {n - 1} have failed, {retried} messages came again, {disk.confirmed} copies, {disk.refused} refused")
