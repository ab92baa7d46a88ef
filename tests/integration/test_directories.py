"""Directories that are asked over a connection: OpenLDAP, the backend itself, Postfix's socketmap protocol."""

import collections
import concurrent.futures
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socketserver
import threading
import time

import pytest

from lib import ports, processes, scrape
from lib.certificates import Authority
from lib.mired import SOURCE
from lib.openldap import ADMIN, BASE, PASSWORD, OpenLDAP
from lib.smtp import Client
from lib.waiting import until

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
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server))
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.stop()
    assert codes(m, "alice@example.test", "nobody@example.test", "sales@example.test") == [250, 550, 451]
    assert codes(m, "bob@example.test") == [451]  # down is never "unknown"
    until(lambda: [d["up"] for d in json.loads(m.control("--json", "status").stdout)["directories"]] == [False])
    server.start()
    until(lambda: codes(m, "sales@example.test") == [250])
    m.log.wait("directory ldap is up again")


ACTIVE_DIRECTORY = (
    "(&(|(mail=%s)(proxyAddresses=smtp:%s))(!(userAccountControl:1.2.840.113556.1.4.803:=2)))"
)


def test_active_directory_is_asked_for_mail_and_proxy_addresses_and_its_disabled_accounts_are_out(mired, ldap):
    """With the filter that docs/configuration.md has; slapd knows the rule for single bits as AD does."""
    assert ACTIVE_DIRECTORY in (SOURCE / "docs" / "configuration.md").read_text().replace(r"\|", "|")  # a table's
    server = ldap(PEOPLE + [("dora", [], 66048), ("eve", ["smtp:eve@example.test"], 66050)])
    m = mired(
        tarpit="time = 0", recipients=None,
        config=ldap_section(server).replace(f"(&(proxyAddresses=smtp:%s){NOT_DISABLED})", ACTIVE_DIRECTORY),
    )  # fmt: skip
    assert codes(
        m, "alice@example.test", "sales@example.test", "dora@example.test", "bob@example.test",
        "eve@example.test", "nobody@example.test",
    ) == [250, 250, 250, 550, 550, 550]  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("scheme, more", [("ldaps", ""), ("ldap", "start_tls = true")])
@pytest.mark.parametrize("name, code", [("IP:127.0.0.1", 250), ("IP:127.0.0.2", 451)])
def test_ldap_is_asked_under_tls_and_its_certificate_is_looked_at(
    mired, ldap, authority, monkeypatch, scheme, more, name, code
):
    monkeypatch.setenv("LDAPTLS_CACERT", str(authority.file))
    certificate, key = authority.issue("slapd.test", subject_names=name, stem=name.replace(":", "-"))
    server = ldap(certificates=(certificate, key, authority.file), scheme=scheme)
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server, more))
    assert codes(m, "alice@example.test") == [code]
    if code == 451:
        m.log.wait(rf"ldap: {server.url}: ")


@pytest.mark.parametrize(
    "where, level, scheme, more",
    [
        ("LDAPCONF", "never", "ldaps", ""),
        ("LDAPCONF", "allow", "ldap", "start_tls = true"),
        ("~/.ldaprc", "never", "ldap", "start_tls = true"),
        ("LDAPTLS_REQCERT", "allow", "ldaps", ""),
    ],
)
def test_nothing_but_mired_says_whether_certificates_are_looked_at(
    mired, ldap, authority, monkeypatch, tmp_path, where, level, scheme, more
):
    """Files and variables that switch the check off for programs of people: the name is wrong, or nobody knows who
    made the certificate. Which authorities are known they do say."""
    words = f"TLS_REQCERT {level}\nTLS_REQSAN never\nTLS_CACERT {authority.file}\n"
    if where == "LDAPTLS_REQCERT":
        monkeypatch.setenv(where, level)
        monkeypatch.setenv("LDAPTLS_CACERT", str(authority.file))
    elif where == "~/.ldaprc":
        (tmp_path / ".ldaprc").write_text(words)
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        (tmp_path / "ldaprc").write_text(words)
        monkeypatch.setenv("LDAPCONF", str(tmp_path / "ldaprc"))
        monkeypatch.setenv("HOME", str(tmp_path))
    strange = Authority(tmp_path)
    for issuer, name, code in ((authority, "IP:127.0.0.1", 250), (authority, "IP:127.0.0.2", 451), (strange, "IP:127.0.0.1", 451)):
        certificate, key = issuer.issue("slapd.test", subject_names=name, stem=f"{tmp_path.name}-{name.replace(':', '-')}")
        server = ldap(certificates=(certificate, key, issuer.file), scheme=scheme)
        m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server, more))
        assert codes(m, "alice@example.test") == [code]
        if code == 451:
            m.log.wait(rf"ldap: {server.url}: ")
        m.stop()
        server.stop()


@pytest.mark.alone
def test_of_several_ldap_servers_one_that_is_there_is_asked(mired, ldap):
    first, second = ldap(), ldap()
    section = ldap_section(first, "negative_cache = 0").replace(f'"{first.url}"', f'{{ "{first.url}", "{second.url}" }}')
    m = mired(tarpit="time = 0", recipients=None, config=section)
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    first.stop()
    assert codes(m, "u1@example.test", "sales@example.test") == [550, 250]  # nobody is put off
    second.stop()
    assert codes(m, "u2@example.test") == [451]
    mark = m.log.mark()
    first.start()
    m.log.wait("directory ldap is up again", since=mark)
    assert codes(m, "u2@example.test") == [550]
    second.start()
    first.daemon.signal(signal.SIGSTOP)  # takes connections, and says nothing
    try:
        assert codes(m, "u3@example.test") == [550]
        begun = time.monotonic()
        assert codes(m, *(f"u{n}@example.test" for n in range(4, 9))) == [550] * 5
        assert time.monotonic() - begun < 14  # of 15 s: the second clerk's turn to find out; then it is left alone
    finally:
        first.daemon.signal(signal.SIGCONT)


def test_a_directory_that_was_restarted_between_two_questions_is_asked_again_at_once(mired, ldap):
    server = ldap()
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server))
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.stop()
    server.start()
    assert codes(m, "sales@example.test", "a*b@example.test") == [250, 250]


def test_who_was_known_is_taken_while_the_directory_is_down_and_nobody_is_refused_for_an_old_answer(mired, ldap):
    server = ldap()
    m = mired(
        tarpit="time = 0", recipients=None, config=ldap_section(server, "cache = 1s negative_cache = 1s")
    )
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.stop()
    until(lambda: codes(m, "nobody@example.test") == [451])
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 451]


def test_a_directory_that_is_back_is_found_so_without_being_asked(mired, ldap):
    server = ldap()
    m = mired(tarpit="time = 0", recipients=None, config="clerks = 3\n" + ldap_section(server))
    server.stop()
    assert codes(m, *(f"u{n}@example.test" for n in range(12))) == [451] * 12
    m.log.wait("directory ldap is down")
    assert m.log.text.count("directory ldap is down") == 1  # one clerk found out for all
    server.start()
    m.log.wait("directory ldap is up again")
    until(lambda: json.loads(m.control("--json", "status").stdout)["directories"][0]["up"])
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]


@pytest.mark.alone
def test_a_directory_that_hangs_holds_up_no_cached_answer(mired, ldap):
    server = ldap()
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server, "cache = 1s"))
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.daemon.signal(signal.SIGSTOP)
    try:
        assert codes(m, "carol@example.test") == [451]
        m.log.wait("directory ldap is down")
        for _ in range(20):  # one clerk at a time is stuck in trying, and not the one that answers
            begun = time.monotonic()
            assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
            assert time.monotonic() - begun < 2.9  # a try takes 3 s
            time.sleep(0.1)  # load over some of the tries
    finally:
        server.daemon.signal(signal.SIGCONT)


def test_the_password_of_the_directory_is_not_to_be_seen(mired, ldap):
    """Not in the log, however it is asked and whatever goes wrong; not in what others may see of our processes; and
    a clerk leaves no core, nor lets its own user look into it."""
    if os.geteuid() != 0:
        pytest.skip("only root starts clerks as another user")
    server = ldap()
    server.folder.chmod(0o711)
    shutil.chown(server.secret, "nobody")
    m = mired(
        tarpit="time = 0", recipients=None, user="nobody",
        config='log_level = "debug"\n' + ldap_section(server, "cache = 0 negative_cache = 0"),
    )  # fmt: skip
    clerks = until(lambda: len(now := m.processes("clerk")) == 2 and now)
    for pid in clerks:
        assert processes.status(pid, "Uid").split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
        assert pathlib.Path(f"/proc/{pid}/mem").stat().st_uid == 0  # else it would be nobody's: it is not dumpable
        assert re.search(r"Max core file size +0 +0 ", pathlib.Path(f"/proc/{pid}/limits").read_text())
    assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    server.stop()
    assert codes(m, "sales@example.test") == [451]
    (server.folder / "slapd.conf").write_text(
        (server.folder / "slapd.conf").read_text().replace(PASSWORD, "another one")
    )
    server.start()  # it does not let us in any more
    m.log.wait("cannot bind: Invalid credentials")
    m.control("--json", "status")
    m.control("recipient", "alice@example.test")
    for pid in [m.pid, *processes.children(m.pid)]:
        for what in ("cmdline", "environ"):
            assert PASSWORD.encode() not in pathlib.Path(f"/proc/{pid}/{what}").read_bytes()
    log = m.log
    assert m.stop() == []
    assert PASSWORD not in log.text


@pytest.mark.soak
@pytest.mark.alone
def test_a_hundred_thousand_people_are_asked_for(mired, ldap):
    """5,000 recipients a second from the cache, 500 not cached; and what becomes of them when slapd stops."""
    people, sample = 100_000, 5000
    server = ldap((f"user{n}", [f"smtp:u{n}.alias@example.test"], 512) for n in range(people))
    m = mired(tarpit="time = 0", recipients=None, config=ldap_section(server))

    def ask(numbers, connections=8):
        """How often each code came, and how many a second."""
        counts, lock = collections.Counter(), threading.Lock()

        def one(mine):
            for at in range(0, len(mine), 500):
                part = mine[at : at + 500]
                with Client(m.port) as client:  # a connection may have 990 without a message
                    client.ehlo()
                    commands = "".join(f"RCPT TO:<u{n}.alias@example.test>\r\n" for n in part)
                    client.send(f"MAIL FROM:<a@b.test>\r\n{commands}RSET\r\n")
                    replies = [client.reply().code for _ in range(len(part) + 2)]
                    with lock:
                        counts.update(replies[1:-1])

        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            list(pool.map(one, [numbers[k::connections] for k in range(connections)]))
        return counts, len(numbers) / (time.monotonic() - begun)

    everyone = range(people)
    codes_seen, rate = ask(everyone[:sample])
    print(f"not cached: {rate:.0f} recipients a second")
    assert codes_seen == {250: sample} and rate > 500
    codes_seen, rate = ask(list(everyone[:sample]) * 4)
    print(f"from the cache: {rate:.0f} recipients a second")
    assert codes_seen == {250: 4 * sample} and rate > 5000
    assert ask(range(people, people + sample))[0] == {550: sample}
    server.stop()
    assert ask(everyone[:sample])[0] == {250: sample}
    assert ask(everyone[sample : sample + 1000])[0] == {451: 1000}
    server.start()
    begun = time.monotonic()
    while ask([sample + 1000], 1)[0] != {250: 1}:
        assert time.monotonic() - begun < 2
    assert ask(everyone[sample : sample + 1000])[0] == {250: 1000}


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
        config="recipients \"backend\" { }",
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


def socketmap(tmp_path, more=""):
    return f'recipients "socketmap" {{ path = "{tmp_path}/users.sock" map = "users" {more} }}'


def test_all_clerks_share_what_a_directory_said(mired, users, tmp_path):
    m = mired(tarpit="time = 0", recipients=None, config="clerks = 4\n" + socketmap(tmp_path))
    for _ in range(20):
        assert codes(m, "alice@example.test", "nobody@example.test") == [250, 550]
    assert users.asked == ["users alice@example.test", "users nobody@example.test", "users @example.test"]


def test_what_a_directory_said_outlives_a_reload_and_a_restart(mired, users, tmp_path):
    m = mired(tarpit="time = 0", recipients=None, config=socketmap(tmp_path))
    assert codes(m, "alice@example.test") == [250]
    assert m.control("reload").returncode == 0
    assert codes(m, "alice@example.test") == [250]
    assert m.stop() == []
    m.start()
    assert codes(m, "alice@example.test") == [250]
    assert users.asked.count("users alice@example.test") == 1
    m.file.write_text(m.file.read_text().replace('map = "users"', 'map = "others"'))  # another directory
    m.reload()
    users.answer = lambda question: "NOTFOUND "
    assert codes(m, "alice@example.test") == [550]


@pytest.mark.alone
def test_answers_are_renewed_before_they_end_and_nobody_waits_for_it(mired, users, tmp_path):
    m = mired(tarpit="time = 0", recipients=None, config="clerks = 3\n" + socketmap(tmp_path, "cache = 3s"))
    quick, go_on = users.answer, threading.Event()

    def slow(question):
        go_on.wait(10)
        return quick(question)

    begun = time.monotonic()
    assert codes(m, "alice@example.test") == [250]
    users.answer = slow
    while users.asked.count("users alice@example.test") < 2:
        asked = time.monotonic()
        assert codes(m, "alice@example.test") == [250]
        assert time.monotonic() - asked < 4.9 and asked - begun < 3  # a question is given up after 5 s
    assert time.monotonic() - begun > 2.3  # not before the last part of its time
    for _ in range(5):
        assert codes(m, "alice@example.test") == [250]
    assert users.asked.count("users alice@example.test") == 2  # one clerk is at it
    go_on.set()


def test_how_long_directories_take_is_told(mired, users, tmp_path):
    m = mired(tarpit="time = 0", config=socketmap(tmp_path) + f'\nweb {{ listen = "127.0.0.1:{(port := ports.free())}" }}')
    assert codes(m, "alice@example.test", "dave@example.test", "dave@example.test") == [250, 550, 550]
    counted = 'mired_directory_seconds_count{source="socketmap"} 3'  # what was cached is not counted
    lines = until(lambda: counted in (now := scrape.text(port).splitlines()) and now)
    assert 'mired_directory_seconds_bucket{source="socketmap",le="+Inf"} 3' in lines
    assert any(line.startswith('mired_directory_seconds_sum{source="file"} 0.') for line in lines)
    assert lines.count("# TYPE mired_directory_seconds histogram") == 1
    assert 'mired_directory_up{source="socketmap"} 1' in lines


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
