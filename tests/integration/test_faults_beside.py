"""Calls that fail (ENOMEM, EMFILE, EIO and their like) in the processes that touch no octet of a message: the master, the
keeper, the freezer, the web and the fleet process, and in each process that is just starting. Mail flows meanwhile: no
message is lost or doubled, nobody hears a wrong 5xx, no hold sticks, and afterwards mired does all again.
test_faults.py has the worker, the clerk and the store."""

import collections
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from lib import netns, old_kernel, processes
from lib.crash import Sender, each_is_there
from lib.failing import Failing
from lib.frozen import FROZEN, source
from lib.mired import CONTROL
from lib.power import PROGRAM
from lib.redis import Reader, Redis
from lib.smtp import Client, Hung
from lib.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace these processes"),
    pytest.mark.skipif(not pathlib.Path(PROGRAM).exists(), reason="strace is not installed"),
    pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able"),
]
USERS = ("alice@example.test", "bob@example.test")
SHORT = "EMFILE ENFILE ENOMEM"
SOCKET = "EMFILE ENFILE ENOBUFS"
# What a process asks the kernel for, and what the kernel may say instead, in each thing that it takes part in. There are
# only calls that it makes: the test fails where none of a kind has failed.
FAULTS = {
    ("keeper", "delivery"): {"epoll_wait": "EINTR", "read": "EINTR"},
    ("keeper", "reload"): {"recvmsg": "ENOMEM ENOBUFS EINTR EBADMSG"},
    ("web", "delivery"): {"accept4": SHORT, "epoll_ctl": "ENOMEM ENOSPC", "recvfrom": "ENOMEM", "sendto": "ENOBUFS", "epoll_wait": "EINTR"},
    ("web", "question"): {"recvmsg": "ENOMEM ENOBUFS EBADMSG", "sendmsg": "ENOBUFS ENOMEM"},
    ("web", "reload"): {"sendmsg": "ENOBUFS ENOMEM", "recvmsg": "ENOMEM ENOBUFS EBADMSG", "write": "EIO ENOSPC EDQUOT"},
    ("fleet", "delivery"): {"sendto": "ENOBUFS ENOMEM", "recvfrom": "ENOMEM", "epoll_wait": "EINTR"},
    ("fleet", "lost Redis"): {"epoll_ctl": "ENOMEM ENOSPC", "socket": SOCKET, "connect": "ENOBUFS EADDRNOTAVAIL"},
    ("fleet", "question"): {"recvmsg": "ENOMEM ENOBUFS EBADMSG", "sendmsg": "ENOBUFS ENOMEM"},
    ("fleet", "reload"): {"recvmsg": "ENOMEM ENOBUFS EBADMSG"},
    ("freezer", "freeze"): {
        "recvmsg": "ENOMEM ENOBUFS EINTR", "sendmsg": "ENOBUFS ENOMEM ETOOMANYREFS", "io_uring_enter": "EAGAIN EBUSY EINTR ENOMEM",
        "getsockopt": "ENOBUFS", "getsockname": "ENOBUFS", "epoll_wait": "EINTR",
    },
    # Not setsockopt(), which needs no memory for what the freezer sets.
    ("freezer", "question"): {"recvmsg": "ENOMEM ENOBUFS EINTR EBADMSG", "sendmsg": "ENOBUFS ENOMEM"},
    ("freezer without a ring", "freeze"): {
        "socket": SOCKET, "bind": "ENOMEM", "connect": "ENOBUFS ENOMEM", "ioctl": "ENOMEM", "getsockopt": "ENOBUFS",
    },
    ("freezer", "change"): {"recvmsg": "ENOMEM ENOBUFS EBADMSG"},
    ("worker", "freeze"): {"recvmsg": "ENOMEM ENOBUFS", "sendmsg": "ENOBUFS ENOMEM", "epoll_ctl": "ENOMEM ENOSPC"},
    # It takes part in a delivery when a worker connects to the store, as in each case after a reload or a restart.
    ("master", "delivery"): {"epoll_wait": "EINTR"},
    ("master", "reload"): {
        "openat": f"EIO {SHORT}", "read": "EIO", "mmap": "ENOMEM", "clone": "EAGAIN ENOMEM", "socketpair": SOCKET, "socket": SOCKET,
        "epoll_ctl": "ENOMEM ENOSPC", "eventfd2": SHORT, "memfd_create": SHORT, "ftruncate": "ENOSPC ENOMEM", "sendmsg": "ENOBUFS ENOMEM",
        "recvmsg": "ENOMEM ENOBUFS", "setpgid": "EPERM",
    },
    # Not what its loader needs, too: a program that the machine cannot load has nothing left to go back to.
    ("master", "upgrade"): {
        "clone": "EAGAIN ENOMEM", "clone3": "EAGAIN ENOMEM", "pipe2": SHORT, "socketpair": SOCKET, "socket": SOCKET, "epoll_create1": SHORT,
        "epoll_ctl": "ENOMEM ENOSPC", "signalfd4": SHORT, "memfd_create": SHORT, "ftruncate": "ENOSPC ENOMEM", "execve": "ENOMEM EIO",
        "sendmsg": "ENOBUFS ENOMEM", "recvmsg": "ENOMEM ENOBUFS",
    },
    ("master", "restart"): {
        "clone": "EAGAIN ENOMEM", "socketpair": SOCKET, "epoll_ctl": "ENOMEM ENOSPC", "sendmsg": "ENOBUFS ENOMEM", "recvmsg": "ENOMEM ENOBUFS",
    },
    ("each that starts", "change"): {
        "openat": f"EIO {SHORT}", "mmap": "ENOMEM", "socket": SOCKET, "epoll_create1": SHORT, "epoll_ctl": "ENOMEM ENOSPC", "sendmsg": "ENOBUFS ENOMEM",
        "recvmsg": "ENOMEM ENOBUFS", "clone3": "EAGAIN ENOMEM", "write": "EIO ENOSPC",
    },
    ("each that starts", "restart"): {"sendmsg": "ENOBUFS ENOMEM"},
}  # fmt: skip
STAYS = ("delivery", "question", "freeze", "lost Redis")  # no process ends in these
SOME = {
    ("master", "reload"): {"sendmsg": "ENOBUFS", "clone": "EAGAIN"},
    ("fleet", "question"): {"recvmsg": "EBADMSG"},
    ("freezer", "question"): {"recvmsg": "EBADMSG"},
}


class Beside:
    """One mired that freezes holds and is a member of a fleet, and what goes on in it."""

    def __init__(self, start, role, redis, cable):
        self.redis, self.cable = redis, cable
        self.role, self.number, self.senders, self.clients, self.lost = role, itertools.count(), [], 0, 0
        self.failed, self.deaths = collections.Counter(), 0
        self.m = start(role)
        self.m.deaths_expected = True
        self.levels = itertools.cycle(("info", "debug"))
        self.send(once=False)

    def pid(self):
        role = self.role.split()[0]
        if role in ("master", "each"):
            return self.m.pid
        return until(lambda: self.m.processes(role))[-1]

    # ---- what goes on ----

    def send(self, once=True):
        self.senders.append(Sender(self.m.port, USERS, f"n{next(self.number)}", host=netns.SERVER, source=source(next(self.number))))
        return self.senders[-1].send(once=once)

    def status(self):
        done = self.m.control("--json", "status")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def delivery(self):
        self.send()
        self.stranger()
        self.m.control("status")

    def ask(self):
        """Somebody who has asked for somebody unknown, is held and then frozen. None: there was no room for it."""
        client = Client(self.m.port, host=netns.SERVER, source=source(next(self.number)))
        if client.greeting.code == 421:
            client.close()
            return None
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        return client

    def stranger(self):
        self.hear([self.ask()])

    def hear(self, clients):
        """Each hears its verdict."""
        for client in clients:
            self.clients += 1
            if not client:
                self.lost += 1
                continue
            client.socket.settimeout(PATIENCE / 4)
            try:
                code = client.reply().code
            except (ConnectionError, Hung, TimeoutError):
                code = 0
            assert code in (550, 451, 421, 0), code
            self.lost += code in (0, 421)
            client.close()

    def freeze(self):
        self.hear([self.ask() for _ in range(3)])

    def question(self):
        """Answers are in the freezer and in the fleet process."""
        self.m.control("show", source(1), timeout=PATIENCE)
        self.m.control("fleet", timeout=PATIENCE)

    def order(self, command):
        """Mail goes on while the order is carried out."""
        ordered = subprocess.Popen([CONTROL, "-s", self.m.folder / "run" / "control", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        waits = self.ask()
        self.send()
        try:
            ordered.wait(30)
        except subprocess.TimeoutExpired:  # its answer was among what failed
            ordered.kill()
            ordered.wait()
        self.send()
        self.hear([waits])

    def reload(self):
        self.order("reload")

    def upgrade(self):
        self.order("upgrade")

    def change(self):
        """The next generation keeps no process."""
        text = self.m.file.read_text()
        self.m.file.write_text(re.sub(r'log_level = "\w+"', f'log_level = "{next(self.levels)}"', text))
        self.order("reload")

    def lost_redis(self):
        """Redis has closed the connections, and mired makes others."""
        reader = self.cable.at_server(lambda: Reader(self.redis.port))
        reader.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        reader.close()
        self.stranger()

    def restart(self):
        gone = [pid for role in ("worker", "keeper") for pid in self.m.processes(role)[:1]]
        processes.kill_all(gone)
        assert not processes.wait_gone(gone)
        self.send()

    # ---- what must be right ----

    def case(self, what, call, error, folder):
        if call == "io_uring_enter":  # after a failure the freezer does without
            gone = self.m.processes("freezer")
            mark = self.m.log.mark()
            processes.kill_all(gone)
            self.m.log.wait("freezing connections in batches", since=mark)
        pid = self.pid()
        when = "1..3" if what == "upgrade" else "1+2"  # of the calls of taking over, all must succeed
        failing = Failing(pid, call, error, folder, children=self.role.startswith("each"), when=when)
        try:
            for _ in range(4):
                getattr(self, what.lower().replace(" ", "_"))()
                if failing.count() or not processes.alive(pid):
                    break
        finally:
            failed = failing.end()
        assert failed, f"no {call} of the {self.role} has failed with {error} in a {what}"
        self.failed[call] += failed
        if what in STAYS and self.role.split()[0] != "master":
            assert pid in self.m.processes(self.role.split()[0]), f"the {self.role} has ended: {call} {error}"
        assert processes.alive(self.m.pid), f"the master has ended: {self.m.log.text[-2000:]}"
        self.again((what, call, error))

    def again(self, case):
        """The process that had the faults does its part again, and so does the next one."""
        for _ in range(2):
            for sender in self.senders:
                if sender.heard[-1] != 250:
                    sender.send()
            assert self.send(once=False) == 250, (case, self.senders[-1].heard)
            before = self.lost
            self.stranger()
            assert self.lost == before, case
            until(self.idle, why=lambda: f"{case}: {self.status()} was left")
            until(lambda: self.m.control("reload").returncode == 0, why=f"{case}: no reload")

    def idle(self):
        now = self.status()
        fleet = self.m.control("--json", "fleet")
        return now and now["held"] == now["frozen"] == now["open"] == 0 and fleet.returncode == 0

    def check(self):
        each_is_there(self.m, USERS, self.senders)


@pytest.fixture
def beside(mired, cable):
    redis = Redis()
    cable.at_server(redis.start)

    def start(role):
        config = f'log_level = "debug"\nclerks = 1\nsandbox = false\nfleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}\n'
        prefix = ()
        if "without a ring" in role:
            prefix = (sys.executable, old_kernel.__file__, "io_uring", "--")
        m = cable.at_server(lambda: mired(tarpit=FROZEN.format(time=1), host="0.0.0.0", config=config, workers=1, prefix=prefix))
        m.log.wait("(not )?freezing connections")
        return m

    yield lambda role: Beside(start, role, redis, cable)
    redis.stop()
    redis.remove()


def play(x, what, faults, folder):
    for call, errors in faults.items():
        for error in errors.split():
            x.case(what, call, error, folder)
            print(f"{x.role}, {what}: {call} {error}: {x.failed[call]} calls failed so far", flush=True)
    x.check()
    tries = sum(len(s.heard) for s in x.senders)
    print(f"{x.role}, {what}: {sum(x.failed.values())} calls failed ({dict(x.failed)}), {len(x.senders)} messages in {tries} tries, {x.lost} of {x.clients} clients lost")


@pytest.mark.long
@pytest.mark.parametrize("role, what", SOME)
def test_some_calls_that_fail_beside_the_mail_cost_no_message(beside, tmp_path, role, what):
    play(beside(role), what, SOME[role, what], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("role, what", FAULTS)
def test_calls_that_fail_beside_the_mail_cost_no_message(beside, tmp_path, role, what):
    play(beside(role), what, FAULTS[role, what], tmp_path)
