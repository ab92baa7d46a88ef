"""Directories that are asked over a connection: OpenLDAP, the backend itself, Postfix's socketmap protocol."""

import json
import pathlib
import socketserver
import threading
import time

import pytest

from lib import processes
from lib.openldap import ADMIN, BASE, PASSWORD, OpenLDAP
from lib.smtp import Client

NOT_DISABLED = "(!(userAccountControl=514))"
PEOPLE = [
    ("alice", ["SMTP:alice@example.test", "smtp:sales@example.test"], 512),
    ("bob", ["SMTP:bob@example.test"], 514),  # disabled, as Active Directory marks it
    ("star", ["smtp:a*b@example.test"], 512),
]


def codes(m, *recipients):
    """The reply codes to RCPT of these, over one connection."""
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        return [client.say(f"RCPT TO:<{r}>").code for r in recipients]


# ---- LDAP ----


@pytest.fixture
def ldap():
    made = []

    def start(people=PEOPLE, **options):
        server = OpenLDAP(**options)
        made.append(server)
        return server.fill(people).start()

    yield start
    for server in made:
        server.stop()
        server.remove()


def ldap_section(server, more=""):
    return (
        f'recipients "ldap" {{ url = "{server.url}" base = "{BASE}" bind_dn = "{ADMIN}" '
        f'password_file = "{server.secret}" '
        f'filter = "(&(proxyAddresses=smtp:%s){NOT_DISABLED})" {more} }}'
    )


def test_ldap_knows_addresses_aliases_and_who_is_disabled(mired, ldap):
    server = ldap()
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server))
    assert codes(
        m, "alice@example.test", "Sales@Example.Test", "alice+tag@example.test",
        "nobody@example.test", "bob@example.test",
    ) == [250, 250, 250, 550, 550]  # fmt: skip


def test_what_a_client_writes_is_no_part_of_the_filter(mired, ldap):
    server = ldap()
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server))
    assert codes(
        m, "*@example.test", "al*@example.test", "a*b@example.test",
        '"x)(proxyAddresses=*"@example.test',
    ) == [550, 550, 250, 550]  # fmt: skip


def test_without_ldap_cached_answers_stand_and_all_else_is_put_off(mired, ldap):
    server = ldap()
    # One clerk: each has a cache of its own.
    m = mired(tarpit="time = 0", recipients=None, config="clerks = 1\n" + ldap_section(server))
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.stop()
    assert codes(m, "alice@example.test", "nobody@example.test", "sales@example.test") == [250, 550, 451]
    assert codes(m, "bob@example.test") == [451]  # down is never "unknown"
    assert [d["up"] for d in json.loads(m.control("--json", "status").stdout)["directories"]] == [False]
    server.start()
    until = time.monotonic() + 5
    while codes(m, "sales@example.test") != [250]:
        assert time.monotonic() < until
    m.log.wait("directory ldap is up again")
    assert "the directory's own secret" not in m.log.text


def test_the_password_of_the_directory_is_not_to_be_seen(mired, ldap):
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(ldap()))
    assert codes(m, "alice@example.test") == [250]
    for pid in [m.pid, *processes.children(m.pid)]:
        for what in ("cmdline", "environ"):
            assert PASSWORD.encode() not in pathlib.Path(f"/proc/{pid}/{what}").read_bytes()
    for pid in m.processes("clerk"):  # what root alone owns cannot be traced or dumped by the user
        assert pathlib.Path(f"/proc/{pid}/mem").stat().st_uid == 0


# ---- the backend ----


def test_the_backend_is_asked_and_its_words_are_believed(mired, postfix):
    backend = postfix()
    m = mired(
        tarpit="time = 0", recipients=None,
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}',
        config='recipients "backend" { }',
    )  # fmt: skip
    assert codes(m, "alice@example.test", "nobody@example.test", "alice+tag@example.test") == [250, 550, 250]
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", "alice@example.test").code == 250
    assert len(backend.delivered("alice@example.test")) == 1


def test_a_backend_that_is_down_makes_later_of_it(mired, postfix):
    backend = postfix()
    m = mired(
        tarpit="time = 0", recipients=None, workers=1,
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}',
        config="clerks = 1\nrecipients \"backend\" { }",
    )  # fmt: skip
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    backend.stop()
    assert codes(m, "alice@example.test", "nobody@example.test", "carol@example.test") == [250, 550, 451]


# ---- socketmap ----


class Users(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Speaks socketmap as socketmap_table(5) has it."""

    daemon_threads = True

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        def handle(self):
            while True:
                length = b""
                while not length.endswith(b":"):
                    octet = self.rfile.read(1)
                    if not octet:
                        return
                    length += octet
                question = self.rfile.read(int(length[:-1]) + 1)[:-1].decode()
                self.server.asked.append(question)
                answer = self.server.answer(question).encode()
                self.wfile.write(b"%d:%s," % (len(answer), answer))

    def __init__(self, path, answer):
        super().__init__(str(path), self.RequestHandlerClass)
        self.answer, self.asked = answer, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def users(tmp_path):
    def answer(question):
        name, key = question.split(" ", 1)
        assert name == "users"
        if key == "slow@example.test":
            return "TEMP the database is being moved"
        return "OK 1" if key in ("alice@example.test", "@whole.test") else "NOTFOUND "

    server = Users(tmp_path / "users.sock", answer)
    yield server
    server.shutdown()
    server.server_close()


def test_socketmap_is_asked_for_address_tag_and_domain(mired, users, tmp_path):
    m = mired(
        tarpit="time = 0", recipients=None, domains=("example.test", "whole.test"),
        config=f'recipients "socketmap" {{ path = "{tmp_path}/users.sock" map = "users" }}',
    )  # fmt: skip
    assert codes(
        m, "alice@example.test", "ALICE+x@example.test", "nobody@example.test", "anyone@whole.test",
        "slow@example.test",
    ) == [250, 250, 550, 250, 451]  # fmt: skip
    assert "users alice+x@example.test" in users.asked and "users @whole.test" in users.asked


def test_directories_are_asked_in_order_and_one_that_is_down_never_makes_unknown(mired, ldap, tmp_path):
    server = ldap()
    m = mired(
        tarpit="time = 0",
        recipients=("carol@example.test",),
        config=f'recipients "socketmap" {{ path = "{tmp_path}/nothing.sock" map = "users" }}\n'
        + ldap_section(server),
    )
    assert codes(m, "carol@example.test", "alice@example.test", "nobody@example.test") == [250, 250, 451]


def test_mirectl_tells_what_the_directories_say(mired, users, tmp_path):
    m = mired(
        tarpit="time = 0",
        recipients=("carol@example.test",),
        config=f'recipients "socketmap" {{ path = "{tmp_path}/users.sock" map = "users" }}',
    )
    for address, words in (
        ("alice@example.test", "taken (socketmap)"),
        ("Carol+x@Example.Test", "taken (file)"),
        ("nobody@example.test", "unknown (all directories)"),
        ("slow@example.test", "cannot be told now"),
        ("x@foreign.test", "relaying denied"),
    ):
        done = m.control("recipient", address)
        assert done.returncode == 0 and words in done.stdout, done.stdout + done.stderr
    assert m.control("recipient", "nonsense").returncode == 2
