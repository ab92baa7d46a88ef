"""TLS towards clients: STARTTLS and implicit, which certificate, what is believed, what it costs."""

import collections
import concurrent.futures
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import time

import pytest

from lib import ports, strange, temporary
from lib.certificates import Authority
from lib.mired import PASSWORDS, PROGRAM, SANITIZED
from lib.smtp import Client
from lib.waiting import PATIENCE, until

NAME = "mx.example.test"
USER = "alice@example.test"


@pytest.fixture(scope="module")
def folder():
    path = temporary.folder("tls-")
    yield path
    temporary.remove(path)


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue(NAME)


def section(certificate, key, more=""):
    return f'tls {{ certificate = "{certificate}" key = "{key}" {more} }}\n'


@pytest.fixture
def m(mired, issued):
    """A mired with STARTTLS everywhere and implicit TLS on .implicit."""
    implicit = ports.free()
    started = mired(
        tarpit="time = 1s",
        config=section(*issued) + f'listen "127.0.0.1:{implicit}" {{ submission = true tls = implicit }}',
    )
    started.implicit = implicit
    return started


def trusting(authority, **settings):
    context = ssl.create_default_context(cafile=authority.file)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class Secure(Client):
    """A client that can go over to TLS."""

    def start_tls(self, context, name=NAME):
        self.must("STARTTLS", 220)
        self.wrap(context, name)
        return self

    def wrap(self, context, name=NAME):
        self.socket = context.wrap_socket(self.socket, server_hostname=name)

    @property
    def names(self):
        return {value for _, value in self.socket.getpeercert()["subjectAltName"]}


def implicit(port, context):
    client = Secure(port, greet=False)
    client.wrap(context)
    client.greeting = client.reply()
    return client


def test_mail_and_replies_flow_over_starttls_as_without(m, authority):
    with Secure(m.port) as client:
        assert "STARTTLS" in client.ehlo()
        client.start_tls(trusting(authority))
        assert client.socket.version() == "TLSv1.3"
        assert "STARTTLS" not in client.ehlo()
        body = b"".join(b"line %d %s\r\n" % (i, b"x" * 60) for i in range(20000))
        assert client.message("a@b.test", USER, body).code == 250
        assert client.say("STARTTLS").code == 503
    message = m.delivered(USER)[0].replace(b"\r\n", b"\n")
    assert body.replace(b"\r\n", b"\n") in message
    assert re.search(rb"with ESMTPS\b", message)
    m.log.wait(r"event=session .*tls=TLSv1.3")


@pytest.mark.fast
def test_a_stranger_waits_under_tls_as_well_and_an_authenticated_one_does_not(m, authority):
    context = trusting(authority)
    with Secure(m.port) as client:
        client.ehlo()
        client.start_tls(context).ehlo()
        client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<alice@example.test>\r\n")
        replies = [client.reply() for _ in range(3)]
        assert [r.code for r in replies] == [250, 550, 250]
        assert replies[1].seconds >= 0.99
    with implicit(m.implicit, context) as client:
        assert client.greeting.code == 220
        client.ehlo()
        assert client.login(USER, PASSWORDS[USER]).code == 235
        client.must(f"MAIL FROM:<{USER}>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
    assert m.held(client.source) == 0


def test_a_long_hold_drips_under_tls(mired, issued, authority):
    m = mired(tarpit="time = 3s drip = 1s", config=section(*issued))
    with Secure(m.port) as client:
        client.ehlo()
        client.start_tls(trusting(authority)).ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        assert client.line().startswith("550-5.1.1 ")
        reply = client.reply()
        assert reply.code == 550 and reply.seconds >= 2.99


@pytest.mark.fast
def test_what_came_before_the_handshake_is_not_believed_after_it(m, authority):
    with Secure(m.port) as client:
        client.ehlo("before.elsewhere.test")
        client.must("MAIL FROM:<injected@b.test>")
        client.start_tls(trusting(authority))
        assert client.say("RCPT TO:<alice@example.test>").code == 503


@pytest.mark.fast
def test_commands_pipelined_behind_starttls_are_refused(m):
    with Client(m.port) as client:
        client.ehlo()
        client.send("STARTTLS\r\nMAIL FROM:<injected@b.test>\r\nRCPT TO:<alice@example.test>\r\n")
        assert client.reply().code == 554
        assert client.is_closed()  # no more replies; field notes 35


@pytest.mark.fast
def test_a_handshake_that_is_none_ends_that_connection_and_is_an_offence(m, authority):
    source = ports.stranger()
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.must("STARTTLS", 220)
        client.send("EHLO in.clear\r\n")
        while client.line() is not None:  # an alert, which is no line of SMTP, and the end
            pass
    m.log.wait(rf'event=session client={re.escape(source)} .*result="handshake failed"')
    with implicit(m.implicit, trusting(authority)) as client:
        client.ehlo()


def test_a_client_that_stops_within_a_handshake_disturbs_nobody(m, authority):
    silent = [Client(m.implicit, greet=False) for _ in range(20)]
    for client in silent[:10]:
        client.send(b"\x16\x03\x01")
    with implicit(m.implicit, trusting(authority)) as client:
        assert client.login(USER, PASSWORDS[USER]).code == 503  # EHLO first: it is served
    for client in silent:
        client.close()


def test_sni_chooses_the_certificate(mired, authority, issued):
    other = authority.issue("mail.other.test", kind="rsa")
    certificates, keys = zip(issued, other)
    quoted = [", ".join(f'"{f}"' for f in files) for files in (certificates, keys)]
    m = mired(config=f"tls {{ certificate = {{ {quoted[0]} }} key = {{ {quoted[1]} }} }}")
    context = trusting(authority)
    for asked, got in ((NAME, NAME), ("mail.other.test", "mail.other.test")):
        with Secure(m.port) as client:
            client.ehlo()
            assert client.start_tls(context, asked).names == {got}
    context.check_hostname = False
    with Secure(m.port) as client:
        client.ehlo()
        assert client.start_tls(context, "nobody.has.this.test").names == {NAME}


def test_the_minimum_is_kept(mired, issued, authority):
    m = mired(config=section(*issued, 'minimum = "1.3"'))
    with Secure(m.port) as client:
        client.ehlo()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.start_tls(trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    with Secure(m.port) as client:
        client.ehlo()
        client.start_tls(trusting(authority))


def test_tls_1_2_has_forward_secrecy_and_nothing_older_is_spoken(m, authority, issued):
    with Secure(m.port) as client:
        client.ehlo()
        client.start_tls(trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
        assert client.socket.cipher()[0].startswith("ECDHE-")
    shown = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{m.port}", "-tls1_1",
         "-cipher", "ALL:@SECLEVEL=0"],
        input="QUIT\r\n", capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "Cipher is (NONE)" in shown.stdout + shown.stderr or shown.returncode != 0


@pytest.mark.fast
def test_openssls_own_client_is_served(m, authority):
    shown = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{m.port}", "-servername", NAME,
         "-CAfile", authority.file, "-verify_return_error", "-crlf", "-quiet"],
        input="EHLO s.client.test\nQUIT\n", capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "250" in shown.stdout and "221" in shown.stdout, shown.stdout + shown.stderr


def test_swaks_sends_and_logs_in_over_tls(m, authority):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(m.submission), "-tls", "--tls-verify",
         "--tls-ca-path", authority.file, "--tls-verify-host", NAME, "--tls-sni", NAME, "--from", USER,
         "--to", "bob@example.test", "--auth", "PLAIN", "--auth-user", USER,
         "--auth-password", PASSWORDS[USER], "--header", "Subject: over TLS"],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    if "is not a recognized option" in done.stderr + done.stdout or "Unknown option" in done.stderr:
        done = subprocess.run(
            ["swaks", "--server", "127.0.0.1", "--port", str(m.submission), "-tls", "--from", USER,
             "--to", "bob@example.test", "--auth", "PLAIN", "--auth-user", USER,
             "--auth-password", PASSWORDS[USER], "--header", "Subject: over TLS"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    message = m.delivered("bob@example.test")[0]
    assert b"Subject: over TLS" in message and b"with ESMTPSA" in message


def test_a_client_certificate_of_the_known_ca_makes_exempt_and_any_other_is_no_harm(mired, issued, authority, folder):
    m = mired(tarpit="time = 2s", config=section(*issued, f'client_ca = "{authority.file}"'))
    known = authority.issue("friend.test")
    (folder / "other").mkdir()
    unknown = Authority(folder / "other", "Another CA").issue("stranger.test")
    held = {}
    for pair in (known, unknown, None):
        context = trusting(authority)
        if pair:
            context.load_cert_chain(*pair)
        with Secure(m.port) as client:
            client.ehlo()
            client.start_tls(context).ehlo()
            client.must("MAIL FROM:<a@b.test>")
            reply = client.say("RCPT TO:<nobody@example.test>")
            assert reply.code == 550
            assert pair == known or reply.seconds >= 1.99
        held[pair] = m.held(client.source)
    assert held == {known: 0, unknown: 2, None: 2}


def test_a_renewed_certificate_is_taken_up_and_held_connections_stay(mired, authority):
    old = authority.issue(NAME, stem="renewed")
    m = mired(tarpit="time = 3s", config=section(*old))
    context = trusting(authority)

    def serial():
        with Secure(m.port) as client:
            client.ehlo()
            client.start_tls(context)
            return client.socket.getpeercert()["serialNumber"]

    before = serial()
    with Secure(m.port) as held:
        held.ehlo()
        held.start_tls(context).ehlo()
        held.must("MAIL FROM:<a@b.test>")
        held.send("RCPT TO:<nobody@example.test>\r\n")
        authority.issue(NAME, stem="renewed")
        assert m.control("reload").returncode == 0
        assert serial() != before
        reply = held.reply()
        assert reply.code == 550 and reply.seconds >= 2.99
        old[0].write_text("no certificate any more")
        done = m.control("reload")
        assert done.returncode == 1 and "renewed.pem" in done.stdout + done.stderr
        assert serial() != before  # what was there goes on


@pytest.mark.parametrize("kind", strange.KINDS)
@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_what_is_no_file_is_named_and_stops_nothing(mired, authority, folder, key, kind):
    """OpenSSL would wait for the writer of a pipe, and the master with it."""
    pair = authority.issue(NAME, stem="strange")
    client_ca = folder / "strange-ca.pem"
    shutil.copy(authority.file, client_ca)
    m = mired(tarpit="time = 0", config=section(*pair, f'client_ca = "{client_ca}"'))
    path = {"certificate": pair[0], "key": pair[1], "client_ca": client_ca}[key]
    strange.replace(path, kind)
    done = m.control("reload")
    assert done.returncode == 1 and path.name in done.stdout + done.stderr
    checked = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 1 and path.name in checked.stderr
    with Secure(m.port) as client:
        client.ehlo()
        client.start_tls(trusting(authority)).ehlo()
        client.must("MAIL FROM:<a@b.test>")
    strange.remove(path)


def test_a_broken_certificate_is_named_with_file_and_line(mired, issued, authority):
    other = authority.issue("mail.other.test")
    m = mired(config=section(*issued))
    good = m.file.read_text()
    assert not m.stop()
    for pair in ((issued[0], other[1]), (issued[1], issued[1])):
        m.file.write_text(good.replace(section(*issued), section(*pair)))
        for option in (["-t"], []):
            done = subprocess.run([PROGRAM, "-c", m.file, *option], capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 1 and "configuration OK" not in done.stdout
            assert re.search(r"mired\.conf:\d+: tls: (key|certificate)", done.stderr), done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_testssl_finds_nothing_above_low(mired, authority, folder, how):
    """A certificate such as an authority of the world's would issue: for that is not ours to answer for. It takes
    5 minutes on a calm machine; on a busy one testssl.sh sleeps a second for each of its thousand answers that was not
    there at once."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        pytest.skip("testssl.sh is not installed")
    # It would be held for what it tries, as it should: what is asked here is how we speak TLS.
    implicit = ports.free()
    m = mired(
        config='exempt = { "127.0.0.0/8" }\n'
        + section(
            *authority.issue(
                "localhost", days=180, stem=f"world-{how}",
                more_extensions="crlDistributionPoints=URI:http://crl.example.test/ca.crl\nextendedKeyUsage=serverAuth\n",
            )
        )
        + f'listen "127.0.0.1:{implicit}" {{ tls = implicit }}'
    )  # fmt: skip
    report = folder / f"testssl-{how}.json"
    done = subprocess.run(
        [program, "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--add-ca", authority.file,
         "--ip", "127.0.0.1", "--jsonfile", report, *(["-t", "smtp"] if how == "starttls" else []),
         f"localhost:{m.port if how == 'starttls' else implicit}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    print(done.stdout[-12000:])
    findings = json.loads(report.read_text())
    assert len(findings) > 80, "it has not looked at much"
    assert {"TLS1_3", "heartbleed", "cert_chain_of_trust"} <= {f["id"].split(" ")[0] for f in findings}
    print(len(findings), collections.Counter(f["severity"] for f in findings))
    print([f for f in findings if f["severity"] not in ("OK", "INFO")])
    bad = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not bad, json.dumps(bad, indent=1)


def private_memory(m):
    return sum(
        int(re.search(r"Pss_Anon:\s+(\d+)", pathlib.Path(f"/proc/{p}/smaps_rollup").read_text())[1])
        for p in m.processes("worker")
    )


def hold_under_tls(m, context, count):
    """So many clients that wait for the answer to nonsense, and the workers' memory when the first hundred did."""
    held, before = [], 0
    for i in range(count):
        client = Secure(m.port)
        client.ehlo()
        client.start_tls(context)
        client.send("FROBNICATE\r\n")
        held.append(client)
        if i == 99:
            before = private_memory(m)
    return held, before


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_ten_thousand_held_under_tls_cost_15_kb_each(mired, issued, authority):
    many = 10000
    m = mired(
        tarpit="time = 280s max = 280s growth = 1 pace = false freeze = off patience_offences = 0 drip = 0 shield = 0",
        config=section(*issued) + "connections_max = 30000",
    )
    held, before = hold_under_tls(m, trusting(authority), many + 100)
    until(lambda: f"heldnow{many + 100}of" in re.sub("[^0-9a-z]", "", m.control("status").stdout))
    each = (private_memory(m) - before) * 1024 / many
    print(f"{each:.0f} octets each, of {many:,} held under TLS")
    for client in held:
        client.close()
    assert each <= 15 * 1024


def shake_and_leave(port, context, source):
    """A whole handshake, and not a word behind it."""
    with Secure(port, source=source, greet=False) as client:
        client.wrap(context)
        client.reply()


@pytest.mark.fast
def test_what_is_no_tls_is_an_offence(mired, issued, authority):
    port = ports.free()
    m = mired(tarpit="time = 2s growth = 1 pace_after = 1", config=section(*issued) + f'listen "127.0.0.1:{port}" {{ tls = implicit }}')
    context = trusting(authority)
    source = ports.stranger()
    for _ in range(4):
        with Client(port, source=source, greet=False) as client:
            client.send("EHLO in.clear\r\n")
            last = client.begun
            client.is_closed()
    m.log.wait(rf"event=session client={re.escape(source)} .*offences=1")
    until(lambda: "1.0" in m.control("show", source).stdout)
    client = Secure(port, source=source, greet=False)
    client.wrap(context)
    waited = client.reply()  # in debt: the handshake itself does not begin before the hold is over
    assert waited.code == 220 and time.monotonic() - last >= 1.9
    client.close()


def test_handshakes_of_a_client_in_debt_come_one_after_the_other(mired, issued, authority):
    port, source, many = ports.free(), ports.stranger(), 16
    m = mired(
        tarpit="time = 1s growth = 1 max = 1s", workers=1,
        config=section(*issued) + f'listen "127.0.0.1:{port}" {{ tls = implicit }}',
    )  # fmt: skip
    for _ in range(4):
        with Client(port, source=source, greet=False) as client:
            client.send("EHLO in.clear\r\n")
            client.is_closed()
    until(lambda: "1.0" in m.control("show", source).stdout)

    def shake(client):
        client.wrap(trusting(authority))
        return time.monotonic()

    clients = [Secure(port, source=source, greet=False) for _ in range(many)]
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        done = sorted(pool.map(shake, clients))
    for client in clients:
        client.close()
    assert done[-1] - done[0] >= 0.05 * (many - 1)  # 0.1 s each, and it may be noticed late that the first is done


@pytest.mark.fast
def test_who_only_looks_whether_the_port_is_open_or_says_good_bye_owes_nothing(m, authority):
    source = ports.stranger()
    for _ in range(5):
        Client(m.implicit, source=source, greet=False).close()
    for _ in range(5):
        with Secure(m.implicit, source=source, greet=False) as client:
            client.wrap(trusting(authority))
            client.reply()
            client.must("QUIT")
    for _ in range(5):
        with Secure(m.port, source=source) as client:
            client.ehlo()
            client.start_tls(trusting(authority)).ehlo()
    m.booked()
    shown = m.control("show", source).stdout
    assert "in debt" not in shown or "not in debt" in shown, shown
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
    assert m.held(source) == 0


@pytest.mark.alone
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_a_held_connection_under_tls_costs_little(mired, issued, authority):
    """The budget is 15 KB; what is asserted leaves room for another OpenSSL."""
    m = mired(tarpit="time = 280s max = 280s freeze = off patience_offences = 0", config=section(*issued))
    held, before = hold_under_tls(m, trusting(authority), 600)
    each = (private_memory(m) - before) * 1024 / 500
    print(f"{each:.0f} octets each")
    for client in held:
        client.close()
    assert each < 25000
