"""Records seeds for the fuzz targets from real programs: what each says goes to tests/fuzz/*/seeds/*/real-NAME.

    MIRED_BUILD=$PWD/build python3 -m pytest -p no:cacheprovider tests/integration/record_seeds.py

It is no test, and pytest does not collect it by itself. tests/fuzz/README.md says which program and version each
recorded file is from. All hosts and people are the tests' own; the machine's name is replaced."""

import base64
import contextlib
import pathlib
import re
import smtplib
import socket
import struct
import subprocess
import threading
import time
from email.message import EmailMessage

from lib import ports, scram
from lib.dovecot import Dovecot
from lib.haproxy import HAProxy
from lib.mired import PASSWORDS, PEOPLE, SOURCE
from lib.openldap import ADMIN, BASE, OpenLDAP
from lib.recipes import block
from lib.redis import Redis
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

FUZZ = SOURCE / "tests/fuzz"
USER, WORD = "alice@example.test", "wonderland"
FRIEND = "friend@elsewhere.test"
GOOD = b"From: Friend <friend@elsewhere.test>\r\nSubject: hello\r\nMessage-ID: <1@elsewhere.test>\r\n\r\nhello\r\n.dots\r\n"
# Heads of smtp/session: the extensions, no limits; with AUTH in clear; and of relay/outbound: pieces of 5 octets.
MX, WITH_AUTH = b"\xe0\x01\x00", b"\xf6\x01\x00"
SMTP, LMTP, XCLIENT = 0x10, 0x11, 0x80


def keep(target, name, octets):
    """Writes a seed, without this machine's name."""
    room, seed = target.split("/")
    for own in {socket.gethostname(), socket.getfqdn()} - {"localhost"}:
        octets = re.sub(re.escape(own.encode()), b"host.example.test", octets)
    assert 8 < len(octets) < 20000, (target, name, len(octets))
    (FUZZ / room / "seeds" / seed / f"real-{name}").write_bytes(octets)
    print(f"{target}: real-{name}, {len(octets)} octets")


class Tap:
    """A port, or a path, that leads to `target` (a port or a path) and keeps what either side says: .said has
    [client's, server's] of each connection."""

    def __init__(self, target, path=None):
        self.target, self.path, self.said = target, path, []
        if path:
            self.server = socket.socket(socket.AF_UNIX)
            self.server.bind(str(path))
            path.chmod(0o666)
            self.server.listen()
        else:
            self.server = socket.create_server(("127.0.0.1", 0))
            self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _dial(self):
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target))
        there = socket.socket(socket.AF_UNIX)
        there.connect(str(self.target))
        return there

    def _serve(self):
        for here in ports.accepted(self.server):
            there, said = self._dial(), [b"", b""]
            self.said.append(said)
            for side, one, other in ((0, here, there), (1, there, here)):
                threading.Thread(target=self._copy, args=(said, side, one, other), daemon=True).start()

    @staticmethod
    def _copy(said, side, one, other):
        with contextlib.suppress(OSError):
            while octets := one.recv(65536):
                said[side] += octets
                other.sendall(octets)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def longest(self, side):
        """What one side said in the connection in which it said most."""
        return max((said[side] for said in self.said), key=len)


# ---- clients ----


def swaks(port, *words):
    subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", "--from", FRIEND, "--to", USER, "--helo", "client.elsewhere.test", *words],
        capture_output=True, timeout=PATIENCE,
    )  # fmt: skip


def test_smtp_clients(mired, postfix, tmp_path):
    m = mired(tarpit="time = 0")
    letter = tmp_path / "letter"
    letter.write_bytes(GOOD)

    def record(name, use, port=m.port, head=MX):
        tap = Tap(port)
        use(tap.port)
        octets = tap.longest(0)
        keep("smtp/session", name, head + octets)
        return octets

    record("swaks", lambda port: swaks(port))
    record("swaks-pipelined", lambda port: swaks(port, "--pipeline"))
    record("swaks-attached", lambda port: swaks(port, "--attach", str(letter)))
    for mechanism in ("PLAIN", "LOGIN"):
        login = ["--auth", mechanism, "--auth-user", USER, "--auth-password", WORD]
        record(f"swaks-{mechanism.lower()}", lambda port, login=login: swaks(port, *login), m.submission, WITH_AUTH)
    record("curl", lambda port: subprocess.run(
        ["curl", "-s", f"smtp://127.0.0.1:{port}/client.elsewhere.test", "--mail-from", FRIEND, "--mail-rcpt", USER, "-T", letter],
        capture_output=True, timeout=PATIENCE))  # fmt: skip
    record("curl-vrfy", lambda port: subprocess.run(
        ["curl", "-s", f"smtp://127.0.0.1:{port}/client.elsewhere.test", "--mail-rcpt", "alice"], capture_output=True, timeout=PATIENCE))  # fmt: skip

    def msmtp(port):
        file = tmp_path / "msmtprc"
        file.write_text(f"account default\nhost 127.0.0.1\nport {port}\nfrom {FRIEND}\ndomain client.elsewhere.test\ntls off\n")
        file.chmod(0o600)
        subprocess.run(["msmtp", "-C", file, USER], input=GOOD, capture_output=True, timeout=PATIENCE)

    record("msmtp", msmtp)

    def python(port):
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = FRIEND, USER, "Grüße"
        letter["Message-ID"] = "<2@elsewhere.test>"
        letter.set_content("Ein Brief mit Umlauten: äöü\n.punkt\n")
        letter.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="octets")
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.elsewhere.test") as client:
            client.send_message(letter)

    mime = record("python", python)

    def postfixes(port):
        sender = postfix(domains="sender.test", boxes=(), extra=f"relayhost = [127.0.0.1]:{port}\n")
        with Client(sender.port, source="127.0.0.1") as client:
            client.ehlo()
            assert client.message(FRIEND, [USER, "bob@example.test", "alicia@example.test"], GOOD).code == 250
        sender.wait_log(r"to=<alice@example.test>, .*status=sent")

    relayed = record("postfix", postfixes)
    record("nmap-open-relay", lambda port: subprocess.run(
        ["nmap", "-Pn", "-n", "-sT", "-p", str(port), "--script", "+smtp-open-relay", "--script-args",
         "smtp-open-relay.domain=mx.example.test", "127.0.0.1"], capture_output=True, timeout=PATIENCE))  # fmt: skip
    for name, octets in (("postfix", relayed), ("python", mime)):
        body = re.split(rb"\r\nDATA\r\n|\r\ndata\r\n", octets, maxsplit=1)[1]
        data = body[: body.index(b"\r\n.\r\n") + 5]
        keep("smtp/data", name, b"\x07" + data)
        keep("smtp/sameness", name, b"\x07" + data[:-3].replace(b"\r\n..", b"\r\n."))
    early = Tap(m.port)
    subprocess.run(["curl", "-s", "-m", "2", "--http0.9", f"http://127.0.0.1:{early.port}/"], capture_output=True, timeout=PATIENCE)
    keep("smtp/early", "curl-http", early.longest(0))
    early = Tap(m.port)
    subprocess.run(["timeout", "3", "openssl", "s_client", "-connect", f"127.0.0.1:{early.port}"], input=b"", capture_output=True)
    keep("smtp/early", "openssl-tls", early.longest(0))


def test_scram_client(mired):
    """GNU SASL's messages, and those of Dovecot's tool in a file of passwords."""
    m = mired(tarpit="time = 0", stored=scram.password_file)
    tap = Tap(m.submission)
    subprocess.run(
        ["gsasl", "--smtp", "--connect", f"localhost:{tap.port}", "-m", "SCRAM-SHA-256", "-a", USER, "-p", WORD, "--no-starttls", "--no-cb"],
        input="", capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    octets = tap.longest(0)
    keep("smtp/session", "gsasl-scram", WITH_AUTH + octets)
    coded = [line.split()[-1] for line in octets.split(b"\r\n") if len(line) > 40]
    for name, text in zip(("gsasl-first", "gsasl-final"), coded):
        keep("smtp/scram", name, base64.b64decode(text))


def test_hashes():
    lines = []
    for scheme in ("SCRAM-SHA-256", "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "SSHA256", "CRAM-MD5", "MD5-CRYPT"):
        made = subprocess.run(["doveadm", "pw", "-s", scheme, "-p", WORD], capture_output=True, text=True, timeout=PATIENCE)
        if made.returncode == 0:
            lines.append(f"{scheme.lower()}@example.test:{made.stdout.strip()}\n")
    for way in ("-6", "-5", "-1", "-apr1"):
        made = subprocess.run(["openssl", "passwd", way, WORD], capture_output=True, text=True, check=True)
        lines.append(f"openssl{way}@example.test:{made.stdout.strip()}\n")
    keep("clerk/passwd", "doveadm-openssl", "".join(lines).encode())


# ---- backends ----


def talks(mired, tap, where, name, flags):
    """What a backend says to a message to three people."""
    m = before(mired, f'backend "{where}', recipients=PEOPLE)
    with Client(m.port) as client:
        client.ehlo("client.elsewhere.test")
        client.message(FRIEND, PEOPLE, GOOD)
    words = until(lambda: next((said[1] for said in tap.said if re.search(rb"\n250 2.0.0 .*\n$", said[1])), None))
    keep("relay/outbound", name, bytes([flags]) + words)


def before(mired, backend, **options):
    return mired(tarpit="time = 0", backend=backend, **options)


def test_postfix_behind(mired, postfix):
    listener, *options = block("postfix", "master.cf").splitlines()
    server = postfix(extra=block("postfix", "main.cf"), options="\n".join(options))
    for name, more, flags in (("postfix", "", SMTP), ("postfix-xclient", "xclient = true", SMTP | XCLIENT)):
        tap = Tap(server.port)
        talks(mired, tap, f'smtp://127.0.0.1:{tap.port}" {{ {more} }}', name, flags)
    words = tap.longest(1)
    offered = re.search(rb"XCLIENT ([A-Z_ ]+)", words)[1]
    keep("smtp/xclient", "postfix", b"\x81\x01" + offered + b"\nclient.elsewhere.test\nalice\nhost.elsewhere.test")
    tap = Tap(server.port)
    m = before(mired, f'backend "smtp://127.0.0.1:{tap.port}" {{ }}', recipients=None, config='recipients "backend" { }')
    with Client(m.port) as client:
        client.ehlo()
        client.envelope(FRIEND, [USER, "nobody@example.test"])
    until(lambda: any(said[1].count(b"\r\n250 2.1.5") or b"550 5.1.1" in said[1] for said in tap.said))
    keep("clerk/probe", "postfix", b"\x00" + tap.longest(1))


def test_postconf(postfix):
    server = postfix(extra=block("postfix", "main.cf"))
    said = subprocess.run(["postconf", "-n", "-c", f"{server.folder}/conf"], capture_output=True, check=True).stdout
    keep("ctl/import", "postconf", said.replace(str(server.folder).encode(), b"/srv/postfix"))


def test_dovecot_behind(mired, others):
    server = others(Dovecot(extra="login_trusted_networks = 127.0.0.0/8\n"))
    folder = pathlib.Path(server.folder)
    tap = Tap(server.lmtp, folder / "tap")
    talks(mired, tap, f'lmtp:{tap.path}" {{ }}', "dovecot-lmtp", LMTP)
    tap = Tap(server.lmtp, folder / "tap2")
    m = before(mired, f'backend "lmtp:{tap.path}" {{ }}', recipients=None, config='recipients "backend" { }')
    with Client(m.port) as client:
        client.ehlo()
        client.envelope(FRIEND, [USER, "nobody@example.test"])
    keep("clerk/probe", "dovecot-lmtp", b"\x01" + tap.longest(1))


def test_logins_at_dovecot(mired, others):
    server = others(Dovecot(mechanisms="plain login scram-sha-256"))
    tap = Tap(server.auth, pathlib.Path(server.folder) / "tap")
    m = mired(tarpit="time = 0", passwords=None, config=f'clerks = 1\nauth "dovecot" {{ path = "{tap.path}" }}')

    def offered():
        with Client(m.submission) as client:
            return "SCRAM-SHA-256" in client.ehlo().text

    until(offered, every=0.1)
    for word in ("guess", WORD):
        with Client(m.submission) as client:
            client.ehlo()
            client.login(USER, word)
        with Client(m.submission) as client:
            client.ehlo()
            scram.Login(client, USER, word).log_in()
    keep("clerk/dovecot", "dovecot", tap.longest(1))


def test_logins_at_postfix(mired, postfix, others):
    server = others(Dovecot())
    with_sasl = postfix(extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {server.auth}\n")
    for name, word in (("postfix-right", WORD), ("postfix-wrong", "guess")):
        tap = Tap(with_sasl.port)
        m = before(mired, f'backend "smtp://127.0.0.1:{tap.port}" {{ tls = off }}', passwords=None, config='auth "backend" { }')
        with Client(m.submission) as client:
            client.ehlo()
            client.login(USER, word)
        keep("clerk/backend_login", name, b"\x00" + next(said[1] for said in tap.said if re.search(rb"\r\n(235|535) ", said[1])))


def test_directories(mired, others):
    server = others(OpenLDAP().fill([("alice", [f"SMTP:{USER}"], 512)]))
    for name, address in (("openldap-yes", USER), ("openldap-no", "nobody@example.test")):
        tap = Tap(server.port)
        m = mired(
            tarpit="time = 0", recipients=None,
            config=f'clerks = 1\nrecipients "ldap" {{ url = {{ "ldap://127.0.0.1:{tap.port}" }} base = "{BASE}" bind_dn = "{ADMIN}" '
            f'password_file = "{server.secret}" filter = "(proxyAddresses=smtp:%s)" }}',
        )  # fmt: skip
        with Client(m.port) as client:
            client.ehlo()
            client.envelope(FRIEND, [address])
        keep("clerk/ldap", name, tap.longest(1))


# ---- others ----


def test_haproxy(others):
    for how, name in (("send-proxy", "haproxy-v1"), ("send-proxy-v2", "haproxy-v2"), ("send-proxy-v2-ssl-cn", "haproxy-v2-ssl"), ("send-proxy-v2 proxy-v2-options crc32c", "haproxy-v2-crc")):
        sink, heard = socket.create_server(("127.0.0.1", 0)), []

        def take(sink=sink, heard=heard):
            for here in ports.accepted(sink):
                here.sendall(b"220 mx.example.test ESMTP\r\n")
                with contextlib.suppress(OSError):
                    heard.append(here.recv(4096))

        threading.Thread(target=take, daemon=True).start()
        proxy = others(HAProxy(sink.getsockname()[1], how))
        with socket.create_connection(("127.0.0.1", proxy.port), source_address=("127.9.8.7", 0)) as client:
            client.sendall(b"EHLO client.elsewhere.test\r\n")
            until(lambda heard=heard: any(b"127.9.8.7" in said or bytes([127, 9, 8, 7]) in said for said in heard))
        keep("base/proxy", name, next(said for said in heard if b"127.9.8.7" in said or bytes([127, 9, 8, 7]) in said))
        sink.close()


def test_dns(unbound):
    server = unbound()
    server.add("mx.example.test", "A", "192.0.2.1").add("mx.example.test", "A", "192.0.2.2").add("mx.example.test", "AAAA", "2001:db8::1")
    server.add("alias.example.test", "CNAME", "mx.example.test").add("1.2.0.192.in-addr.arpa", "PTR", "mx.example.test", ttl=60)
    server.list("dnsbl.test", "192.0.2.9").start()
    kinds = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28}
    wanted = {
        "a": ("mx.example.test", "A"), "aaaa": ("mx.example.test", "AAAA"), "cname": ("alias.example.test", "A"),
        "ptr": ("1.2.0.192.in-addr.arpa", "PTR"), "listed": ("9.2.0.192.dnsbl.test", "A"), "nxdomain": ("nobody.example.test", "A"),
        "nodata": ("mx.example.test", "TXT"),
    }  # fmt: skip
    for name, (asked, kind) in wanted.items():
        query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
        query += b"".join(bytes([len(part)]) + part.encode() for part in asked.split(".")) + b"\0" + struct.pack(">HH", kinds[kind], 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(PATIENCE)
            s.sendto(query, ("127.0.0.1", server.port))
            keep("dns/answer", f"unbound-{name}", s.recv(4096))


def test_redis(mired, others):
    server = others(Redis())
    taps, members = [], []
    for i in (1, 2):
        taps.append(Tap(server.port))
        members.append(mired(tarpit="time = 0", config=f'fleet {{ redis = {{ "redis://127.0.0.1:{taps[-1].port}/0" }} name = "mx" member = "mx{i}" }}\n'))
    for m in members:
        m.log.wait("fleet: up")
    source = ports.stranger()
    with Client(members[0].port, source=source) as client:
        client.ehlo()
        client.envelope(FRIEND, ["nobody@example.test"])
    deliver(members[0].port, FRIEND, [USER])
    until(lambda: source in members[1].control("show", source).stdout)
    time.sleep(2)  # further words of either member, such as its greeting; nothing of a test waits for this
    keep("fleet/replies", "redis-member", taps[0].longest(1)[-15000:])
    keep("fleet/replies", "redis-second", taps[1].longest(1)[-15000:])


def test_http(mired):
    web = ports.free()
    mired(config=f'web {{ listen = {{ "127.0.0.1:{web}" }} }}\n')
    tap = Tap(web)
    subprocess.run(["curl", "-s", f"http://127.0.0.1:{tap.port}/metrics"], capture_output=True, timeout=PATIENCE)
    keep("web/request_head", "curl", tap.longest(0))
    tap = Tap(web)
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"http://127.0.0.1:{tap.port}/"], capture_output=True, timeout=PATIENCE
    )
    heads = [said[0] for said in tap.said if said[0]]
    keep("web/request_head", "chromium", heads[0].split(b"\r\n\r\n")[0] + b"\r\n\r\n")


def test_log(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo("client.elsewhere.test")
        client.envelope(FRIEND, ["nobody@example.test", 'odd name"@example.test'])
        client.say("QUIT")
    with Client(m.submission) as client:
        client.ehlo()
        client.login(USER, "guess")
    deliver(m.port, FRIEND, [USER], GOOD)
    for event, about in (("refused", "nobody@example.test"), ("session", FRIEND), ("message", USER), ("login", USER)):
        line = re.search(rf"event={event} .*", m.log.text)
        if line:
            keep("web/log_line", event, f"{about}\n{line[0]}".encode())


assert PASSWORDS[USER] == WORD
