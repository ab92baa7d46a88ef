"""An administrator's first day (field notes 11 to 15, 18, 19): a real Postfix is moved behind mired by what `mirectl import`
prints, and nothing that worked before stops. Only ports and folders are the test's own; mired runs as nobody."""

import os
import re
import subprocess
import time

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.mired import CONTROL, PROGRAM, UNDER, Mired
from lib.smtp import Client
from lib.unbound import Unbound
from lib.waiting import PATIENCE, until

USER = "nobody"  # the package's mired: no rights in Postfix's folders
OWN = "127.66.7.0/24"  # printers, application servers
ALICE, BOB, SALES = "alice@example.test", "bob@example.test", "sales@example.test"
FAR = "joe@far.elsewhere.test"

# What stands in main.cf after some years.
MAIN = """
myhostname = mx1.example.test
mydestination = $myhostname, localhost.$mydomain, localhost
mynetworks = 127.0.0.1/32 [::1]/128 {own}
smtpd_error_sleep_time = 1s
virtual_alias_maps = hash:$config_directory/aliases
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_tls_auth_only = {auth_only}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/cert.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_client_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unknown_client_hostname
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
header_checks = regexp:$config_directory/header_checks
disable_mime_input_processing = no
default_transport = discard
"""
# What import says of ports is read, as an administrator reads it, and only the numbers are changed.
MASTER_LINES = re.compile(r"^#   ( *(?:127\.0\.0\.1:10025 inet|-o ).*)$", re.M)
SUBMISSION = re.compile(r'^#   (listen "0\.0\.0\.0:587" .*)$', re.M)


class Site:
    """The Postfix that has port 25 in the morning, and the mired that has it afterwards."""

    def __init__(self, postfix, dns, auth_only="no"):
        self.postfix = postfix(extra="", options="")
        self.port = self.postfix.port
        self.conf = self.postfix.folder / "conf"
        self.dns = dns
        self.dovecot = None
        self.mired = None
        self._configure(auth_only)

    def _configure(self, auth_only):
        folder = self.postfix.folder
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mx1.example.test", "-days", "30",
             "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        main = self.conf / "main.cf"
        mine = MAIN.format(own=OWN, folder=folder, auth_only=auth_only)
        names = {line.split(" =")[0] for line in mine.splitlines() if " =" in line}
        kept = [line for line in main.read_text().splitlines() if line.split(" =")[0] not in names]
        main.write_text("\n".join(kept) + mine)
        (self.conf / "header_checks").write_text("/^Subject: .*winning numbers/ REJECT 5.7.1 this is a lottery\n")
        self.alias(SALES, ALICE)
        socket = folder / "queue" / "private" / "auth"
        self.dovecot = Dovecot(
            extra=f"service auth {{\n unix_listener {socket} {{\n mode = 0660\n user = postfix\n group = postfix\n }}\n}}\n"
        )
        self.dovecot.start()
        self.reload_postfix()

    def alias(self, address, target):
        aliases = self.conf / "aliases"
        with aliases.open("a") as f:
            f.write(f"{address} {target}\n")
        subprocess.run(["postmap", "-c", self.conf, f"hash:{aliases}"], check=True)

    def reload_postfix(self):
        for name in ("main.cf", "master.cf"):
            os.utime(self.conf / name, (time.time() - 86400,) * 2)
        subprocess.run(["postfix", "-c", self.conf, "reload"], check=True, capture_output=True)

    def move(self):
        """`postconf -n | mirectl import - > mired.conf`, its lines into master.cf, and start."""
        settings = subprocess.run(["postconf", "-c", self.conf, "-n"], check=True, capture_output=True, text=True).stdout
        done = subprocess.run([CONTROL, "import", "-"], input=settings, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        self.imported = done.stdout
        self.mired = m = Mired(user=USER)
        behind = ports.free()
        numbers = {  # inet_interfaces of the tests' Postfix is 127.0.0.1
            'listen "127.0.0.1:25"': f'listen "127.0.0.1:{self.port}"',
            'listen "0.0.0.0:587"': f'listen "127.0.0.1:{m.submission}"',
            "127.0.0.1:10025": f"127.0.0.1:{behind}",
        }
        lines, master_lines = done.stdout + SUBMISSION.search(done.stdout)[1], "\n".join(MASTER_LINES.findall(done.stdout))
        for theirs, ours in numbers.items():
            assert theirs in lines, lines
            lines, master_lines = lines.replace(theirs, ours), master_lines.replace(theirs, ours)
        state = f'user = "{USER}"\nstate = "{m.folder}/state"\nrun = "{m.folder}/run"\n{self.dns.resolver}\n'
        m.file.write_text(state + lines)
        checked = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True, timeout=PATIENCE)
        assert checked.returncode == 0, checked.stderr
        master = self.conf / "master.cf"
        text = master.read_text()
        stood = f"127.0.0.1:{self.port} inet n - n - - smtpd\n"
        assert stood in text and master_lines.count("\n") >= 2
        master.write_text(text.replace(stood, master_lines + "\n"))
        self.reload_postfix()
        self.postfix.port = behind
        self.postfix.daemon.wait_listening(behind)
        m.port = self.port
        m.start()
        return m

    def close(self):
        wrong = self.mired.stop() if self.mired else []
        if self.mired:
            self.mired.remove()
        self.dovecot.stop()
        self.dovecot.remove()
        return wrong


@pytest.fixture
def site(postfix):
    made = []

    def make(dns=None, **options):
        dns = dns or Unbound()
        made.append(dns)
        made.append(Site(postfix, dns, **options))
        dns.start()
        return made[-1]

    yield make
    wrong = []
    for one in reversed(made):
        if isinstance(one, Site):
            wrong += one.close()
        else:
            one.stop()
            one.remove()
    assert not wrong, wrong


def send(port, sender, recipient, source=None, login=None, subject="hello"):
    """The reply that decides."""
    with Client(port, source=source) as client:
        client.ehlo("mail.far.test")
        if login:
            assert client.login(*login).code == 235
        return client.message(sender, recipient, b"Subject: %s\r\n\r\nhello\r\n" % subject.encode())


def sends_at_once(m, port, sender, recipient, source):
    """Whether a message is taken by the mired at that port, and nothing of it waits."""
    mark = m.log.mark()
    reply = send(port, sender, recipient, source=source)
    assert reply.code == 250, reply
    return m.held(source, since=mark) == 0


def log(m, *words):
    done = m.control("log", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(m, address):
    """Its live offences, as the administrator sees them; they fade."""
    m.booked()
    done = m.control("show", address)
    found = re.search(r"offences +([\d.]+)|nothing is known", done.stdout + done.stderr)
    return float(found[1] or 0)


@pytest.mark.skipif(UNDER, reason="valgrind needs calls that the sandbox refuses")
@pytest.mark.long
def test_an_administrators_first_day(site):
    dns = Unbound()
    named, late, unnamed, stranger, printer = *(ports.stranger() for _ in range(4)), "127.66.7.9"
    dns.name(named, "mail.far.test").host("mail.far.test", named)
    dns.name(late, "late.far.test").host("late.far.test", late)
    h = site(dns, auth_only="yes")

    # In the morning Postfix has the port. Nothing of this may be otherwise in the evening.
    behind = h.postfix
    assert send(h.port, "printer@example.test", FAR, source=printer).code == 250
    assert send(h.port, "a@b.test", ALICE, source=unnamed).code == 450

    m = h.move()
    until(lambda: m.control("status").returncode == 0)

    # Mail for people who exist passes at once, an alias is one of them, and others are unknown.
    for person in (ALICE, SALES):
        assert sends_at_once(m, h.port, "customer@far.test", person, source=named)
    assert len(behind.delivered(ALICE, count=2)) == 2
    refused = send(h.port, "customer@far.test", "alise@example.test", source=named)
    assert refused.code == 550, refused

    # `reject_unknown_client_hostname` is Postfix's, and sees who it is.
    refused = send(h.port, "a@b.test", ALICE, source=unnamed)
    assert refused.code == 450 and "4.7.25" in refused, refused
    behind.wait_log(rf"client=mail\.far\.test\[{re.escape(named)}\]")

    # Own machines relay, strangers do not.
    at = len(behind.log)
    assert sends_at_once(m, h.port, "printer@example.test", FAR, source=printer)
    behind.wait_log(r"to=<joe@far\.elsewhere\.test>, .*status=sent", since=at)
    assert send(h.port, "a@b.test", FAR, source=stranger).code == 550

    # Users send to the world by the moved 587; their passwords are checked by the Dovecot that checked them before.
    at = len(behind.log)
    assert send(m.submission, BOB, FAR, source=unnamed, login=(BOB, "builder")).code == 250
    behind.wait_log(rf"client=unknown\[{re.escape(unnamed)}\], sasl_method=\S+, sasl_username={re.escape(BOB)}", since=at)
    sent = behind.wait_log(r"(\w+): to=<joe@far\.elsewhere\.test>, .*status=sent", since=at)
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(BOB, "not this").code == 535

    # A sender of a new alias has heard no; it hears yes within 5 s.
    assert send(h.port, "late@far.test", "new@example.test", source=late).code == 550
    h.alias("new@example.test", ALICE)
    at = len(behind.log)
    h.reload_postfix()
    behind.wait_log(r"postfix/master\[\d+\]: reload", since=at)  # it may take its time
    time.sleep(3)  # who asks again and again is a harvester
    assert send(h.port, "late@far.test", "new@example.test", source=late).code == 250

    # "Why did my customer's mail bounce?" One call each: a typo; Postfix's own rule; where it is in Postfix's log.
    why = log(m, "alise@example.test")
    assert re.search(rf"event=refused client={re.escape(named)} .*from=customer@far.test to=alise@example.test code=550 why=unknown", why), why
    assert send(h.port, "winner@far.test", ALICE, source=named, subject="the winning numbers").code == 550
    why = until(lambda: "this is a lottery" in (now := log(m, "winner@far.test")) and now)
    assert "code=550" in why, why
    why = log(m, FAR)
    assert re.search(rf"event=message .*user={re.escape(BOB)} .*backend_id={sent[1]}\b", why), why

    # A mistake is undone: the wrong address, the right one forgotten.
    for words in (("penalise", named, "--offences", "50"), ("release", stranger)):
        before = shown(m, words[1])
        assert m.control(*words).returncode == 0
        assert abs(shown(m, words[1]) - before) > 0.5
        assert m.control(words[0], "--undo", words[1]).returncode == 0
        assert abs(shown(m, words[1]) - before) < 0.3, words
    assert sends_at_once(m, h.port, "customer@far.test", ALICE, source=named)
