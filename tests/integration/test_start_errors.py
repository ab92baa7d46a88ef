"""What a start that fails says: the cause, and not what errno was left at (issue 14, item 8).

A case is what is wrong, the words that must be said, and how the start ends. The limit of descriptors is wound down
until nothing starts: whichever call fails first, each line that an error leaves names that limit."""

import contextlib
import getpass
import os
import pwd
import re
import resource
import shutil
import socket
import subprocess

import pytest

from lib import ports
from lib.certificates import Authority
from lib.daemon import Output
from lib.mired import PROGRAM
from lib.waiting import PATIENCE

NEVER = ("Success", "(null)", "Unknown error", "unknown error", "errno")

BASE = """
hostname = "mx.example.test"
domains = {{ "example.test" }}
user = "{user}"
state = "{state}"
run = "{folder}/run"
workers = 2
listen "127.0.0.1:{port}" {{ }}
backend "maildir" {{ }}
recipients "file" {{ path = "{folder}/recipients" }}
{more}
"""


class Start:
    """A folder with all that a start needs, and the start."""

    def __init__(self, folder):
        self.folder, self.port, self.user = folder, ports.free(), getpass.getuser()
        for name in ("state", "run"):
            (folder / name).mkdir()
        (folder / "recipients").write_text("alice@example.test\n")

    def file(self, more="", **changed):
        values = {"user": self.user, "folder": self.folder, "state": self.folder / "state", "port": self.port}
        values |= {"more": more, **changed}
        path = self.folder / "mired.conf"
        path.write_text(BASE.format(**values))
        return path

    def run(self, more="", prefix=(), descriptors=None, seconds=PATIENCE, until=None, linger=0, **changed):
        """What it says until it ends, or until a line matches `until` and so many seconds longer, or is ended after
        `seconds`; and its exit status, or None."""

        def limited():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        process = subprocess.Popen(
            [*prefix, PROGRAM, "-c", self.file(more, **changed)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limited,
        )  # fmt: skip
        output, status = Output(process.stdout), None
        try:
            if until:
                with contextlib.suppress(AssertionError):
                    output.wait(until, timeout=seconds)
                    seconds = linger
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        output.wait_end()
        return output.text, status


@pytest.fixture
def start(tmp_path):
    return Start(tmp_path)


def assert_said(said, *words):
    for word in NEVER:
        assert word not in said, said
    for word in words:
        assert word in said, said


# ---- listeners ----


def test_a_port_in_use_is_named_with_its_cause(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", start.port))
        other.listen()
        said, status = start.run()
    assert status == 1
    assert_said(said, f"cannot listen on 127.0.0.1 port {start.port}: Address already in use")


def test_an_address_that_is_not_here_is_named_with_its_cause(start):
    said, status = start.run(f'listen "192.0.2.1:{start.port}" {{ }}')
    assert status == 1
    assert_said(said, f"cannot listen on 192.0.2.1 port {start.port}: Cannot assign requested address", "no such address")


@pytest.mark.parametrize("name", ["store", "control"])
def test_a_folder_where_a_socket_should_be_is_named_with_its_cause(start, name):
    (start.folder / "run" / name).mkdir()
    said, status = start.run()
    assert status == 1
    assert_said(said, f"cannot listen on {start.folder}/run/{name}: Is a directory")


# ---- files and folders ----


def not_a_folder(start):
    shutil.rmtree(start.folder / "state")
    (start.folder / "state").write_text("")


def a_lock_that_is_a_folder(start):
    (start.folder / "run" / "lock").mkdir()


def a_spool_that_is_a_file(start):
    (start.folder / "state" / "spool").write_text("")


def mailboxes_that_are_a_file(start):
    (start.folder / "state" / "mail").write_text("")


PLACES = [
    (not_a_folder, "cannot make the folder {folder}/state: Not a directory"),
    (a_lock_that_is_a_folder, "cannot open {folder}/run/lock: Is a directory"),
    (a_spool_that_is_a_file, "cannot make the folder {folder}/state/spool: Not a directory"),
]


@pytest.mark.parametrize("prepare, words", PLACES, ids=[case[0].__name__ for case in PLACES])
def test_what_stands_in_the_way_is_named_with_its_cause(start, prepare, words):
    prepare(start)
    said, status = start.run()
    assert status == 1
    assert_said(said, words.format(folder=start.folder))


def test_the_store_names_the_folder_that_it_cannot_open(start):
    mailboxes_that_are_a_file(start)
    said, _ = start.run(until="/state/mail: ")
    assert_said(said, f"cannot open {start.folder}/state/mail: Not a directory")


STATE = ["ledger", "observed", "settled", "orders", "answers", "decoys"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("octets, name", [(64 << 10, "ledger"), (1 << 20, "ledger")])
def test_a_disk_without_room_is_named_with_the_file(start, octets, name):
    mount = f'mount -t tmpfs -o size={octets} tmpfs "{start.folder}/state" && exec "$@"'
    said, status = start.run(prefix=["unshare", "-m", "sh", "-c", mount, "sh"])
    assert status == 1
    assert_said(said, f"{start.folder}/state/{name}: No space left on device")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts disks of several sizes")
def test_whichever_state_file_finds_no_room_is_named(start):
    """A ledger of 64 KB, and room for it and ever more of the others."""
    named = set()
    for kilobytes in range(96, 40000, 2048):
        mount = f'mount -t tmpfs -o size={kilobytes}k tmpfs "{start.folder}/state" && exec "$@"'
        said, status = start.run(
            "tarpit { ledger_size = 64K }", prefix=["unshare", "-m", "sh", "-c", mount, "sh"], until="event=ready"
        )
        assert_said(said)
        if status is None:
            break
        assert status == 1
        assert "No space left on device" in said, said
        named |= {name for name in STATE if f"{start.folder}/state/{name}: No space" in said}
    assert len(named) >= 2, named


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("name", ["state", "run"])
def test_a_folder_of_somebody_elses_is_named_with_what_to_do(start, name):
    nobody, daemon = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
    for folder in (start.folder, *start.folder.parents):
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o005 == 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(start.folder / "state", nobody.pw_uid, nobody.pw_gid)
    os.chown(start.folder / "run", nobody.pw_uid, nobody.pw_gid)
    os.chown(start.folder / name, daemon.pw_uid, daemon.pw_gid)
    (start.folder / name).chmod(0o755)
    said, status = start.run(user="nobody")
    assert status == 1
    assert_said(said, f"{start.folder}/{name}")
    assert "belongs to another user" in said or "Permission denied" in said, said


# ---- the configuration and what it names ----


FILES = [
    ("certificate that is missing", 'tls {{ certificate = "{folder}/none.pem" }}', "No such file or directory"),
    ("certificate that is a folder", 'tls {{ certificate = "{folder}" }}', "Is a directory"),
    ("certificate that is no PEM", 'tls {{ certificate = "{folder}/recipients" }}', "not in PEM format"),
    ("key that is missing", 'tls {{ certificate = "{cert}" key = "{folder}/none.pem" }}', "No such file or directory"),
    ("key that is a folder", 'tls {{ certificate = "{cert}" key = "{folder}" }}', "Is a directory"),
    ("key that is no PEM", 'tls {{ certificate = "{cert}" key = "{folder}/recipients" }}', "not in PEM format"),
    ("key of another certificate", 'tls {{ certificate = "{cert}" key = "{other}" }}', "key values mismatch"),
    ("authorities that are missing", 'tls {{ certificate = "{cert}" key = "{key}" client_ca = "{folder}/none" }}', "No such file or directory"),
    ("include that is missing", 'include("{folder}/none.conf")', "No such file or directory"),
    ("include that is a folder", 'include("{folder}")', "Is a directory"),
    ("passwords that are missing", 'auth "file" {{ path = "{folder}/none" }}', "No such file or directory"),
    ("token that is missing", 'web {{ listen = "127.0.0.1:1" token_file = "{folder}/none" }}', "No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize("more, words", [case[1:] for case in FILES], ids=[case[0].replace(" ", "-") for case in FILES])
def test_a_file_of_the_configuration_is_named_with_its_cause(start, more, words):
    authority = Authority(start.folder)
    cert, key = authority.issue("mx.example.test")
    _, other = authority.issue("other.example.test")
    said, status = start.run(more.format(folder=start.folder, cert=cert, key=key, other=other))
    assert status == 1, said
    assert_said(said, words)
    (line,) = [line for line in said.splitlines() if words in line]
    assert str(start.folder) in line, said


TOKENS = [("is-a-folder", "mkdir", "Is a directory"), ("is-empty", "touch", "is empty")]


@pytest.mark.parametrize("make, words", [case[1:] for case in TOKENS], ids=[case[0] for case in TOKENS])
def test_a_token_that_cannot_be_read_makes_the_page_read_only_and_says_why(start, make, words):
    token = start.folder / "token"
    getattr(token, make)()
    said, _ = start.run(f'web {{ listen = "127.0.0.1:{ports.free()}" token_file = "{token}" }}', until="read-only")
    assert_said(said, str(token), words, "read-only")


# ---- descriptors ----


def test_however_few_descriptors_there_are_errors_name_that_limit(start):
    """From hardly any to enough: whichever process and call fails first."""
    web = f'web {{ listen = "127.0.0.1:{ports.free()}" }}'
    failed, served = 0, 0
    for descriptors in range(6, 110, 4):
        said, status = start.run(web, descriptors=descriptors, seconds=15, until="event=ready", linger=1)
        errors = [line for line in said.splitlines() if "level=error" in line or "level=" not in line and "cannot" in line]
        assert_said(said)
        for line in errors:
            if re.search(r": [A-Z][a-z]+ [a-z ]+(\"|$)", line):  # a cause
                assert "Too many open files" in line, (descriptors, said)
        failed += status == 1
        served += "event=ready" in said
        if served == 2:
            break
    assert failed and served, (failed, served)


# ---- another mired ----


def test_two_mireds_never_share_a_state_folder(start, mired):
    """Two keepers would write one ledger. The first one goes on, also after an upgrade, which hands the lock on."""
    first = mired()
    for step in ("upgrade", "reload"):
        said, status = start.run(state=first.folder / "state")
        assert status == 1
        assert_said(said, "another mired, perhaps in another container, runs with state = ", f"{first.folder}/state")
        assert first.control(step, timeout=PATIENCE).returncode == 0
    first.stop()
    said, _ = start.run(state=first.folder / "state", until="event=ready")
    assert_said(said, "event=ready")
