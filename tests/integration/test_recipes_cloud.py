"""docs/recipes for servers that cannot run here (Microsoft 365, Google Workspace, Stalwart), as they are written: a real
Postfix stands in their place, under the names that the recipes have, with certificates like theirs, or with PROXY."""

import re
import subprocess

import pytest

from lib import ports
from lib.certificates import Authority
from lib.mired import CONTROL
from lib.recipes import block, configured, relays_nothing, serves
from lib.smtp import Client
from lib.waiting import PATIENCE

USER = "alice@example.test"
OUTLOOK = "example-org.mail.protection.outlook.com"
GOOGLE = ["aspmx.l.google.com", "alt1.aspmx.l.google.com"]
# What Exchange Online says of a recipient that does not exist.
NOBODY = "550 5.4.1 Recipient address rejected: Access denied. For more information see https://aka.ms/EXOSmtpErrors"


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """The only one that mired trusts."""
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def known(tmp_path):
    """known({name: address}) is a command that runs mired where /etc/hosts has these names."""

    def prefix(names):
        hosts = tmp_path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in names.items()))
        return ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]

    return prefix


def under_tls(postfix, authority, names, stem="theirs", more=""):
    certificate, key = authority.issue(stem, subject_names=",".join(f"DNS:{name}" for name in names))
    return postfix(
        extra=f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n"
        f"smtpd_tls_received_header = yes\nmynetworks =\n{more}"
    )


def microsoft(mired, known, people, backend, **options):
    return configured(
        mired, "microsoft-365", {f"{OUTLOOK}:25": f"{OUTLOOK}:{backend.port}", "/etc/mired/recipients": people},
        prefix=known({OUTLOOK: "127.0.0.1"}), **options,
    )  # fmt: skip


def test_before_microsoft_365(mired, postfix, authority, known, tmp_path):
    """Their certificate has a wildcard. The table is exported with the recipe's columns, and converted as it says."""
    assert "-EFSkipLastIP $true" in block("microsoft-365", "connector.ps1")
    columns = re.findall(r"Select-Object (\w+), @\{Name='(\w+)'", block("microsoft-365", "recipients.ps1"))[0]
    table = tmp_path / "recipients.csv"
    table.write_text(",".join(columns) + f'\n{USER},"SMTP:{USER};smtp:a@example.test;SPO:SPO_1@SPO_2"\n')
    done = subprocess.run([CONTROL, "import", table], capture_output=True, text=True, timeout=PATIENCE, check=True)
    people = tmp_path / "recipients"
    people.write_text(done.stdout)
    backend = under_tls(postfix, authority, ["mail.protection.outlook.com", "*.mail.protection.outlook.com"])
    m = microsoft(mired, known, people, backend)
    source = serves(m)
    # Enhanced filtering and an inbound gateway read the client's address here.
    message = backend.delivered(USER)[0]
    received = re.findall(rb"^Received: .*?(?=^\S)", message, re.S | re.M)
    assert b"using TLSv1" in received[0] and f"[{source}]".encode() in received[1]
    with Client(m.port) as client:
        client.ehlo()
        assert client.envelope("a@b.test", ["a@example.test"])[0].code == 250  # the alias of the table


def test_microsoft_365_gets_no_mail_without_its_certificate(mired, postfix, authority, known, tmp_path):
    people = tmp_path / "recipients"
    people.write_text(USER + "\n")
    backend = under_tls(postfix, authority, ["*.outlook.com"])  # a wildcard is one label, and they have four
    m = microsoft(mired, known, people, backend)
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 451
    assert "a@b.test" not in backend.log


def test_microsoft_365_may_be_asked_who_exists(mired, postfix, authority, known, tmp_path):
    """Its own words for "unknown" are held and count, as if the table had refused the recipient."""
    words = tmp_path / "words"
    words.write_text("".join(f"{who} {answer}\n" for who, answer in ((USER, "OK"), ("example.test", NOBODY))))
    backend = under_tls(
        postfix, authority, [OUTLOOK],
        more=f"smtpd_recipient_restrictions = check_recipient_access texthash:{words}, reject",
    )  # fmt: skip
    text = 'recipients "file" { path = "/etc/mired/recipients" }'
    m = configured(
        mired, "microsoft-365", {f"{OUTLOOK}:25": f"{OUTLOOK}:{backend.port}", text: 'recipients "backend" { }'},
        prefix=known({OUTLOOK: "127.0.0.1"}),
    )  # fmt: skip
    serves(m)


def test_a_connector_that_does_not_know_mired_refuses_nobodys_mail(mired, postfix, authority, known, tmp_path):
    """Microsoft refuses mired's new address when it has the whole message: the sender tries again, and has done nothing."""
    checks, people = tmp_path / "checks", tmp_path / "recipients"
    checks.write_text("/^Subject:/ REJECT 5.7.51 TenantInboundAttribution; There is a partner connector configured\n")
    people.write_text(USER + "\n")
    backend = under_tls(postfix, authority, [OUTLOOK], more=f"header_checks = regexp:{checks}\n")
    m = microsoft(mired, known, people, backend)
    with Client(m.port, source=ports.stranger()) as client:
        client.ehlo()
        reply = client.message("a@b.test", USER, b"Subject: good\r\n\r\nx\r\n")
        assert reply.code == 451
    assert m.held(client.source) == 0
    m.log.wait("event=session .*offences=0 ")
    m.log.wait("5.7.51|TenantInboundAttribution")


def google(mired, known, first, second, **options):
    return configured(
        mired, "google-workspace",
        {f"//{name}:25": f"//{name}:{port}" for name, port in zip(GOOGLE, (first, second))},
        prefix=known(dict.fromkeys(GOOGLE, "127.0.0.1")), **options,
    )  # fmt: skip


def test_before_google_workspace(mired, postfix, authority, known):
    one, two = (under_tls(postfix, authority, ["mx.google.com", *GOOGLE], stem=s) for s in ("one", "two"))
    m = google(mired, known, one.port, two.port)
    source = serves(m)
    assert f"[{source}]".encode() in one.delivered(USER)[0]
    one.stop()
    with Client(m.port, source=ports.stranger()) as client:
        client.ehlo()
        assert client.message("a@b.test", USER, b"Subject: by the second\r\n\r\nx\r\n").code == 250
    assert b"by the second" in two.delivered(USER)[0]


def stalwart(mired, postfix, **options):
    behind = postfix(extra="mynetworks =\n", options="  -o smtpd_upstream_proxy_protocol=haproxy", greets=False)
    return behind, configured(mired, "stalwart", {"127.0.0.1:10025": f"127.0.0.1:{behind.port}"}, **options)


def test_before_stalwart(mired, postfix):
    behind, m = stalwart(mired, postfix)
    source = serves(m)
    assert b"Subject: good" in behind.delivered(USER)[0]
    behind.wait_log(rf"client=unknown\[{re.escape(source)}\]")


def test_before_them_nothing_is_relayed(mired, postfix, authority, known, tmp_path):
    people = tmp_path / "recipients"
    people.write_text(USER + "\n")
    fast = dict(tarpit="time = 0")
    behind = under_tls(postfix, authority, ["*.mail.protection.outlook.com", *GOOGLE])
    relays_nothing(microsoft(mired, known, people, behind, **fast))
    relays_nothing(google(mired, known, behind.port, behind.port, **fast))
    relays_nothing(stalwart(mired, postfix, **fast)[1])
