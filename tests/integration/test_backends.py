"""What mired tells a backend about the client, Dovecot behind it, and logins that others check."""

import base64
import contextlib
import re
import socket
import threading

import pytest

from lib import netns, ports
from lib.certificates import Authority
from lib.dovecot import Dovecot
from lib.mired import PASSWORDS
from lib.scripted import CLOSE, HELLO, Scripted
from lib.smtp import Client, deliver
from lib.waiting import until

USER = "alice@example.test"


@pytest.fixture
def dovecot():
    started = []

    def start(*arguments, **options):
        d = Dovecot(*arguments, **options)
        started.append(d)
        return d.start()

    yield start
    for d in started:
        d.stop()
        print(f"--- Dovecot's log\n{d.log[-5000:]}")
        d.remove()


@pytest.mark.parametrize("hosts", ["127.0.0.1", "static:all"])
def test_xclient_shows_postfix_the_client_message_by_message(mired, postfix, hosts):
    """Postfix asks whether the client that it was told last is in `hosts`: one of them is 127.0.0.1 only."""
    backend = postfix(extra=f"smtpd_authorized_xclient_hosts = {hosts}")
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true connections = 1 }}', workers=1)
    sources = [ports.stranger() for _ in range(3)]
    for source in sources:
        with Client(m.port, source=source) as client:
            client.ehlo(f"host-{source}.elsewhere.test")
            assert client.message("a@b.test", USER).code == 250
    messages = backend.delivered(USER, count=3)
    assert len(messages) == 3
    for source in sources:
        backend.wait_log(rf"client=unknown\[{re.escape(source)}\]")
        shown = f"from host-{source}.elsewhere.test (unknown [{source}])".encode()
        assert any(shown in message for message in messages)


def test_xclient_carries_ipv6_addresses(mired, postfix):
    backend = postfix(extra="smtpd_authorized_xclient_hosts = 127.0.0.0/8\ninet_protocols = all")
    m = mired(host="::1", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true }}')
    with Client(m.port, host="::1") as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    backend.wait_log(r"client=\S+\[::1\]")


def test_xforward_is_for_the_log_only(mired, postfix):
    backend = postfix(extra="smtpd_authorized_xforward_hosts = 127.0.0.0/8")
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xforward = true }}')
    source = ports.stranger()
    with Client(m.port, source=source) as client:
        client.ehlo("far.elsewhere.test")
        assert client.message("a@b.test", USER).code == 250
        assert client.message("a@b.test", USER).code == 250
    backend.wait_log(rf"orig_client=unknown\[{re.escape(source)}\]")
    assert len(backend.delivered(USER, count=2)) == 2


def test_a_backend_that_does_not_let_us_is_told_nothing_and_gets_the_mail(mired, postfix):
    backend = postfix()
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true xforward = true }}')
    m.log.wait(r"does not accept XCLIENT")
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    assert len(backend.delivered(USER)) == 1


def test_dovecot_alone_gets_mail_checks_logins_and_knows_who_there_is(mired, dovecot):
    d = dovecot()
    m = mired(
        tarpit="time = 1s", recipients=None, passwords=None,
        backend=f'backend "lmtp:{d.lmtp}" {{ }}',
        config=f'auth "dovecot" {{ path = "{d.auth}" }}\nrecipients "backend" {{ }}',
    )  # fmt: skip
    with Client(m.port) as client:
        client.ehlo()
        replies = client.envelope("a@b.test", [USER, "nobody@example.test", "bob@example.test"])
        assert [r.code for r in replies] == [250, 550, 250]
        assert replies[1].seconds >= 0.99 and "5.1.1" in replies[1]
        assert client.data(b"Subject: to both\r\n\r\nhello\r\n").code == 250
    for person in (USER, "bob@example.test"):
        assert b"Subject: to both" in d.delivered(person)[0]


def test_dovecot_checks_logins(mired, dovecot):
    d = dovecot()
    m = mired(tarpit="time = 500ms pace = false growth = 1", passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    for user, password in PASSWORDS.items():
        with Client(m.submission) as client:
            client.ehlo()
            reply = client.login(user, password + "x")
            assert reply.code == 535 and reply.seconds >= 0.49
            assert client.login(user, password).code == 235
            client.must(f"MAIL FROM:<{user}>")
    with Client(m.submission) as client:  # by LOGIN; Dovecot's log has the client's own address
        client.ehlo()
        client.must("AUTH LOGIN", 334)
        client.must(base64.b64encode(USER.encode()).decode(), 334)
        assert client.say(base64.b64encode(PASSWORDS[USER].encode()).decode()).code == 235
        assert client.login(USER, "guess").code == 503
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, "guess").code == 535
        until(lambda: client.source in d.log)  # its log comes later than its answer


def test_a_verifier_that_is_down_is_no_offence(mired, dovecot):
    d = dovecot()
    m = mired(tarpit="time = 20s", passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    d.stop()
    with Client(m.submission) as client:
        client.ehlo()
        reply = client.login(USER, PASSWORDS[USER])
        assert reply.code == 454 and "4.7.0" in reply and reply.seconds < 10
    d.start()
    with Client(m.submission, source=client.source) as client:
        client.ehlo()
        assert client.login(USER, PASSWORDS[USER]).code == 235


def test_the_backend_checks_logins(mired, dovecot, postfix):
    d = dovecot()
    backend = postfix(
        extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {d.auth}\n"
        "smtpd_sasl_local_domain = example.test"
    )
    m = mired(
        tarpit="time = 500ms pace = false growth = 1", passwords=None,
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}', config='auth "backend" { }',
    )  # fmt: skip
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, "guess").code == 535
        assert client.login(USER, PASSWORDS[USER]).code == 235


# ---- TLS to the backend ----


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def tls_postfix(postfix, authority, name="IP:127.0.0.1"):
    certificate, key = authority.issue("backend.test", subject_names=name, stem=name.replace(":", "-"))
    return postfix(
        extra=f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n"
        "smtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes"
    )


def delivers(m, octets=b"Subject: x\r\n\r\nhello\r\n"):
    with Client(m.port) as client:
        client.ehlo()
        return client.message("a@b.test", USER, octets).code


@pytest.mark.parametrize("tls", ["starttls", "verified"])
def test_tls_is_spoken_to_the_backend(mired, postfix, authority, monkeypatch, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    backend = tls_postfix(postfix, authority)
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ tls = {tls} }}')
    body = b"".join(b"line %d %s\r\n" % (i, b"x" * 60) for i in range(20000))
    for octets in (b"Subject: x\r\n\r\nhello\r\n", b"Subject: x\r\n\r\n" + body):
        assert delivers(m, octets) == 250
    messages = backend.delivered(USER, count=2)
    assert all(b"using TLSv1.3" in message for message in messages)
    assert body.replace(b"\r\n", b"\n") in messages[-1] or body.replace(b"\r\n", b"\n") in messages[0]


def test_if_tls_fails_that_is_not_required_mail_goes_without_and_the_log_says_for_how_long(mired):
    """tests/unit/backend/test_health.c has what comes afterwards."""

    def hang_up(verb, argument, session):
        if verb != "STARTTLS":
            return None
        session.wfile.write(b"220 go on\r\n")
        session.connection.recv(4096)
        return CLOSE

    with Scripted(hang_up, hello=(*HELLO, "STARTTLS")) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ tls = starttls }"), workers=1)
        m.log.wait(r"TLS: .*; sending in clear text, trying TLS again in 10 minutes")
        assert delivers(m) == 250
        assert backend.commands.count("STARTTLS") == 1
        assert "is down" not in m.log.text


@pytest.mark.parametrize("why", ["name", "authority", "none"])
def test_without_a_good_certificate_a_verified_backend_gets_no_mail(mired, postfix, authority, monkeypatch, why):
    if why != "authority":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    backend = postfix() if why == "none" else tls_postfix(postfix, authority, "IP:127.0.0.2" if why == "name" else "IP:127.0.0.1")
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ tls = verified }}')
    assert delivers(m) == 451
    if why != "none":
        m.log.wait(r"TLS: ")
    assert "a@b.test" not in backend.log
    assert backend.log.count("connect from") < 50  # it is left alone for a while


def test_a_backend_that_serves_nobody_is_not_stormed(mired):
    """It takes connections and says 554: each message tries once, and nothing tries in a circle."""
    greeted = []

    def refuse(server):
        for connection in ports.accepted(server):
            greeted.append(1)
            connection.sendall(b"554 no\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        m = mired(backend=f'backend "smtp://127.0.0.1:{server.getsockname()[1]}" {{ }}')
        for _ in range(5):
            assert delivers(m) == 451
    assert len(greeted) < 50


def test_opportunistic_tls_falls_back_to_what_there_is(mired, postfix):
    backend = postfix()
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ tls = starttls }}')
    assert delivers(m) == 250
    assert len(backend.delivered(USER)) == 1


def test_implicit_tls_is_spoken_to_another_mired(mired, authority):
    """The one in front hands on to the submission port of the one behind, as an exempt client of the built-in store."""
    certificate, key = authority.issue("mx.example.test")
    inner = ports.free()
    behind = mired(config=f'tls {{ certificate = "{certificate}" key = "{key}" }}\nlisten "127.0.0.1:{inner}" {{ tls = implicit }}')
    m = mired(backend=f'backend "smtp://127.0.0.1:{inner}" {{ tls = implicit }}')
    assert delivers(m) == 250
    assert re.search(rb"with (UTF8SMTPS|ESMTPS)\b", behind.delivered(USER)[0])


# ---- backends by name ----


def by_name(backend, more=""):
    return f'backend "smtp://localhost:{backend.port}" {{ {more} }}'


def test_a_backend_may_be_named_and_the_first_message_finds_it(mired, postfix):
    """The name has two addresses on most machines, and Postfix listens on one of them."""
    backend = postfix()
    m = mired(backend=by_name(backend))
    assert delivers(m) == 250
    assert len(backend.delivered(USER)) == 1


def test_a_name_that_nobody_knows_puts_mail_off(mired):
    m = mired(backend='backend "smtp://nowhere.invalid:25" { }')
    m.log.wait(r"backend smtp://nowhere.invalid:25: cannot look up its name")
    assert delivers(m) == 451


class Names:
    """A name server at port 53 of its own address: good.test is 127.0.0.1 until `silent`; other names never get an
    answer."""

    def __init__(self):
        self.host, self.silent, self.asked = ports.stranger(), False, set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.host, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, client = self.socket.recvfrom(512)
                end = query.index(b"\0", 12)
                name = query[13:end].replace(b"\4test", b".test").decode()
                self.asked.add(name)
                if name != "good.test" or self.silent:
                    continue
                has = query[end + 1 : end + 3] == b"\0\1"  # A
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if has else b""
                self.socket.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([has]) + b"\0\0\0\0" + query[12 : end + 5] + answer, client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_name_without_an_answer_delays_no_mail_for_another_one(mired, tmp_path):
    """Not at the start; and at a reload not even if nobody answers any more."""
    resolv = tmp_path / "resolv.conf"
    mount = ["unshare", "-m", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh"]
    with Names() as names, Scripted() as backend:
        resolv.write_text(f"nameserver {names.host}\noptions timeout:30 attempts:5\n")
        m = mired(
            recipients=None, prefix=mount, domains=("a.test", "b.test"),
            backend='backend "smtp://silent.test:25" { domains = { "a.test" } }\n'
            f'backend "smtp://good.test:{backend.port}" {{ domains = {{ "b.test" }} }}',
        )  # fmt: skip
        to = "alice@b.test"
        assert deliver(m.port, "a@c.test", to).code == 250
        assert names.asked >= {"silent.test", "good.test"}
        names.silent = True
        assert m.control("reload").returncode == 0
        assert deliver(m.port, "a@c.test", to).code == 250
        assert backend.copies(to) == 2


@pytest.mark.parametrize("name, code", [("DNS:localhost", 250), ("DNS:other.test", 451), ("IP:127.0.0.1", 451)])
def test_the_certificate_of_a_named_backend_is_for_its_name(mired, postfix, authority, monkeypatch, name, code):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    backend = tls_postfix(postfix, authority, name)
    m = mired(backend=by_name(backend, "tls = verified"))
    assert delivers(m) == code
    assert len(backend.delivered(USER, count=code == 250)) == (code == 250)


# ---- what clerks ask a backend, as mail goes to it ----


def verdicts(m, *recipients):
    with Client(m.port) as client:
        client.ehlo()
        return [r.code for r in client.envelope("a@b.test", recipients)]


@pytest.mark.parametrize("tls", ["starttls", "verified"])
def test_a_backend_is_asked_for_recipients_under_tls(mired, postfix, authority, monkeypatch, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    certificate, key = authority.issue("backend.test", subject_names="DNS:localhost", stem="asked")
    backend = postfix(
        extra=f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}"
    )
    m = mired(
        tarpit="time = 0", recipients=None, backend=by_name(backend, f"tls = {tls}"),
        config='recipients "backend" { }',
    )  # fmt: skip
    assert verdicts(m, USER, "nobody@example.test", "bob@example.test") == [250, 550, 250]


def test_a_backend_without_the_right_certificate_is_asked_nothing(mired, postfix, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    backend = tls_postfix(postfix, authority, "DNS:other.test")
    m = mired(
        tarpit="time = 0", recipients=None, backend=by_name(backend, "tls = verified"),
        config='recipients "backend" { }',
    )  # fmt: skip
    assert verdicts(m, USER) == [451]


def test_a_backend_is_asked_for_recipients_under_implicit_tls(mired, authority):
    certificate, key = authority.issue("mx.example.test")
    inner = ports.free()
    mired(
        config=f'exempt = {{ "127.0.0.0/8" }}\ntls {{ certificate = "{certificate}" key = "{key}" }}\n'
        f'listen "127.0.0.1:{inner}" {{ tls = implicit }}'
    )
    m = mired(
        tarpit="time = 0", recipients=None, backend=f'backend "smtp://127.0.0.1:{inner}" {{ tls = implicit }}',
        config='recipients "backend" { }',
    )  # fmt: skip
    assert verdicts(m, USER, "nobody@example.test") == [250, 550]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_backend_that_waits_for_a_proxy_header_is_asked_with_one(mired, postfix, version):
    backend = postfix(extra="smtpd_upstream_proxy_protocol = haproxy", greets=False)
    m = mired(
        tarpit="time = 0", recipients=None,
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ proxy_protocol = {version} }}',
        config='recipients "backend" { }',
    )  # fmt: skip
    assert verdicts(m, USER, "nobody@example.test") == [250, 550]


def test_the_backend_checks_logins_under_tls(mired, dovecot, postfix, authority):
    d = dovecot()
    certificate, key = authority.issue("backend.test", stem="logins")
    backend = postfix(
        extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {d.auth}\n"
        "smtpd_sasl_local_domain = example.test\nsmtpd_tls_security_level = may\nsmtpd_tls_auth_only = yes\n"
        f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}"
    )
    m = mired(
        tarpit="time = 500ms pace = false growth = 1", passwords=None,
        backend=by_name(backend, "tls = starttls"), config='auth "backend" { }',
    )  # fmt: skip
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, "guess").code == 535
        assert client.login(USER, PASSWORDS[USER]).code == 235


class NoTls:
    """A backend that would take any password. `answer`: what it says to STARTTLS, which it offers where there is one."""

    def __init__(self, host, answer=None):
        self.heard, self.answer = [], answer
        self.server = socket.create_server((host, 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def serve(self):
        for connection in ports.accepted(self.server):
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rwb", buffering=0) as lines:
            lines.write(b"220 backend.test\r\n")
            for line in lines:
                word = line.split()[0].upper() if line.split() else b""
                self.heard.append(word)
                if word == b"EHLO":
                    lines.write(b"250-backend.test\r\n" + (b"250-STARTTLS\r\n" if self.answer else b"") + b"250 AUTH PLAIN\r\n")
                elif word == b"STARTTLS":
                    lines.write(self.answer)
                else:
                    lines.write(b"235 yes\r\n" if word == b"AUTH" else b"250 ok\r\n")


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
@pytest.mark.parametrize(
    "tls, answer, code",
    [("starttls", None, 454), ("starttls", b"454 not now\r\n", 454), ("starttls", b"220 go on\r\nnonsense\r\n", 454), ("off", None, 235)],
    ids=["stripped", "refused", "broken", "off"],
)
def test_a_password_goes_nowhere_in_clear_because_tls_did_not_work(mired, cable, tls, answer, code):
    with NoTls("10.77.0.2", answer) as backend:
        m = cable.at_server(
            lambda: mired(
                passwords=None, config='auth "backend" { }',
                backend=f'backend "smtp://10.77.0.2:{backend.port}" {{ tls = {tls} }}',
            )
        )  # fmt: skip
        with cable.at_server(lambda: Client(m.submission)) as client:
            client.ehlo()
            assert client.login(USER, PASSWORDS[USER]).code == code
        assert (b"AUTH" in backend.heard) == (code == 235)
        if code == 454:
            m.log.wait(r"STARTTLS not offered; not sending credentials|TLS: ")
