"""A power cut: what the store has confirmed is on the disk, by nothing but what it has flushed itself, and what it has
refused is not (lib/power.py)."""

import concurrent.futures
import os
import pathlib

import pytest

from lib.crash import Sender
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
    assert not disk.lost


def test_what_is_confirmed_survives_when_many_make_the_same_mailboxes(mired, tmp_path):
    """One thread makes a folder, and before it has flushed it another finds it there."""
    messages = [(f"new{n // 8}@example.test", f"new{n // 8 + 1}@example.test") for n in range(160)]
    disk = confirmed(mired, tmp_path, [], messages, 8)
    assert disk.confirmed == 2 * len(messages)
    assert not disk.lost
    # The file and two folders each; the three folders that lead to a mailbox once, or by each thread at once.
    assert disk.flushes <= 3 * len(messages) + 3 * 8 * 21


@pytest.mark.parametrize("refused", [2, 4])
def test_what_is_refused_for_one_mailbox_does_not_come_back_in_the_others(mired, tmp_path, refused):
    """The last recipient's mailbox is damaged. The sender retries, so a copy that comes back would be a second one."""
    m = mired(tarpit="time = 0", recipients=("@example.test",))
    people = [f"u{n}@example.test" for n in range(refused)]
    m.mail.mkdir(exist_ok=True)
    disk = Disk(str(m.mail))
    damaged = m.mail / "example.test" / f"u{refused - 1}"
    damaged.mkdir(mode=0o700, parents=True)
    (damaged / "new").write_text("")  # a file where the folder should be
    tracer = Tracer(m.processes("store")[0], tmp_path)
    assert Sender(m.port, people, "x").once() == 451
    disk.play(tracer.end())
    assert disk.refused == refused - 1
    assert disk.come_back == []
    assert not list(m.mail.glob("example.test/*/new/*"))
