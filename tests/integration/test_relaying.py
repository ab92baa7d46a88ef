"""Who may send where: the classic probes for open relays through mired, before each real server of a recipe."""

import json
import subprocess

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.mired import PEOPLE, PROGRAM
from lib.receivers import Receiver
from lib.recipes import PROBES, ask, block, configured, recipes_postfix, relays_nothing
from lib.scripted import Scripted
from lib.smtp import Client

STOCK = """
mydestination = example.test
virtual_mailbox_domains =
local_recipient_maps = $virtual_mailbox_maps
local_transport = virtual
relayhost = [127.0.0.1]:1
"""


def backend_section(port):
    return f'backend "smtp://127.0.0.1:{port}" {{ }}\nrecipients "backend" {{ }}'


def test_before_a_stock_postfix_that_trusts_this_machine(mired, postfix):
    """field notes 24: Postfix rewrites such addresses, and relays for 127.0.0.1."""
    behind = postfix(extra=STOCK)
    with Client(behind.port, source="127.0.0.1") as client:  # it would send them on: that is what mired must keep
        client.ehlo()
        probes = ["joe%evil.test@example.test", "evil.test!joe@example.test", '"joe@evil.test"@example.test']
        assert [r.code for r in client.envelope("a@b.test", probes)] == [250, 250, 250]
    m = mired(tarpit="time = 0", recipients=None, backend="", config=backend_section(behind.port))
    relays_nothing(m)
    assert "evil.test" not in "".join(line for line in behind.log.splitlines() if "to=<" in line)
    said = json.loads(m.control("--json", "recipient", "joe%evil.test@example.test").stdout)
    assert said["result"] == "relaying denied"


def test_before_the_recipes_postfix(mired, postfix):
    behind = recipes_postfix(postfix, STOCK)
    relays_nothing(configured(mired, "postfix", {"127.0.0.1:10025": f"127.0.0.1:{behind.port}"}, tarpit="time = 0"))


@pytest.fixture
def receiver():
    started = []

    def start(*what, **options):
        started.append(Receiver(*what, **options))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()
        server.remove()


@pytest.mark.parametrize(
    "recipe, kind, part",
    [("exim", "exim-heavy", "exim.conf"), ("opensmtpd", "opensmtpd", "smtpd.conf"), ("sendmail", "sendmail", "sendmail.mc")],
)
def test_before_the_recipes_exim_opensmtpd_and_sendmail(mired, receiver, recipe, kind, part):
    behind = receiver(kind, block(recipe, part), greets=recipe == "sendmail")
    relays_nothing(configured(mired, recipe, {"127.0.0.1:10025": f"127.0.0.1:{behind.port}"}, tarpit="time = 0"))


def test_before_dovecot(mired):
    dovecot = Dovecot()
    dovecot.start()
    try:
        section = f'backend "lmtp:{dovecot.lmtp}" {{ }}\nrecipients "backend" {{ }}'
        relays_nothing(mired(tarpit="time = 0", recipients=None, backend="", config=section))
    finally:
        dovecot.stop()
        dovecot.remove()


@pytest.mark.parametrize("recipients", [PEOPLE, ("@example.test",), None])
def test_before_the_built_in_store_with_a_file_and_without(mired, recipients):
    relays_nothing(mired(tarpit="time = 0", recipients=recipients))


def test_a_route_that_a_file_names_is_a_recipient(mired):
    """field notes 24: an exact line is enough, and `@domain` or the address without its tag is not."""
    named = ("joe%evil.test@example.test", "uucp!joe@example.test", '"joe@evil.test"@example.test', "@example.test")
    m = mired(tarpit="time = 0", recipients=named)
    for address in named[:3]:
        assert ask(m, f"<{address}>").code == 250, address
    assert "relaying denied" in ask(m, "<eve%evil.test@example.test>")
    assert "relaying denied" in ask(m, "<joe%evil.test+tag@example.test>")
    assert ask(m, "<eve@example.test>").code == 250


def test_a_file_beside_the_backend_does_not_let_routes_through_to_it(mired, postfix):
    behind = postfix(extra=STOCK)
    m = mired(tarpit="time = 0", recipients=("uucp!joe@example.test",), backend="", config=backend_section(behind.port))
    assert ask(m, "<uucp!joe@example.test>").code == 250
    assert "relaying denied" in ask(m, "<joe%evil.test@example.test>")


def test_routing_addresses_are_the_backends_business_where_that_is_wanted(mired, postfix):
    behind = postfix(extra=STOCK)
    section = "routing_addresses = true\n" + backend_section(behind.port)
    m = mired(tarpit="time = 0", recipients=None, backend="", config=section)
    assert ask(m, "<joe%evil.test@example.test>").code == 250


def test_a_relay_probe_is_booked_as_one(mired):
    m = mired(tarpit="time = 1s growth = 1")
    with Client(m.port) as client:
        client.ehlo()
        reply = client.envelope("a@b.test", ["joe%evil.test@example.test"])[0]
        assert reply.code == 550 and reply.seconds >= 0.99


# ---- own machines (field notes 14) ----

OWN = "127.66.7.0/24"


def test_own_machines_send_anywhere_that_the_backend_takes_and_others_do_not(mired):
    with Scripted(lambda *_: None) as backend:
        m = mired(tarpit="time = 0", config=f'relay = {{ "{OWN}" }}', backend=backend.block)
        for source, code in (("127.66.7.9", 250), ("127.66.8.9", 550)):
            with Client(m.port, source=source) as client:
                client.ehlo()
                people = ["joe@elsewhere.test", "alice@example.test", "nobody@example.test"]
                assert [r.code for r in client.envelope("printer@example.test", people)] == [code, 250, 550], source
        assert "relaying denied" in ask(m, "<joe@elsewhere.test>")


def test_own_machines_hear_at_once_that_the_built_in_store_sends_nothing_on(mired):
    m = mired(tarpit="time = 1s", config=f'relay = {{ "{OWN}" }}')
    with Client(m.port, source="127.66.7.9") as client:
        client.ehlo()
        for reply in client.envelope("printer@example.test", ["joe@elsewhere.test"]):
            assert reply.code == 550 and "5.1.2" in reply, reply
    assert m.held("127.66.7.9") == 0


def test_a_printers_mail_goes_out_by_the_postfix_behind(mired, postfix):
    """With XCLIENT Postfix must have the network in its mynetworks too; then its own rules let it pass."""
    out = "relayhost = [127.0.0.1]:1\n"
    behind = recipes_postfix(postfix, out + f"mynetworks = {OWN}\n")
    m = configured(
        mired, "postfix", {"127.0.0.1:10025": f"127.0.0.1:{behind.port}", "recipients": f'relay = {{ "{OWN}" }}\nrecipients'}, tarpit="time = 0"
    )
    with Client(m.port, source="127.66.7.9") as client:
        client.ehlo("printer")
        assert client.message("printer@example.test", "joe@elsewhere.test").code == 250
    behind.wait_log(r"to=<joe@elsewhere\.test>, .*status=deferred")


def test_what_the_backend_does_not_relay_is_put_off_and_no_offence(mired, postfix):
    behind = recipes_postfix(postfix, "mynetworks = 127.0.0.1\n")
    m = configured(
        mired, "postfix", {"127.0.0.1:10025": f"127.0.0.1:{behind.port}", "recipients": f'relay = {{ "{OWN}" }}\nrecipients'}, tarpit="time = 1s"
    )
    with Client(m.port, source="127.66.7.9") as client:
        client.ehlo("printer")
        reply = client.message("printer@example.test", "joe@elsewhere.test")
        assert reply.code >= 400
        assert "elsewhere" not in "".join(line for line in behind.log.splitlines() if "to=<" in line and "status=" in line)


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "::/0", "64.0.0.0/2", "2000::/3"])
def test_all_the_world_in_relay_is_an_error(mired, tmp_path, wide):
    m = mired(tarpit="time = 0")
    m.file.write_text(m.file.read_text() + f'relay = {{ "{wide}" }}\n')
    done = subprocess.run([PROGRAM, "-c", m.file, "-t", "--quick"], capture_output=True, text=True)
    assert done.returncode == 1 and "would let strangers send anywhere" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "network, wide",
    [("8.0.0.0/8", True), ("100.64.0.0/10", True), ("198.50.0.0/15", True), ("2001:db00::/24", True), ("172.0.0.0/8", True)]
    + [("10.0.0.0/8", False), ("172.16.0.0/12", False), ("198.51.0.0/16", False), ("fc00::/7", False), ("2001:db8::/32", False)],
)
def test_a_wide_public_network_in_relay_is_a_warning(mired, network, wide):
    m = mired(tarpit="time = 0")
    m.file.write_text(m.file.read_text() + f'relay = {{ "{network}" }}\n')
    done = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True)
    assert done.returncode == 0
    assert ("warning" in done.stderr and "is a wide public network" in done.stderr) == wide, done.stderr


def test_exempt_is_no_permission_to_relay(mired):
    m = mired(tarpit="time = 0", config=f'exempt = {{ "{OWN}" }}')
    with Client(m.port, source="127.66.7.9") as client:
        client.ehlo()
        assert client.envelope("a@b.test", ["joe@elsewhere.test"])[0].code == 550


def test_own_machines_are_no_way_around_the_routes_that_a_backend_reads(mired, postfix):
    """A printer may name any domain. An address of ours that means another domain is refused as it is from anybody."""
    behind = postfix(extra=STOCK)
    m = mired(tarpit="time = 0", config=f'relay = {{ "{OWN}" }}', backend=f'backend "smtp://127.0.0.1:{behind.port}" {{ }}')
    for probe in PROBES[2:21]:
        with Client(m.port, source="127.66.7.9") as client:
            client.ehlo()
            client.must("MAIL FROM:<printer@example.test>")
            reply = client.say(f"RCPT TO:{probe}")
            assert reply.code == 550 and "relaying denied" in reply, probe


# Own machines, and addresses that only carry theirs: 6to4, Teredo, IPv4-compatible, a foreign NAT64's. The prefix
# 64:ff9b::/96 is not routed in the Internet: the site's own translator has written it, in place of the client's address.
BEHIND = [
    ("TCP4", "198.51.100.7", 250),
    ("TCP6", "::ffff:198.51.100.7", 250),
    ("TCP4", "198.51.101.7", 550),
    ("TCP6", "64:ff9b::198.51.100.7", 250),
    ("TCP6", "64:ff9b::198.51.101.7", 550),
    ("TCP6", "64:ff9b:1::198.51.100.7", 550),
    ("TCP6", "2002:c633:6407::1", 550),
    ("TCP6", "2001:0:c633:6407::1", 550),
    ("TCP6", "::198.51.100.7", 550),
    ("TCP6", "2001:db8:5::7", 250),
    ("TCP6", "2001:db8:6::7", 550),
]


@pytest.mark.parametrize("family, address, code", BEHIND)
def test_behind_a_balancer_it_is_the_clients_address_that_may_relay(mired, family, address, code):
    front = ports.free()
    server = "192.0.2.1" if family == "TCP4" else "2001:db8::1"
    header = f"PROXY {family} {address} {server} 4000 25\r\n"
    with Scripted(lambda *_: None) as backend:
        mired(
            tarpit="time = 0",
            config='relay = { "198.51.100.0/24", "2001:db8:5::/48", "127.66.9.0/24" }\n'
            f'listen "127.0.0.1:{front}" {{ proxy_protocol = {{ "127.66.9.0/24" }} }}',
            backend=backend.block,
        )
        with Client(front, source="127.66.9.1", greet=False) as client:
            client.send(header)
            assert client.reply().code == 220
            client.ehlo()
            assert client.envelope("printer@example.test", ["joe@elsewhere.test"])[0].code == code


def test_a_header_of_somebody_else_gives_no_permission(mired):
    m = mired(tarpit="time = 0", config='relay = { "198.51.100.0/24" }')
    with Client(m.port, source="127.66.8.1") as client:
        assert client.say("PROXY TCP4 198.51.100.7 192.0.2.1 4000 25").code == 500
        client.ehlo()
        assert client.envelope("printer@example.test", ["joe@elsewhere.test"])[0].code == 550
