"""Faults of the machine: calls that fail with EIO, ENOSPC, ENFILE, ENOMEM and their like, now and then, in each process;
a disk that is full; a clock that jumps. No message is lost or doubled, nobody hears a wrong 5xx, and no process ends."""

import collections
import contextlib
import os
import pathlib
import re
import time

import pytest

from lib.crash import Sender, copies_of
from lib.failing import Failing
from lib.mired import SANITIZED
from lib.power import PROGRAM
from lib.scripted import Scripted
from lib.waiting import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace these processes"),
    pytest.mark.skipif(not pathlib.Path(PROGRAM).exists(), reason="strace is not installed"),
]
USERS = ("alice@example.test", "bob@example.test")
NEW = 200  # mailboxes that get one message each
LONG = 8000  # lines of a message that goes to a file, because the spool has no memory for it
PADDING = [f"pad-{n}@example.test" for n in range(20000)]  # makes a list large enough for memory of its own
# What a process asks the kernel for, and what the kernel says instead. There are only calls that the process makes with
# this traffic: the test fails where none of a kind has failed.
FAULTS = {
    "store": {
        "mmap": "ENOMEM",
        "fsync": "EIO ENOSPC EDQUOT",
        "write": "EIO ENOSPC EDQUOT",
        "openat": "EIO ENOSPC ENFILE EMFILE ENOMEM EACCES",
        "linkat": "EIO ENOSPC EMLINK EDQUOT",
        "mkdirat": "EIO ENOSPC EDQUOT",
        "unlinkat": "EIO",
        "recvmsg": "EINTR",  # with other errors of its channel to the master it ends, and is started again
        "recvfrom": "ENOMEM ECONNRESET",
        "sendto": "ENOBUFS ECONNRESET",
        "clone3": "EAGAIN ENOMEM",
        "poll": "ENOMEM",
    },
    "worker": {
        "openat": "EIO ENOSPC ENFILE EMFILE ENOMEM",
        "write": "EIO ENOSPC",
        "socketpair": "ENFILE EMFILE ENOBUFS",
        "accept4": "ENFILE EMFILE ENOMEM ECONNABORTED",
        "epoll_ctl": "ENOMEM ENOSPC",
        "recvfrom": "ENOMEM ECONNRESET",
        "sendto": "ENOBUFS ECONNRESET",
        "sendmsg": "ENOBUFS",
        "writev": "EIO ENOSPC ENOBUFS",
        "sendfile": "EIO",
        "mmap": "ENOMEM",
    },
    "worker that relays": {
        "openat": "EIO ENOSPC ENFILE EMFILE ENOMEM",
        "socket": "ENFILE EMFILE ENOBUFS",
        "connect": "ECONNREFUSED ENOBUFS EAGAIN",
        "epoll_ctl": "ENOMEM ENOSPC",
        "recvfrom": "ENOMEM ECONNRESET",
        "sendto": "ENOBUFS ECONNRESET",
        "writev": "EIO ENOSPC ENOBUFS",
        "sendfile": "EIO ECONNRESET",
    },
    "clerk": {
        "recvfrom": "ENOMEM",
        "sendto": "ENOBUFS",
        "sendmsg": "ENOBUFS",
        "socket": "ENFILE EMFILE",
        "connect": "ECONNREFUSED",
        "openat": "EMFILE EIO",
        "read": "EIO",
        "mmap": "ENOMEM",
        "epoll_wait": "EINTR",
    },
}


class Traffic:
    """Mail for USERS and a mailbox that nobody has written to; some of it is too large for the memory of the spool.

    role: of the process with the faults, and what it has to do beside that.  pid: of this process.  failed: how many
    calls of each kind."""

    def __init__(self, mired, role):
        self.role, self.senders, self.changes, self.backend = role.split()[0], [], 0, None
        self.failed = collections.Counter()
        config, options = "clerks = 1\nsandbox = false\nspool_memory = 256K\n", {}
        self.new = (f"new-{n}@example.test" for n in range(NEW))
        recipients = [*USERS, *(f"new-{n}@example.test" for n in range(NEW))]
        if role in ("worker that relays", "clerk"):
            self.backend = Scripted()
            options["backend"] = self.backend.block
        if role == "clerk":
            config += 'recipients "backend" { }\n'  # is asked for the new ones
            recipients = USERS
        self.m = mired(tarpit="time = 0", workers=1, config=config, recipients=recipients, **options)
        self.find()

    def find(self):
        (self.pid,) = self.m.processes(self.role)

    @contextlib.contextmanager
    def failing(self, call, error, folder):
        """Calls fail, at least one. What makes the process make them, beside the mail meanwhile, is done here, too."""
        if (self.role, call) == ("worker", "mmap"):
            self.m.reload()  # this one has its memory
            self.find()
        failing, other = Failing(self.pid, call, error, folder), None
        if (self.role, call) == ("worker", "socketpair"):  # it loses its connections to the store
            other = Failing(self.m.processes("store")[0], "recvfrom", "ECONNRESET", folder)
        if self.role == "store" and call in ("mmap", "clone3", "recvmsg"):
            until(lambda: failing.count() or self.m.reload())  # the next worker connects to it
        if self.role == "clerk" and call in ("openat", "read", "mmap"):
            self.change_list()
        yield
        until(failing.count, why=f"no {call} has failed with {error}")
        self.failed[call] += failing.end()
        if other:
            assert other.end()

    def change_list(self):
        """As if somebody had done it a minute ago, so that it counts as complete."""
        self.changes += 1
        self.m.recipients.write_text("".join(f"{r}\n" for r in (*USERS, *PADDING)))
        os.utime(self.m.recipients, (time.time() - 60 + self.changes,) * 2)

    def send(self, token, lines=1, **options):
        self.senders.append(Sender(self.m.port, (*USERS, next(self.new)), token, lines=lines))
        self.senders[-1].send(**options)
        if self.backend:
            self.backend.hang_up()  # the next message needs a new connection

    def mails(self, user):
        if self.backend:
            return self.backend.mail[user]
        return self.m.delivered(user, count=len(self.senders) if user in USERS else 1)

    def check(self):
        wrong = [(s.token, s.heard) for s in self.senders if [c for c in s.heard if c >= 500] or s.heard[-1] != 250]
        assert not wrong, wrong
        for user in USERS:
            copies = copies_of(self.mails(user))
            for s in self.senders:
                assert 1 <= copies[s.token] <= 1 + s.doubts, (user, s.token, copies[s.token], s.heard, s.doubts)
        for s in self.senders:
            assert 1 <= len(self.mails(s.recipients[-1])) <= 1 + s.doubts, (s.recipients, s.token, s.heard, s.doubts)


@pytest.fixture
def traffic(mired):
    made = []

    def make(role):
        made.append(Traffic(mired, role))
        return made[-1]

    yield make
    for t in made:
        if t.backend:
            t.backend.stop()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer ends a process whose calls for memory fail")
@pytest.mark.parametrize("role", FAULTS)
def test_calls_that_fail_cost_no_message(traffic, tmp_path, role):
    t = traffic(role)
    for call, errors in FAULTS[role].items():
        # Linux needs memory to watch one more descriptor, but none to watch one for something else, as a long message does.
        lines = 1 if call == "epoll_ctl" else LONG
        for error in errors.split():
            with t.failing(call, error, tmp_path):
                for n in range(3):
                    t.send(f"{call}-{error}-{n}", lines if n == 1 else 1, once=True)
            for sender in t.senders[-3:]:
                sender.send()
            assert t.m.processes(t.role) == [t.pid]
    t.send("after")
    t.check()
    tries = sum(len(s.heard) for s in t.senders)
    print(f"{role}: {sum(t.failed.values())} calls failed ({dict(t.failed)}), {len(t.senders)} messages, {tries} tries")


# Gives a mired a state folder of so many octets, which is gone with it.
SMALL_STATE = 'mount -t tmpfs -o size="$1" tmpfs "$(dirname "$4")/state" && shift && exec "$@"'


def test_a_disk_that_fills_up_and_empties_costs_no_message(mired):
    """A state folder of 32 MB: the ledger and its like take a part, and mail the rest."""
    prefix = ["unshare", "-m", "sh", "-c", SMALL_STATE, "sh", str(32 << 20)]
    m = mired(tarpit="time = 0 ledger_size = 1M", workers=1, config="clerks = 1", prefix=prefix)
    mail = pathlib.Path(f"/proc/{m.pid}/root{m.mail}")
    senders, refused = [], 0
    for n in range(40):  # of 1.4 MB each
        senders.append(Sender(m.port, USERS, str(n), lines=20000))
        refused += senders[-1].send(once=True) != 250
    assert 5 < refused < 40
    new = [mail / "example.test" / user.split("@")[0] / "new" for user in USERS]
    taken = collections.Counter()
    for sender in senders:
        while sender.heard[-1] != 250:
            for folder in new:  # their owners read them
                for file in folder.iterdir():
                    taken[folder, re.search(rb"token-(\S+)", file.read_bytes())[1].decode()] += 1
                    file.unlink()
            sender.send(once=True)
            assert len(sender.heard) < 10, sender.heard
    for folder in new:
        for file in folder.iterdir():
            taken[folder, re.search(rb"token-(\S+)", file.read_bytes())[1].decode()] += 1
    assert {code for s in senders for code in s.heard} == {250, 452}
    assert taken == {(folder, s.token): 1 for folder in new for s in senders}
    print(f"{refused} of {len(senders)} messages were put off once")
