"""Each recipe of docs/recipes as it is written, but for ports, paths and the domain: good mail passes, a typo is
answered late, a harvest is held up, and the server behind knows the client where the recipe says so."""

import os
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess

import pytest

from lib import ports, scrape
from lib.certificates import Authority
from lib.dovecot import Dovecot
from lib.haproxy import PROGRAM as HAPROXY
from lib.daemon import Daemon
from lib.mired import CONTROL, PASSWORDS
from lib.openldap import ADMIN, BASE, OpenLDAP
from lib.receivers import Receiver
from lib.recipes import block, configured, recipes_postfix, serves
from lib.rspamd import Rspamd
from lib.sites import TwoDomains
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

USER = "alice@example.test"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
BACKEND_OFFENCES = 'mired_offences_total{kind="backend"}'


def test_before_postfix(mired, postfix):
    backend = recipes_postfix(postfix)
    m = configured(mired, "postfix", {"127.0.0.1:10025": f"127.0.0.1:{backend.port}"})
    source = serves(m)
    backend.wait_log(rf"client=unknown\[{re.escape(source)}\]")
    assert b"Subject: good" in backend.delivered(USER)[0]


def test_before_dovecot_alone(mired, others):
    ours = block("dovecot", "dovecot.conf")
    # The sockets belong to a group that only an installed mired has; `imap` is not installed for the tests.
    lmtp = ports.free()
    ours = re.sub(r"\n +group = mired", "", ours).replace("0660", "0666").replace("imap ", "").replace("= 24", f"= {lmtp}")
    d = others(Dovecot(extra=ours))
    m = configured(
        mired, "dovecot",
        {"/run/dovecot/auth-client": d.auth, "127.0.0.1:24": f"127.0.0.1:{lmtp}", 'listen "0.0.0.0:587" { submission = true }\nlisten "[::]:587" { submission = true }': ""},
        passwords=None,
    )  # fmt: skip
    source = serves(m)
    assert b"Subject: good" in d.delivered(USER)[0]
    until(lambda: re.search(rf"lmtp\({USER}\)\S+ {re.escape(source)}: .*saved mail", d.log))
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, PASSWORDS[USER]).code == 235


def test_two_domains_with_a_server_each(mired, postfix, others, tmp_path):
    """One message for both; what one server refuses or never sees is not the other's concern."""
    site = TwoDomains(mired, postfix, others, tmp_path)
    m, at_a, at_b, ann, cy = site.m, site.at_a, site.at_b, site.ANN, site.CY
    source = ports.stranger()
    with Client(m.port, source=source) as client:
        client.ehlo("client.elsewhere.test")
        assert client.message("a@b.test", [ann, cy], b"Subject: both\r\n\r\nx\r\n").code == 250
    assert b"Subject: both" in at_a.delivered(ann)[0] and b"Subject: both" in at_b.delivered(cy)[0]
    at_a.wait_log(rf"client=\S*\[{re.escape(source)}\]")
    with Client(m.port, source=ports.stranger()) as client:
        client.ehlo()
        replies = client.envelope("a@b.test", ["nobody@a.example", "nobody@b.example"])
        assert [r.code for r in replies] == [550, 550] and replies[1].seconds >= 0.99
    at_b.stop()
    with Client(m.port, source=ports.stranger()) as client:
        client.ehlo()
        assert client.message("a@b.test", ann, b"Subject: alone\r\n\r\nx\r\n").code == 250
    assert len(at_a.delivered(ann, count=2)) == 2


class Proxy:
    """HAProxy with the recipe's configuration."""

    def __init__(self, folder, text, port):
        self.file, self.port, self.daemon = folder / "haproxy.cfg", port, None
        self.file.write_text(text)

    def start(self):
        self.daemon = Daemon([HAPROXY, "-db", "-f", self.file])
        self.daemon.wait_listening(self.port)
        return self

    def stop(self):
        self.daemon.stop()

    def remove(self):
        pass


@pytest.mark.long
def test_behind_haproxy(mired, postfix, others, tmp_path):
    if not pathlib.Path(HAPROXY).exists():
        pytest.skip("HAProxy is not installed")
    backend = recipes_postfix(postfix)
    front, behind = ports.free(), ports.free()
    listen = re.search(r'^listen .*:25".*$', block("haproxy", "mired.conf"), re.M)[0]
    listen = listen.replace("0.0.0.0:25", f"127.0.0.1:{behind}").replace("10.0.0.5", "127.0.0.1")
    m = configured(
        mired, "haproxy",
        {"127.0.0.1:10025": f"127.0.0.1:{backend.port}", "recipients": f"{listen}\nrecipients"},
    )  # fmt: skip
    text = block("haproxy", "haproxy.cfg").replace("bind :::25 v4v6", f"bind :::{front} v4v6")
    text = text.replace("inter 5s", "inter 8s fastinter 1s")  # the first is also the patience of a check, on a busy machine
    proxy = others(Proxy(tmp_path, text.replace("10.0.0.11:25", f"127.0.0.1:{behind}"), front))
    source = serves(m, port=front)
    backend.wait_log(rf"client=unknown\[{re.escape(source)}\]")
    # field notes 23: checks find it up, by more than that something listens, and notice when it is gone
    assert "is DOWN" not in proxy.daemon.output.text
    assert m.stop() == []
    proxy.daemon.output.wait("Server mired/mx1 is DOWN")


def test_with_certificates_from_certbot(mired, tmp_path):
    """Field notes 23: the deploy hook as it is written, run as certbot runs it."""
    authority = Authority(tmp_path)
    lineage, etc = tmp_path / "live" / "mx1.example.test", tmp_path / "etc"
    lineage.mkdir(parents=True)
    etc.mkdir()
    hook = tmp_path / "hook"

    def renew(stem):
        certificate, key = authority.issue("mx1.example.test", stem=stem)
        shutil.copy(certificate, lineage / "fullchain.pem")
        shutil.copy(key, lineage / "privkey.pem")
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    first = renew("first")
    pem = etc / "tls.pem"
    pem.write_text("".join((lineage / f"{name}.pem").read_text() for name in ("fullchain", "privkey")))
    m = mired(config=re.search(r"^tls .*", block("certbot", "mired.conf"), re.M)[0].replace("/etc/mired", str(etc)))
    text = block("certbot", "certbot-hook").replace("/etc/mired/", f"{etc}/").replace("chgrp mired ", f"chgrp {os.getgid()} ")
    hook.write_text(text.replace("mirectl reload", f"{CONTROL} -s {m.folder}/run/control reload"))
    hook.chmod(0o755)

    def run(lineage):
        return subprocess.run([hook], env={"PATH": "/usr/bin:/bin", "RENEWED_LINEAGE": str(lineage)}, capture_output=True, timeout=PATIENCE)

    def served():
        with smtplib.SMTP("127.0.0.1", m.port) as s:
            context = ssl._create_unverified_context()
            s.starttls(context=context)
            return s.sock.getpeercert(binary_form=True)

    assert served() == first
    second = renew("second")
    assert run(tmp_path / "live" / "www.example.test").returncode == 0 and served() == first
    done = run(lineage)
    assert done.returncode == 0, done.stderr
    assert served() == second and pem.stat().st_mode & 0o777 == 0o640
    whole = pem.read_bytes()
    renew("third")
    (lineage / "privkey.pem").unlink()  # a full disk, say: the hook fails at half of it
    assert run(lineage).returncode != 0
    assert pem.read_bytes() == whole and served() == second


def test_before_exchange_with_its_directory(mired, postfix, others):
    """OpenLDAP with Active Directory's attribute names, and a Postfix in Exchange's place that takes everyone."""
    directory = OpenLDAP()
    people = [("alice", [f"SMTP:{USER}"], 512), ("bob", ["SMTP:bob@example.test"], 514)]
    others(directory.fill(people))
    exchange = postfix(boxes=(USER, "bob@example.test"))
    m = configured(
        mired, "exchange",
        {
            '{ "ldaps://dc1.example.test", "ldaps://dc2.example.test" }': f'{{ "ldap://127.0.0.1:1", "{directory.url}" }}',
            "dc=example,dc=org": BASE, f"cn=mired,{BASE}": ADMIN,
            "/etc/mired/ldap.password": directory.secret, "10.0.0.20:25": f"127.0.0.1:{exchange.port}",
        },
    )  # fmt: skip
    source = serves(m)
    message = exchange.delivered(USER)[0]
    assert b"Subject: good" in message and f"[{source}]".encode() in message
    with Client(m.port) as client:
        client.ehlo()
        assert client.envelope("a@b.test", ["bob@example.test"])[0].code == 550  # disabled


def stands_before(mired, others, name, kind, **options):
    """A mired as the recipe says, before the server that it is about; both, and where the good message came from."""
    behind = Receiver(kind, block(name, options.pop("block")), **options)
    others(behind)
    m = configured(mired, name, {"127.0.0.1:10025": f"127.0.0.1:{behind.port}"})
    source = serves(m)
    assert b"Subject: good" in behind.delivered(USER)[0]
    return behind, source


def test_before_exim(mired, others):
    exim, source = stands_before(mired, others, "exim", "exim-heavy", block="exim.conf", greets=False)
    exim.wait_log(rf"<= a@b\.test H=\S* ?\(?client\.elsewhere\.test\)? \[{re.escape(source)}\]")


def test_before_opensmtpd(mired, others):
    smtpd, source = stands_before(mired, others, "opensmtpd", "opensmtpd", block="smtpd.conf", greets=False)
    smtpd.wait_log(rf"smtp connected address={re.escape(source)} ")


def test_before_sendmail(mired, others):
    more = block("sendmail", "sendmail.mc at its end")
    sendmail, source = stands_before(mired, others, "sendmail", "sendmail", block="sendmail.mc", more=more)
    queued = sendmail.wait_log(rf"(\w+): +from client\.elsewhere\.test \(\[?{re.escape(source)}")[1]
    sendmail.wait_log(rf"{queued}: from=<a@b\.test>, .*relay=localhost \[127\.0\.0\.1\]")


@pytest.mark.long
def test_what_rspamd_rejects_is_an_offence(mired, postfix, others):
    """Beside Rspamd: its reject at the backend is held, booked as kind `backend`, and makes what follows wait."""
    rspamd = others(Rspamd({"worker-proxy.inc": block("rspamd", "worker-proxy.inc")}))
    backend = recipes_postfix(postfix, block("rspamd", "main.cf").replace("11332", str(rspamd.milter)))
    web = ports.free()
    m = configured(
        mired, "rspamd",
        {"127.0.0.1:10025": f"127.0.0.1:{backend.port}", "recipients": f'web {{ listen = "127.0.0.1:{web}" }}\nrecipients'},
    )  # fmt: skip
    source = serves(m)
    backend.wait_log(rf"client=unknown\[{re.escape(source)}\]")
    rspamd.log.wait(rf"ip: {re.escape(source)}, from: <a@b\.test>, \(default: ")
    before = scrape.samples(web)[BACKEND_OFFENCES]
    with Client(m.port, source=ports.stranger()) as client:
        client.ehlo()
        reply = client.message("a@b.test", USER, b"Subject: spam\r\n\r\n" + GTUBE + b"\r\n")
        assert reply.code == 554 and "Gtube" in reply and reply.seconds >= 0.99
    backend.wait_log(rf"milter-reject: END-OF-MESSAGE from unknown\[{re.escape(client.source)}\]: 5\.7\.1 Gtube")
    until(lambda: scrape.samples(web)[BACKEND_OFFENCES] == before + 1)
    assert len(backend.delivered(USER)) == 1


def test_from_windows(mired, postfix, tmp_path):
    """Mail for people goes to Exchange (another Postfix here), a scanner's mail to other sites goes to the Postfix behind,
    and the recipients are those of the exported table, by the script as it stands there."""
    assert "relayhost = [" in block("windows", "main.cf") and "Get-ReceiveConnector" in block("windows", "export.ps1")
    exchange = postfix()
    (tmp_path / "recipients").write_text(f"{USER}\n")
    behind = recipes_postfix(lambda **more: postfix(domains="elsewhere.test", boxes=("joe@elsewhere.test",), **more))
    m = configured(
        mired, "windows",
        {"10.0.0.20:25": f"127.0.0.1:{exchange.port}", "127.0.0.1:10025": f"127.0.0.1:{behind.port}",
         "10.1.2.0/24": (scanners := ports.stranger().rsplit(".", 1)[0] + ".0/24"), "/etc/mired/recipients": f"{tmp_path}/recipients"},
        recipients=(),
    )  # fmt: skip
    # The columns that the export selects are those that mirectl knows.
    columns = re.findall(r"Select-Object (\w+), @\{Name='(\w+)'", block("windows", "recipients.ps1"))[0]
    (tmp_path / "recipients.csv").write_text(
        ",".join(f'"{c}"' for c in columns) + f'\n"{USER}","SMTP:{USER};smtp:also@example.test;X500:/o=x"\n'
    )
    script = block("windows", "import-recipients").replace("/srv/export", str(tmp_path)).replace("/etc/mired", str(tmp_path))
    subprocess.run(["sh", "-c", script.replace("mirectl", str(CONTROL))], check=True, timeout=PATIENCE)
    assert m.control("reload", "--accept-shorter").returncode == 0  # the empty list of `recipients` above
    serves(m)
    assert b"Subject: good" in exchange.delivered(USER)[0]
    scanner, stranger = scanners.replace(".0/24", ".9"), ports.stranger()
    for source, code in ((scanner, 250), (stranger, 550)):
        with Client(m.port, source=source) as client:
            client.ehlo()
            assert client.envelope("scan@example.test", ["joe@elsewhere.test"])[0].code == code
    assert deliver(m.port, "scan@example.test", "joe@elsewhere.test", b"Subject: scanned\r\n\r\nx\r\n", source=scanner).ok
    assert b"Subject: scanned" in behind.delivered("joe@elsewhere.test")[0]
    # A table that is cut off changes nothing.
    (tmp_path / "recipients.csv").write_text('"PrimarySmtpAddress","EmailAddresses"\n"x@example.test","SMTP:x@ex')
    before = (tmp_path / "recipients").read_text()
    done = subprocess.run(["sh", "-c", script.replace("mirectl", str(CONTROL))], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0 and (tmp_path / "recipients").read_text() == before
    # Nor does a full disk, with a table that is right.
    (tmp_path / "recipients.csv").write_text(f'"PrimarySmtpAddress","EmailAddresses"\n"{USER}","SMTP:{USER}"\n')
    (tmp_path / "recipients.new").unlink()
    (tmp_path / "recipients.new").symlink_to("/dev/full")
    done = subprocess.run(["sh", "-c", script.replace("mirectl", str(CONTROL))], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "disk full" in done.stderr and (tmp_path / "recipients").read_text() == before
