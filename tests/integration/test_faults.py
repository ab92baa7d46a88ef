"""Faults of the machine: calls that fail with EIO, ENOSPC, ENFILE, ENOMEM and their like, now and then, in each process;
a disk that is full; a clock that jumps. No message is lost or doubled, nobody hears a wrong 5xx, and no process ends."""

import collections
import os
import pathlib
import re
import subprocess

import pytest

from lib.crash import Sender
from lib.power import PROGRAM

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace these processes"),
    pytest.mark.skipif(not pathlib.Path(PROGRAM).exists(), reason="strace is not installed"),
]
USERS = ("alice@example.test", "bob@example.test")
FAULTS = {
    "store": {
        "fsync": "EIO ENOSPC EDQUOT",
        "write": "EIO ENOSPC EDQUOT",
        "openat": "EIO ENOSPC ENFILE EMFILE ENOMEM EACCES",
        "linkat": "EIO ENOSPC EMLINK EDQUOT",
        "mkdirat": "EIO ENOSPC",
        "unlinkat": "EIO",
        "accept4": "ENFILE EMFILE ENOMEM ECONNABORTED",
        "recvfrom": "ENOMEM ECONNRESET",
        "sendto": "ENOBUFS ECONNRESET",
        "mmap": "ENOMEM",
        "clone3": "EAGAIN ENOMEM",
        "poll": "ENOMEM",
    },
    "worker": {
        "openat": "EIO ENOSPC ENFILE EMFILE ENOMEM",
        "write": "EIO ENOSPC",
        "pwrite64": "EIO ENOSPC",
        "pread64": "EIO",
        "socket": "ENFILE EMFILE ENOBUFS",
        "connect": "ECONNREFUSED ENOBUFS EAGAIN",
        "accept4": "ENFILE EMFILE ENOMEM ECONNABORTED",
        "epoll_ctl": "ENOMEM ENOSPC",
        "recvfrom": "ENOMEM ECONNRESET",
        "sendto": "ENOBUFS ECONNRESET",
        "sendmsg": "ENOBUFS",
        "writev": "ENOBUFS",
        "sendfile": "EIO",
        "mmap": "ENOMEM",
    },
    "clerk": {
        "recvfrom": "ENOMEM",
        "recvmsg": "ENOMEM",
        "sendto": "ENOBUFS",
        "sendmsg": "ENOBUFS",
        "openat": "EMFILE EIO",
        "mmap": "ENOMEM",
        "epoll_wait": "EINTR",
    },
}


class Failing:
    """Makes each third call of a kind fail in a process, beginning with the second."""

    def __init__(self, pid, call, error, folder):
        self.file = pathlib.Path(folder) / f"failed-{pid}-{call}-{error}"
        self.process = subprocess.Popen(
            [PROGRAM, "-f", "-o", self.file, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when=2+3", "-p", str(pid)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = self.process.stderr.readline()
        assert "attached" in said, said

    def end(self):
        """How many calls have failed."""
        self.process.terminate()
        self.process.wait()
        return self.file.read_text(errors="replace").count("(INJECTED)")


def check(m, senders):
    wrong = [(s.token, s.heard) for s in senders if [c for c in s.heard if c >= 500] or s.heard[-1] != 250]
    assert not wrong, wrong
    for user in USERS:
        mails = m.delivered(user, count=len(senders))
        copies = collections.Counter(re.search(rb"token-(\S+)", mail)[1].decode() for mail in mails)
        for s in senders:
            assert 1 <= copies[s.token] <= 1 + s.doubts, (user, s.token, copies[s.token], s.heard, s.doubts)


@pytest.mark.parametrize("role", FAULTS)
def test_calls_that_fail_cost_no_message(mired, tmp_path, role):
    m = mired(tarpit="time = 0", workers=1, config="clerks = 1\nsandbox = false")
    senders, failed = [], collections.Counter()

    def send(token, lines, **options):
        senders.append(Sender(m.port, USERS, token, lines=lines))
        senders[-1].send(**options)

    pid = m.processes(role)[0]
    for call, errors in FAULTS[role].items():
        for error in errors.split():
            failing = Failing(pid, call, error, tmp_path)
            for n in range(3):
                send(f"{call}-{error}-{n}", 8000 if n == 1 else 1, once=True)
            failed[call] += failing.end()
            for sender in senders[-3:]:
                sender.send()
    send("after", 1)
    check(m, senders)
    assert m.processes(role) == [pid]
    tries = sum(len(s.heard) for s in senders)
    print(f"{role}: {sum(failed.values())} calls failed ({dict(failed)}), {len(senders)} messages, {tries} tries")
    assert sum(failed.values()) >= 6


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
