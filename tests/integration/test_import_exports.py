"""Ten exports as they are found on real servers (tests/integration/exports): each gives a configuration that `mired -t` takes,
and names what could not be carried over. And tables of recipients, as Exchange and Active Directory export them."""

import getpass
import json
import subprocess

import pytest

from lib.mired import CONTROL, PROGRAM, SOURCE
from lib.waiting import PATIENCE, until

EXPORTS = SOURCE / "tests/integration/exports"

# Of each: lines that stand there, words of the notes, and what must not stand there.
EXPECTED = {
    "windows-2003.reg": (["tarpit { time = 10s }"], ["not converted: ", "MaxPoolThreads", "MetaBase.xml"], []),
    "windows-2012.reg": (["tarpit { time = 5s }"], ["NumberOfSocketBacklog"], []),
    "windows-2019.reg": (["tarpit { time = 120s  max = 120s }"], ["MaxPercentPoolThreads, ResetMessageStatus"], []),
    "metabase-2003.xml": (
        ['hostname = "mail.example.org"', "size_max = 31457280", 'listen "0.0.0.0:25" { }',
         'relay = { "10.1.2.0/24", "10.1.3.9/32" }', 'exempt = { "10.1.2.0/24", "10.1.3.9/32" }',
         'domains = { "mail.example.org", "example.org", "branch.example.org", "shop.example.org" }',
         'backend "smtp://10.4.0.25:25" { domains = { "branch.example.org", "shop.example.org" } }',
         'backend "smtp://127.0.0.1:10025" { }'],
        ["AuthBasic", "no SmartHost", "not converted: ConnectionTimeout", "HopCount", "RelayForAuth", "who exists"],
        ["www.example.org", "2000000000", "size_max = 2097152"],
    ),
    "metabase-2019.xml": (
        ['hostname = "relay01.corp.example.net"', 'listen "10.20.0.5:25" { }', 'backend "smtp://smtp.provider.example:587" { }',
         "size_max = 4000000000"],
        ["10.20.0.5:2525", "MaxConnections 1000 is not converted", "export the certificate", "MasqueradeDomain", "is unlimited"],
        ["relay = {"],
    ),
    "receive-connectors-2016.txt": (
        ["tarpit { time = 5s }", 'relay = { "10.30.4.0/24", "10.30.5.17/32" }', "size_max = 52428800", 'auth "backend" { }',
         'backend "smtp://EX16A.corp.example.org:25" { }', 'domains = { "example.org", "lists.example.org" }'],
        ["InternalRelay", "MaxProtocolErrors", "-TarpitInterval 0"],
        ["255.255.255.255"],
    ),
    "receive-connector-edge.txt": (
        ["tarpit { time = 15s }", 'listen "203.0.113.25:25" { }', "size_max = 10485760"],
        ["MessageRateLimit", "MaxHeaderSize", "still missing: domains"], ["auth ", "exempt ="],
    ),
    "transport-service-2019.txt": (
        ['listen "0.0.0.0:25" { }'],
        ["stays with Exchange", "MessageExpirationTimeout", "PickupDirectoryPath", "InternalDNSServers"], ["tarpit {"],
    ),
    "postconf-gateway.txt": (
        ['hostname = "gate.example.net"', 'domains = { "example.net", "hq.example.net" }', "size_max = 52428800",
         'relay = { "127.0.0.0/8", "10.50.0.0/16" }', 'dnsbl "zen.example.net" { }', "tarpit { time = 3s }",
         'backend "smtp://10.60.0.1:25" { domains = { "example.net", ".branches.example.net" } }',
         'backend "smtp://hq-mail.example.net:2525" { domains = { "hq.example.net" } }',
         'backend "lmtp://10.60.0.9:24" { domains = { "lists.example.net" } }',
         'backend "smtp://127.0.0.1:10025" { xclient = true }'],
        ["the transport of partner.example, smtp:mail.partner.example, is not converted", "hash:/etc/postfix/relay_domains", "hash:/etc/postfix/relay_recipients", "Postfix sends it on by"], [],
    ),
    "postconf-hosting.txt": (
        ['domains = { "mx2.example.com", "localhost", "example.com", "example.org" }', 'dnsbl "bl.example.net" { }',
         'recipient_delimiter = "+"', 'auth "backend" { }'],
        ["relayhost", "virtual_transport", "smtpd_hard_error_limit", "pgsql:/etc/postfix/mailboxes.cf"], [],
    ),
}  # fmt: skip


def imported(file, *options):
    return subprocess.run([CONTROL, *options, "import", file], capture_output=True, text=True, timeout=PATIENCE)


def test_there_are_ten():
    assert set(EXPECTED) == {file.name for file in EXPORTS.iterdir()} and len(EXPECTED) == 10


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_becomes_a_configuration_and_a_list_of_the_rest(tmp_path, name):
    text = (EXPORTS / name).read_text()
    file = tmp_path / name
    # regedit writes UTF-16, PowerShell's > too; all of Windows' lines end with CRLF.
    windows = not name.startswith("postconf")
    file.write_bytes(text.replace("\n", "\r\n").encode("utf-16") if windows and "metabase" not in name else text.encode())
    done = imported(file)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    notes = "\n".join(line for line in lines if line.startswith("# "))
    settings, words, never = EXPECTED[name]
    for line in settings:
        assert line in lines, done.stdout
    for word in words:
        assert word in notes, done.stdout
    for word in never:
        assert not any(word in line for line in lines if not line.startswith("#")), done.stdout
    more = "" if any(line.startswith("domains =") for line in lines) else 'domains = { "example.org" }\n'
    (tmp_path / "mired.conf").write_text(
        f'{more}user = "{getpass.getuser()}"\nstate = "{tmp_path}/s"\nrun = "{tmp_path}/r"\n{done.stdout}'
    )
    taken = subprocess.run([PROGRAM, "-c", tmp_path / "mired.conf", "-t"], capture_output=True, text=True, timeout=PATIENCE)
    assert taken.returncode == 0 and "configuration OK" in taken.stdout + taken.stderr, taken.stderr + done.stdout


# ---- recipients ----

EXCHANGE = (
    '#TYPE Selected.Microsoft.Exchange.Data.Directory.Management.ReducedRecipient\n'
    '"PrimarySmtpAddress","EmailAddresses","DisplayName"\n'
    '"Alice.Adams@example.org","SMTP:Alice.Adams@example.org,smtp:alice@example.org,X500:/o=Corp/cn=alice,SIP:alice@example.org","Adams, ""Al"" Alice"\n'
    '"sales@example.org","SMTP:sales@example.org","Sales\nand more"\n'
)  # fmt: skip
CSVDE = (
    "DN,mail,userAccountControl,proxyAddresses\r\n"
    '"CN=Bob,OU=People,DC=example,DC=org",bob@example.org,512,"SMTP:bob@example.org;smtp:b.brown@example.org"\r\n'
    '"CN=Left,OU=People,DC=example,DC=org",left@example.org,514,SMTP:left@example.org\r\n'
    '"CN=Printer,OU=Rooms,DC=example,DC=org",,512,\r\n'
)


def addresses(done):
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_export_of_exchange_becomes_a_file_of_recipients(tmp_path, encoding):
    file = tmp_path / "recipients.csv"
    file.write_bytes(EXCHANGE.encode(encoding))
    assert addresses(imported(file)) == ["alice.adams@example.org", "alice@example.org", "sales@example.org"]
    told = json.loads(imported(file, "--json").stdout)
    assert told["ok"] and len(told["recipients"]) == 3


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_an_export_of_active_directory_leaves_out_disabled_accounts(tmp_path, separator):
    file = tmp_path / "recipients.csv"
    text = CSVDE if separator == "," else CSVDE.replace(";", "|").replace('",', '"\0').replace(",", separator).replace("\0", separator)
    file.write_text(text)
    if separator == ",":
        assert addresses(imported(file)) == ["bob@example.org", "b.brown@example.org"]
        assert "1 disabled account" in imported(file).stdout
    else:
        assert "bob@example.org" in addresses(imported(file)) and "left@example.org" not in imported(file).stdout


def test_half_a_table_makes_nobody_unknown(tmp_path):
    """The export is still being written, or its disk was full: nothing is printed, whatever octet it ends at."""
    file = tmp_path / "recipients.csv"
    text = '"PrimarySmtpAddress","Alias"\n"alice@example.org","alice"\n"bob@example.org","bob"\n'
    for cut in range(len(text) - len('"bob@example.org","bob"\n') + 1, len(text) - 1):
        file.write_text(text[:cut])
        done = imported(file)
        whole = cut >= text.rindex('"bob"') and text[:cut].count('"') % 2 == 0
        assert (done.returncode == 0) == whole, (cut, text[:cut], done.stdout)
        assert whole or done.stdout == "", done.stdout
    file.write_text(text + '"carol@example.org","carol","a column too many"\n')
    done = imported(file)
    assert done.returncode == 1 and "line 4" in done.stderr and done.stdout == ""
    file.write_text('"PrimarySmtpAddress","Alias"\n')
    assert imported(file).returncode == 1


def test_what_is_printed_is_a_file_that_mired_takes(mired, tmp_path):
    file = tmp_path / "recipients.csv"
    file.write_text(EXCHANGE.replace("example.org", "example.test") + '"büro@example.test","SMTP:a b@example.test","x"\n')
    m = mired(tarpit="time = 0", recipients=["x@example.test"])
    m.recipients.write_text(imported(file).stdout)
    assert m.control("reload").returncode == 0
    for who, result in (("alice@example.test", "taken"), ("sales@example.test", "taken"), ("x@example.test", "unknown")):
        until(lambda: result in m.control("recipient", who).stdout)  # an earlier clerk may answer yet
