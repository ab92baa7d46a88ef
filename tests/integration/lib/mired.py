"""A mired of the test's own: folder, configuration, ports, log."""

import contextlib
import crypt
import getpass
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import time

from . import ports, processes, temporary
from .daemon import Daemon
from .late import LATE, LateKeeper
from .waiting import PATIENCE, until

SOURCE = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("MIRED_BUILD", SOURCE / "build")).resolve()
PROGRAM = BUILD / "mired"
CONTROL = BUILD / "mirectl"
# A checker to run mired under, as "valgrind -q": scripts/valgrind.
UNDER = shlex.split(os.environ.get("MIRED_UNDER", ""))
# A checker needs calls and memory of its own, so there is no sandbox.
SANITIZED = BUILD.name in ("build-asan", "build-tsan") or bool(UNDER)

PEOPLE = ("alice@example.test", "bob@example.test", "carol@example.test")

PASSWORDS = {"alice@example.test": "wonderland", "bob@example.test": "builder"}


def password_file(passwords):
    """Lines of the `file` verifier; rounds are few because it is not crypt(3) that is tested."""
    salt = crypt.mksalt(crypt.METHOD_SHA256, rounds=1000)
    return "".join(f"{user}:{crypt.crypt(word, salt)}\n" for user, word in passwords.items())


class Mired:
    """Configured by keywords for what most tests share, and by `config` for lines of the test's own.

    port, submission: where it listens.  mail: the built-in store's folder.  log: its output."""

    def __init__(
        self,
        config="",
        tarpit="time = 1s",
        backend='backend "maildir" { }',
        domains=("example.test",),
        recipients=PEOPLE,
        passwords=PASSWORDS,
        stored=password_file,
        hostname="mx.example.test",
        host="127.0.0.1",
        workers=2,
        user=None,
        prefix=(),
        program=PROGRAM,
    ):
        self.program = program
        self.prefix = [*UNDER, *prefix]  # a command that runs it
        self.folder = temporary.folder("")
        self.host = host
        self.port, self.submission = ports.free(), ports.free()
        self.mail = self.folder / "state" / "mail"
        for name in ("state", "run"):
            (self.folder / name).mkdir()
            if user:
                shutil.chown(self.folder / name, user)
        self.recipients = self.folder / "recipients"
        self.recipients.write_text("".join(f"{r}\n" for r in recipients or ()))
        self.passwords = self.folder / "passwd"
        self.passwords.write_text(stored(passwords or {}))  # its text, made of the passwords
        shown = f"[{host}]" if ":" in host else host
        quoted = ", ".join(f'"{d}"' for d in domains)
        lines = [
            f'hostname = "{hostname}"',
            f"domains = {{ {quoted} }}",
            f"workers = {workers}",
            f'user = "{user or getpass.getuser()}"',
            f'state = "{self.folder}/state"',
            f'run = "{self.folder}/run"',
            f'listen "{shown}:{self.port}" {{ }}',
            f'listen "{shown}:{self.submission}" {{ submission = true }}',
            f"tarpit {{ {tarpit} }}",
            *(["sandbox = false"] if UNDER else []),  # a checker makes system calls of its own
            backend,
            config.replace("@FOLDER@", str(self.folder)),
        ]
        if recipients is not None:
            lines.append(f'recipients "file" {{ path = "{self.recipients}" }}')
        if passwords is not None:
            lines.append(f'auth "file" {{ path = "{self.passwords}" }}')
        self.file = self.folder / "mired.conf"
        self.file.write_text("\n".join(lines) + "\n")
        self.daemon = None
        self._late = None
        self.deaths_expected = False
        self.lies_expected = False  # a worker was taken over

    def start(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = f"{self.folder}/ready"
            pathlib.Path(address).unlink(missing_ok=True)
            ready.bind(address)
            os.chmod(address, 0o777)  # it may be somebody else who starts
            ready.settimeout(0.5)
            self.daemon = Daemon(
                [*self.prefix, self.program, "-c", self.file], env=dict(os.environ, NOTIFY_SOCKET=address)
            )
            self._wait_ready(ready)
        if LATE:
            self._late = LateKeeper(self.pid)
        return self

    def _wait_ready(self, ready):
        """It tells when it serves, as it would tell systemd."""
        end = time.monotonic() + PATIENCE
        while self.daemon.running and time.monotonic() < end:
            try:
                if b"READY=1" in ready.recv(4096):
                    self._wait_names()
                    self.wait_begun()
                    return
            except socket.timeout:
                pass
        raise AssertionError(f"it does not serve:\n{self.log.text}")

    def _wait_names(self):
        """Each process gives itself a name in its own time, and a test looks for it by that."""
        named = lambda pid: processes.command(pid).startswith("mired: ") or not processes.alive(pid)  # noqa: E731
        until(lambda: all(map(named, processes.children(self.pid))))

    def wait_begun(self):
        """A child is SCHED_BATCH until it has begun (base/scheduling.h). Clients are served before there is a freezer.
        While the kernel is busy with the rules of many, a freezer answers no mirectl in time, nor ends in time."""

        def begins(pid):
            try:
                return os.sched_getscheduler(pid) == os.SCHED_BATCH
            except ProcessLookupError:
                return False

        end = time.monotonic() + PATIENCE / 4
        while any(map(begins, self.processes_of("freezer"))) and time.monotonic() < end:
            time.sleep(0.02)

    @property
    def log(self):
        return self.daemon.output

    @property
    def pid(self):
        return self.daemon.pid

    def processes_of(self, role):
        return [pid for pid in processes.children(self.pid) if processes.command(pid).startswith(f"mired: {role}")]

    def processes(self, role):
        """Ids of the children whose name begins with `role`: "worker", "clerk", "store", "web"."""
        return self.processes_of(role)

    def control(self, *arguments, timeout=PATIENCE):
        return subprocess.run(
            [CONTROL, "-s", self.folder / "run" / "control", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    @contextlib.contextmanager
    def no_store_can_begin(self):
        """A store that is started inside has no folder for its mailboxes; the one that serves keeps its own."""
        self.deaths_expected = True
        self.mail.rename(self.mail.with_name("kept"))
        self.mail.write_text("no folder")
        yield
        self.mail.unlink()
        self.mail.with_name("kept").rename(self.mail)

    def reload(self):
        """A reload that has succeeded, and the earlier workers and clerks are gone: they may take a connection for a
        moment yet. No client may be connected, since its worker stays as long as it does."""
        before = [pid for role in ("worker", "clerk") for pid in self.processes(role)]
        done = self.control("reload")
        assert done.returncode == 0, done.stdout + done.stderr
        left = processes.wait_gone(before)
        assert not left, f"processes from before the reload are still there: {left}"

    def booked(self, timeout=PATIENCE):
        """Waits until the keeper has booked all that clients were answered about.

        A worker knows of its own bookings at once, the other workers and mirectl a moment later. So a test calls
        this between a connection that books something and a connection, or a command, that must know of it."""
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(timeout)
            end = time.monotonic() + timeout
            asker.connect(str(self.folder / "run" / "control"))
            with asker.makefile() as answers:
                while True:
                    asker.sendall(b'{"v":1,"command":"status"}\n')
                    ledger = json.loads(answers.readline())["ledger"]
                    if not ledger["waiting"]:
                        return
                    assert time.monotonic() < end, f"{ledger['waiting']} bookings wait for the keeper"
                    time.sleep(0.001)

    def held(self, source, since=0):
        """How many seconds a client's session has been held, as its line in the log says when it has ended: the first
        session that ended behind `since`, a mark of the log. A time that a test measures also depends on the load.
        A session that said nothing has a line with log_level "debug" only."""
        line = self.log.wait(rf"event=session (?:level=debug )?client={re.escape(source)} ", since=since)
        found = re.search(r" held=([0-9.]+)s", line)
        return float(found[1]) if found else 0

    def stop(self):
        """Stops it and says what was wrong with how it ended, as a list of sentences."""
        if not self.daemon:
            return []
        self._punctual()
        self.wait_begun()
        status, seconds, left = self.daemon.stop()
        wrong = [f"report: {line}" for line in self.daemon.reports()]
        if status != 0:
            wrong.append(f"ended with status {status}")
        if left:
            wrong.append(f"left processes behind: {left}")
        if not self.deaths_expected:
            wrong += [
                f"a child died: {line}"
                for line in self.log.text.splitlines()
                if "child_died" in line
            ]
        if not self.lies_expected:
            wrong += [
                f"the keeper refuses what a true worker proposes: {line}"
                for line in self.log.text.splitlines()
                if "changes of the ledger" in line or "which is above what a worker can do" in line
            ]
        self.daemon = None
        return wrong

    def _punctual(self):
        if self._late:
            self._late.close()
            self._late = None

    def kill_all(self):
        """kill -9 of the master and all of its children at once."""
        self._punctual()
        processes.kill_session(self.pid)
        self.daemon.process.wait()
        self.daemon.output.wait_end()

    def remove(self):
        temporary.remove(self.folder)

    def delivered(self, address, timeout=PATIENCE, count=1):
        """The messages in an address's Maildir, oldest first, once there are `count`."""
        local, domain = address.split("@")
        return read_maildir(self.mail / domain / local, timeout, count)


def read_maildir(folder, timeout=PATIENCE, count=1):
    """All messages of `new`, as octets, once there are `count` of them (or time is up)."""
    end = time.monotonic() + timeout
    new = pathlib.Path(folder) / "new"
    while True:
        files = sorted(new.iterdir()) if new.is_dir() else []
        if len(files) >= count or time.monotonic() > end:
            return [f.read_bytes() for f in files]
        time.sleep(0.02)
