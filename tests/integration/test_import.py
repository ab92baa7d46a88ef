"""mirectl import: what others call it, as lines of mired.conf that mired takes."""

import getpass
import json
import shutil
import subprocess

import pytest

from lib.mired import CONTROL, PROGRAM, SOURCE
from lib.waiting import PATIENCE

REGISTRY = (
    'Windows Registry Editor Version 5.00\r\n\r\n'
    '[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\SMTPSVC\\Parameters]\r\n"TarpitTime"=dword:00000014\r\n'
)
EXCHANGE = """
Identity         : EX1\\Default Frontend EX1
AuthMechanism    : Tls, Integrated, BasicAuth, BasicAuthRequireTLS
RemoteIPRanges   : {10.1.0.0/16, 192.168.0.7, 172.16.0.1-172.16.0.9}
TarpitInterval   : 00:00:05
"""
POSTFIX = """
message_size_limit = 10240000
mydestination = $myhostname, example.org, localhost
myhostname = mx1.example.org
mynetworks = 127.0.0.0/8 [::1]/128, 10.0.0.0/8 cidr:/etc/postfix/more
recipient_delimiter = +-
relay_recipient_maps = hash:/etc/postfix/relay_recipients
smtpd_error_sleep_time = 15s
"""


def imported(folder, octets, *options):
    file = folder / "other"
    file.write_bytes(octets)
    return subprocess.run([CONTROL, *options, "import", file], capture_output=True, text=True, timeout=PATIENCE)


def is_taken(folder, lines):
    """mired -t likes them, with what they lack."""
    more = "" if "\ndomains =" in lines else 'domains = { "example.org" }\n'
    for section in ("listen", "backend"):
        assert f"\n{section} " in f"\n{lines}", f"without a {section} it is not complete"
    (folder / "mired.conf").write_text(f'{more}user = "{getpass.getuser()}"\nstate = "{folder}/s"\nrun = "{folder}/r"\n{lines}')
    done = subprocess.run([PROGRAM, "-c", folder / "mired.conf", "-t"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr + lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "ascii"])
def test_a_registry_export_in_any_encoding(tmp_path, encoding):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    done = imported(tmp_path, mark + REGISTRY.encode(encoding))
    assert done.returncode == 0 and "time = 20s" in done.stdout, done.stderr
    is_taken(tmp_path, done.stdout)


@pytest.mark.parametrize("hexadecimal,line", [("00000000", "time = 0 "), ("00000078", "time = 120s  max = 120s"), ("00000258", "time = 285s")])
def test_every_tarpit_time_becomes_one_that_senders_bear(tmp_path, hexadecimal, line):
    done = imported(tmp_path, REGISTRY.replace("00000014", hexadecimal).encode())
    assert line in done.stdout
    is_taken(tmp_path, done.stdout)


def test_an_exchange_connector(tmp_path):
    done = imported(tmp_path, EXCHANGE.encode())
    assert "time = 5s" in done.stdout
    assert 'exempt = { "10.1.0.0/16", "192.168.0.7/32" }' in done.stdout or 'exempt = { "10.1.0.0/16", "192.168.0.7" }' in done.stdout
    assert "not added to exempt: 172.16.0.1-172.16.0.9" in done.stdout and 'auth "backend"' in done.stdout
    is_taken(tmp_path, done.stdout)


def test_exchanges_trusted_connectors_may_relay(tmp_path):
    """field notes 14"""
    done = imported(tmp_path, EXCHANGE.replace("BasicAuth,", "ExternalAuthoritative,").encode())
    assert 'relay = { "10.1.0.0/16", "192.168.0.7' in done.stdout, done.stdout
    is_taken(tmp_path, done.stdout)
    done = imported(tmp_path, EXCHANGE.encode())
    assert "relay =" not in done.stdout and "ms-Exch-SMTP-Accept-Any-Recipient" in done.stdout


def relay_list(*groups, deny=False):
    """RelayIpList as Windows' SMTP service keeps it: groups of a mask and addresses, as octets."""
    number = lambda n: n.to_bytes(4, "little")  # noqa: E731
    address = lambda text: bytes(int(part) for part in text.split("."))  # noqa: E731
    entries, elements = b"", b""
    for mask, *members in groups:
        offset = 60 + 20 * (len(groups) - 1) + 16 + len(elements)
        entries += number(2) + number(1 + len(members)) + number(4) + number(0) + number(0x80000000 + offset)
        elements += address(mask) + b"".join(map(address, members))
    may = number(len(groups)) + number(sum(len(g) - 1 for g in groups)) + entries
    offsets = [0x18, 0x20, 0x20 + len(may), 0x28 + len(may)]
    head = b"".join(number(0x80000000 + o) for o in offsets) + number(1) + number(0x4C) + bytes(8)
    return head + may + bytes(16) + elements


HOSTS = ("255.255.255.255", "127.0.0.1", "10.0.0.7")
NETWORKS = ("255.255.255.0", "192.168.1.0", "192.168.2.77")


@pytest.mark.parametrize(
    "write",
    [
        lambda b: f'<IIsSmtpServer Location="/LM/SmtpSvc/1"\r\n\tRelayForAuth="0"\r\n\tRelayIpList="{b.hex()}"\r\n>',
        lambda b: f'RelayIpList="{b.hex()[:64]}\r\n\t\t{b.hex()[64:]}"\r\nRelayForAuth="0"',
        lambda b: f"RelayIpList : {{{', '.join(map(str, b))}}}\nRelayForAuth : -1\n",
        lambda b: "RelayIpList\n" + "\n".join(map(str, b)) + "\n",
    ],
    ids=["metabase", "metabase, a long one", "Format-List", "one a line"],
)
def test_windows_relay_list_becomes_relay(tmp_path, write):
    """field notes 14"""
    octets = relay_list(HOSTS, NETWORKS)
    done = imported(tmp_path, write(octets).encode())
    assert done.returncode == 0, done.stderr
    assert 'relay = { "127.0.0.1/32", "10.0.0.7/32", "192.168.1.0/24", "192.168.2.0/24" }' in done.stdout, done.stdout
    is_taken(tmp_path, done.stdout)
    for cut in (0, 8, 40, 60, len(octets) - 1):  # half an export makes nobody a relay who is not
        lines = imported(tmp_path, write(octets[:cut]).encode()).stdout
        assert "0.0.0.0/" not in lines, lines


def test_a_relay_list_for_all_the_world_is_not_carried_over(tmp_path):
    done = imported(tmp_path, f"RelayIpList=\"{relay_list(('0.0.0.0', '0.0.0.0')).hex()}\"".encode())
    assert "relay =" not in done.stdout and "not added to exempt and relay: 0.0.0.0/0" in done.stdout
    done = imported(tmp_path, f"RelayIpList=\"{relay_list().hex()}\"".encode())
    assert "relay =" not in done.stdout and "lists no address" in done.stdout


def test_everyone_is_nobody_to_exempt(tmp_path):
    text = EXCHANGE.replace("{10.1.0.0/16, 192.168.0.7, 172.16.0.1-172.16.0.9}", "{::-ffff:ffff, 0.0.0.0-255.255.255.255}")
    assert "exempt =" not in imported(tmp_path, text.encode()).stdout


def test_a_postfix(tmp_path):
    done = imported(tmp_path, POSTFIX.encode())
    for line in ("time = 15s", '"10.0.0.0/8"', 'hostname = "mx1.example.org"',
                 'domains = { "mx1.example.org", "example.org", "localhost" }',
                 "size_max = 10240000", 'recipient_delimiter = "+-"', 'recipients "backend"'):  # fmt: skip
        assert line in done.stdout, done.stdout
    assert 'relay = { "127.0.0.0/8", "::1/128", "10.0.0.0/8" }' in done.stdout, done.stdout  # field notes 14
    assert "not added to exempt and relay: cidr:/etc/postfix/more" in done.stdout
    is_taken(tmp_path, done.stdout)


def test_what_a_real_postfix_prints(tmp_path):
    """A main.cf with names that name each other, lines that go on, TLS, Dovecot's logins and tables of all kinds."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mx1.example.org", "-days", "2",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = /var/spool/postfix
myhostname = mx1.example.org
virtual_mailbox_domains = $mydomain, ${{mydomain}}, example.com
    example.net hash:/etc/postfix/domains
mydestination = $myhostname, localhost.$mydomain, localhost
relay_domains =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
  192.0.2.0/24
virtual_mailbox_maps = socketmap:unix:/run/users.sock:people, ldap:/etc/postfix/ldap.cf
message_size_limit = 0
smtpd_error_sleep_time = 2m
smtpd_hard_error_limit = 10
smtpd_tls_cert_file = {tmp_path}/cert.pem
smtpd_tls_key_file = {tmp_path}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
""")
    text = (tmp_path / "main.cf").read_text()
    if shutil.which("postconf"):
        text = subprocess.run(["postconf", "-c", tmp_path, "-n"], capture_output=True, text=True, check=True).stdout
    done = imported(tmp_path, text.encode())
    assert done.returncode == 0, done.stderr
    for line in ("time = 120s  max = 120s", '"192.0.2.0/24"', 'hostname = "mx1.example.org"',
                 '"localhost.example.org"', '"example.org"', '"example.com", "example.net"', "size_max = 4000000000",
                 'recipients "backend"', 'recipients "socketmap" { path = "/run/users.sock"  map = "people" }',
                 'auth "backend" { }',
                 f'tls {{ certificate = "{tmp_path}/cert.pem"  key = "{tmp_path}/key.pem" }}'):  # fmt: skip
        assert line in done.stdout, done.stdout
    for note in ("hash:/etc/postfix/domains", "ldap:/etc/postfix/ldap.cf", "smtpd_hard_error_limit", "master.cf",
                 "-o smtpd_error_sleep_time=0"):
        assert any(note in line for line in done.stdout.splitlines() if line.startswith("# ")), note
    for line in done.stdout.splitlines():
        assert line.startswith("# ") or "=" in line or "{ }" in line, line
    is_taken(tmp_path, done.stdout)


@pytest.mark.parametrize(
    "path, line",
    [("private/auth", 'auth "backend" { }'),  # Postfix's folder is closed to mired's user
     ("inet:127.0.0.1:12345", 'auth "backend" { }'),
     ("/run/dovecot/auth-client", 'auth "dovecot" { path = "/run/dovecot/auth-client" }')],
)  # fmt: skip
def test_logins_work_as_they_are_carried_over(tmp_path, path, line):
    lines = f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {path}\n"
    done = imported(tmp_path, (POSTFIX + lines).encode())
    assert line in done.stdout.splitlines() and done.stdout.count("\nauth ") == 1
    assert '#   listen "0.0.0.0:587" { submission = true }' in done.stdout.splitlines()
    is_taken(tmp_path, done.stdout)


@pytest.mark.parametrize(
    "mynetworks, relay",
    [
        ("!10.0.0.5 10.0.0.0/30", '"10.0.0.0/30"'),
        ("!10.0.0.1, 10.0.0.0/30", '"10.0.0.0/32", "10.0.0.2/31"'),
        ("!10.0.0.64/26 10.0.0.0/24", '"10.0.0.0/26", "10.0.0.128/25"'),
        ("!10.0.0.0/24 10.0.0.0/25, 10.0.1.0/24", '"10.0.1.0/24"'),
        ("10.0.0.0/24 !10.0.0.5", '"10.0.0.0/24"'),  # the first that fits decides
        ("!10.0.0.0 !10.0.0.3 10.0.0.0/30", '"10.0.0.1/32", "10.0.0.2/32"'),
        ("!10.0.0.9 10.0.0.9 10.1.0.0/16", '"10.1.0.0/16"'),
        ("![2001:db8::]/33 [2001:db8::]/32", '"2001:db8:8000::/33"'),
        ("10.2.0.0/16 !cidr:/etc/postfix/not 10.0.0.0/8", '"10.2.0.0/16"'),
        ("10.2.0.0/16 !/etc/postfix/not 10.0.0.0/8", '"10.2.0.0/16"'),
    ],
)
def test_what_is_taken_out_of_mynetworks_does_not_relay(tmp_path, mynetworks, relay):
    """field notes 14: the exclusion was left out with a note, and the gateway that it named relayed."""
    done = imported(tmp_path, POSTFIX.replace("127.0.0.0/8 [::1]/128, 10.0.0.0/8 cidr:/etc/postfix/more", mynetworks).encode())
    assert f"relay = {{ {relay} }}" in done.stdout.splitlines(), done.stdout
    assert f"exempt = {{ {relay} }}" in done.stdout.splitlines(), done.stdout
    is_taken(tmp_path, done.stdout)


@pytest.mark.parametrize("protocols, listen", [("ipv4", ["0.0.0.0"]), ("ipv6", ["[::]"]), ("all", ["0.0.0.0", "[::]"]), ("ipv4, ipv6", ["0.0.0.0", "[::]"])])
def test_mired_listens_where_postfix_did(tmp_path, protocols, listen):
    """field notes 19: where IPv6 is off a listener on [::] keeps mired from starting."""
    done = imported(tmp_path, (POSTFIX + f"inet_protocols = {protocols}\n").encode())
    assert [line.split('"')[1] for line in done.stdout.splitlines() if line.startswith("listen ")] == [f"{a}:25" for a in listen]


def test_domains_in_a_table_are_still_to_be_said(tmp_path):
    done = imported(tmp_path, (POSTFIX + "virtual_mailbox_domains = mysql:/etc/postfix/domains.cf\n").encode())
    assert "not added to domains: mysql:/etc/postfix/domains.cf" in notes(done.stdout)
    assert "still missing: the domains that the tables above hold" in notes(done.stdout)
    assert "still missing" not in imported(tmp_path, POSTFIX.encode()).stdout


def test_without_mynetworks_postfix_relays_for_its_own_machine(tmp_path):
    done = imported(tmp_path, b"myhostname = mx1.example.org\nmynetworks_style = host\n")
    assert 'relay = { "127.0.0.0/8", "::1/128" }' in done.stdout.splitlines()
    is_taken(tmp_path, done.stdout)


def test_several_delays_become_the_longest(tmp_path):
    done = imported(tmp_path, (EXCHANGE + EXCHANGE.replace("00:00:05", "00:00:30").replace("EX1", "EX2")).encode())
    assert "time = 30s" in done.stdout and "time = 5s" not in done.stdout
    assert "5 s elsewhere" in done.stdout
    is_taken(tmp_path, done.stdout)


def test_what_would_break_out_of_its_line_does_not(tmp_path):
    hostile = (
        'myhostname = mx"; user = "root\n\nmynetworks = "}{ 10.0.0.0/8 # ${HOME}\n'
        'recipient_delimiter = "\\\nsmtpd_tls_cert_file = /a"b\nmydestination = a.example $(b c\r\x1b[2J\n'
    )
    done = imported(tmp_path, hostile.encode())
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\r" not in done.stdout
    is_taken(tmp_path, done.stdout)


def test_json_has_the_same_lines(tmp_path):
    done = imported(tmp_path, REGISTRY.encode("utf-16"), "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["ok"]
    assert [line["setting"] for line in result["lines"] if line["setting"]] == [
        "tarpit { time = 20s }", 'listen "0.0.0.0:25" { }', 'listen "[::]:25" { }', 'backend "smtp://127.0.0.1:10025" { }',
    ]  # fmt: skip
    assert all(line["reason"] for line in result["lines"])
    done = imported(tmp_path, b"hello\n", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["code"] == "refused"


def test_anything_else_is_refused(tmp_path):
    for octets in (b"", b"hello\n", b"\xff\xfe", bytes(range(256)) * 10):
        done = imported(tmp_path, octets)
        assert done.returncode == 1 and "expected" in done.stderr
    done = subprocess.run([CONTROL, "import", tmp_path / "nothing"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "No such file" in done.stderr
    assert subprocess.run([CONTROL, "import"], capture_output=True, timeout=PATIENCE).returncode == 2


# ---- field notes 19: each thing that is not converted is named, and what there is, is complete ----


def notes(text):
    return "\n".join(line for line in text.splitlines() if line.startswith("# "))


CARRIED = [  # (lines of main.cf, a line of mired.conf, words of a note)
    ("smtpd_recipient_restrictions = permit_mynetworks, reject_rbl_client zen.example.net=127.0.0.[2..11], reject",
     'dnsbl "zen.example.net" { reply = "127.0.0.[2..11]" }', "mired refuses no client for a list"),
    ("smtpd_client_restrictions = reject_rbl_client bl.example.net", 'dnsbl "bl.example.net" { }', "clients start with offences"),
    ("smtpd_client_restrictions = permit_dnswl_client wl.example.net=127.0.[0..255].[1..3]",
     'dnswl "wl.example.net" { reply = "127.0.[0..255].[1..3]" }', "never delayed"),
    ("smtpd_recipient_restrictions = reject_rbl_client bl.example.net=127.0.0.[9..2]", None, "the list bl.example.net=127.0.0.[9..2] is not converted"),
    ("smtpd_sender_restrictions = reject_rhsbl_sender dbl.example.net", None, "reject_rhsbl_sender dbl.example.net is not converted"),
    ("smtpd_recipient_restrictions = check_policy_service unix:private/grey", None, "Postfix keeps applying its other restrictions"),
    ("smtpd_recipient_restrictions = check_policy_service unix:private/grey", None, "put permit_mynetworks before it"),
    ("postscreen_dnsbl_sites = bl.example.net*2, wl.example.net=127.0.0.2*-4", 'dnsbl "bl.example.net" { }', "its weight is not converted"),
    ("postscreen_dnsbl_sites = bl.example.net*2, wl.example.net=127.0.0.2*-4", 'dnswl "wl.example.net" { reply = "127.0.0.2" }', "postscreen"),
    ("postscreen_greet_action = enforce", None, "remove its lines from master.cf"),
    ("postscreen_greet_wait = 6s", None, "without postscreen_greet_action it only logs"),
    ("postscreen_greet_action = enforce", "tarpit { time = 15s  greet = 6s }", "only clients that mired does not know wait"),
    ("postscreen_greet_action = drop\npostscreen_greet_wait = 11s", "tarpit { time = 15s  greet = 11s }", "exempt"),
    ("postscreen_greet_action = drop\npostscreen_greet_wait = ${stress?{2}:{7}}s", "tarpit { time = 15s  greet = 7s }", "exempt"),
    ("postscreen_greet_action = enforce\npostscreen_greet_wait = ${stress?1}${stress:4}s", "tarpit { time = 15s  greet = 4s }", ""),
    ("postscreen_greet_action = enforce\npostscreen_greet_wait = 2m", "tarpit { time = 15s  greet = 30s }", "30 s at most"),
    ("postscreen_greet_action = ignore\npostscreen_greet_wait = 9s", "tarpit { time = 15s }", "so mired has no pause either"),
    ("postscreen_greet_action = enforce\npostscreen_greet_ttl = 1d", "tarpit { time = 15s  greet = 6s }", "postscreen_greet_ttl = 1d is not converted"),
    ("smtpd_tls_chain_files = /etc/a.pem, /etc/b.pem", None, "smtpd_tls_chain_files = /etc/a.pem, /etc/b.pem is not converted"),
    ("smtpd_milters = inet:127.0.0.1:11332\nnon_smtpd_milters =", None, "not converted: smtpd_milters, non_smtpd_milters"),
    ("inet_interfaces = 192.0.2.1, [2001:db8::1]", 'listen "192.0.2.1:25" { }', ""),
    ("inet_interfaces = 192.0.2.1, [2001:db8::1]", 'listen "[2001:db8::1]:25" { }', ""),
    ("inet_interfaces = loopback-only", 'listen "127.0.0.1:25" { }', "this machine only"),
    ("inet_interfaces = mx1.example.org", 'listen "0.0.0.0:25" { }', "mx1.example.org is not converted"),
]  # fmt: skip


@pytest.mark.parametrize("lines,setting,note", CARRIED)
def test_what_a_postfix_has_is_carried_over_or_named(tmp_path, lines, setting, note):
    done = imported(tmp_path, (POSTFIX + lines + "\n").encode())
    assert done.returncode == 0, done.stderr
    if setting:
        assert setting in done.stdout.splitlines(), done.stdout
    assert note in notes(done.stdout), done.stdout
    is_taken(tmp_path, done.stdout)


def test_a_policy_service_behind_permit_mynetworks_is_fine(tmp_path):
    lines = "smtpd_recipient_restrictions = permit_mynetworks, check_policy_service unix:private/grey\n"
    assert "put permit_mynetworks" not in imported(tmp_path, (POSTFIX + lines).encode()).stdout


def test_a_single_chain_file_is_a_certificate(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mx1.example.org", "-days", "30",
         "-keyout", tmp_path / "chain.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with (tmp_path / "chain.pem").open("a") as chain:
        chain.write((tmp_path / "cert.pem").read_text())
    done = imported(tmp_path, (POSTFIX + f"smtpd_tls_chain_files = {tmp_path}/chain.pem\nsmtpd_tls_cert_file = /old.pem\n").encode())
    assert f'tls {{ certificate = "{tmp_path}/chain.pem" }}' in done.stdout and "/old.pem" not in done.stdout
    is_taken(tmp_path, done.stdout)


def test_it_says_of_master_cf_what_the_recipe_says(tmp_path):
    done = imported(tmp_path, POSTFIX.encode())
    recipe = (SOURCE / "docs" / "recipes" / "postfix.md").read_text()
    block = recipe.split("```master.cf\n")[1].split("```")[0]
    for line in block.strip().splitlines():
        assert f"#   {line}" in done.stdout.splitlines(), (line, done.stdout)
    assert 'backend "smtp://127.0.0.1:10025" { xclient = true }' in done.stdout and 'backend "smtp://127.0.0.1:10025" { xclient = true }' in recipe


def test_an_exchange_connector_is_complete(tmp_path):
    more = """
Bindings                : {0.0.0.0:25, [::]:25, 0.0.0.0:587}
Fqdn                    : ex1.example.org
MaxMessageSize          : 36 MB (37,748,736 bytes)
MaxInboundConnection    : 5000
RequireTLS              : False
"""
    done = imported(tmp_path, (EXCHANGE + more).encode())
    for line in ('listen "0.0.0.0:25" { }', 'listen "[::]:25" { }', 'backend "smtp://ex1.example.org:25" { }', "size_max = 37748736"):
        assert line in done.stdout.splitlines(), done.stdout
    for words in ("the binding 0.0.0.0:587 is not converted", "not converted: MaxInboundConnection, RequireTLS", "domains = {"):
        assert words in notes(done.stdout), done.stdout
    is_taken(tmp_path, done.stdout)
