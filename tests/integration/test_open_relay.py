"""Open relay: the classic probes and every mix of them, through every listener and before every kind of server.

lib/recipes.py has a list of single probes, which test_relaying.py uses; here the forms are combined."""

import concurrent.futures
import contextlib
import itertools
import random
import re
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from lib import ports
from lib.behind import NAMES, Behind
from lib.certificates import Authority
from lib.mired import PEOPLE
from lib.recipes import configured, recipes_postfix
from lib.sites import BackupMx, TwoDomains
from lib.smtp import Client

# A local part, what stands behind it, and what is put around it. Each mix is an address that some server reads as a
# way to joe@evil.test, or at least did so once.
LOCALS = [
    "alice", "joe", "joe%evil.test", "joe%evil.test%relay.test", "evil.test!joe", "relay.test!evil.test!joe", "joe%[192.0.2.1]",
    '"joe@evil.test"', '"joe%evil.test"', '"evil.test!joe"', '"joe\\@evil.test"', '"joe@evil.test\\""', '"<joe@evil.test>"',
    '"@relay.test:joe@evil.test"', "joe@evil.test", "joe@[192.0.2.1]", "joe=evil.test", "joe+evil.test@evil.test", "evil.test:joe",
    "alice%evil.test", "evil.test!alice", '"alice@evil.test"', "alice,joe@evil.test", "alice+x%evil.test", "postmaster%evil.test",
    "smtp:joe%evil.test", "evil.test/joe", "joe\\@evil.test", "", '""', "joe@evil.test,alice",
]  # fmt: skip
HOSTS = [
    "@example.test", "@EXAMPLE.TEST", "@example.test.", "@mx.example.test", "@localhost", "@[127.0.0.1]", "@[IPv6:::1]", "@[::1]",
    "@127.0.0.1", "@evil.test", "@example.test@evil.test", "@example.test,joe@evil.test", "@example.test%evil.test", "@.example.test",
    "@", "@evil.test.example.test", "@example.test:25", "@[192.0.2.1]", "@backend.test", "", "@xn--example.test", "@example.test\u3002",
]  # fmt: skip
AROUND = [
    "<{}>", "{}", "<@example.test:{}>", "<@evil.test:{}>", "<@example.test,@evil.test:{}>", "<<{}>>", "< {} >", "<{}> X", "<SMTP:{}>",
    "<:{}>", "(a){}", "joe <{}>", "<{}",
]  # fmt: skip
SENDERS = ["<>", "<spam@elsewhere.test>", "<alice@example.test>", "<@example.test:a@b.test>", "<root@[127.0.0.1]>", "<a@mx.example.test>"]


OURS = ["<alice@example.test>", "<@evil.test:alice@example.test>"]


def mixes(person="alice@example.test", other="relay.test"):
    """Those that try the domain of this person, and `other` as a relay on the way."""
    local, domain = person.split("@")

    def of(text):
        return text.replace("example.test", domain).replace("relay.test", other).replace("alice", local)

    return [of(around.format(who + host)) for who, host, around in itertools.product(LOCALS, HOSTS, AROUND)]


def plain(address):
    """RFC 5321 (appendix C) has source routes ignored, and a last dot changes no domain."""
    return re.sub(r"^<(@[a-z.]+(,@[a-z.]+)*:)?(.*)>$", r"\3", address).lower().removesuffix(".")


def may_be_taken(address, people=PEOPLE):
    """It leads to a person of ours."""
    return plain(address) in people


def probe(client, addresses):
    """Those of the addresses that the other side takes."""
    client.send("".join(f"RCPT TO:{address}\r\n" for address in addresses).encode())
    taken = []
    for address in addresses:
        reply = client.reply()
        assert reply.code, (address, reply)
        if reply.ok:
            taken.append(address)
    return taken


def probe_all(connect, addresses):
    """In sessions of 100 probes, each with another sender."""
    taken = []
    for n in range(0, len(addresses), 100):
        with connect() as client:
            client.ehlo()
            reply = client.say(f"MAIL FROM:{SENDERS[n // 100 % len(SENDERS)]}")
            if reply.code == 530:  # nobody sends here without a login
                assert client.say(f"RCPT TO:{addresses[n]}").code in (503, 530)
                continue
            assert reply.code == 250, reply
            taken += probe(client, addresses[n : n + 100])
    return taken


def none_leads_out(taken, people=PEOPLE, person="alice@example.test"):
    """And the probes do get as far as the recipient: where one leads to a person of ours, it is taken."""
    out = [address for address in taken if not may_be_taken(address, people)]
    assert not out, out[:20]
    assert f"<{person}>" in taken


def none(taken):
    """Without a login nothing is taken there at all."""
    assert not taken


@pytest.fixture
def behind(mired):
    started = []

    def start(name, **options):
        started.append(Behind(name, mired, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.mark.parametrize("name", NAMES)
def test_no_mix_of_routes_leads_out_through_any_server(behind, name):
    b = behind(name)
    some = OURS + random.Random(12).sample(mixes(), 800)
    none_leads_out(probe_all(lambda: Client(b.m.port), some))


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_all_mixes_of_routes_lead_out_through_no_server(behind, name):
    b = behind(name)
    none_leads_out(probe_all(lambda: Client(b.m.port), mixes()))
    print(f"{name}: {len(mixes())} addresses tried")


def test_the_probes_find_an_open_relay_where_there_is_one(behind):
    """Past mired: the recipe's Postfix trusts this machine."""
    b = behind("postfix")
    some = random.Random(12).sample(mixes(), 100)
    taken = [address for address in some if probe_all(lambda: Client(b.server.port, source="127.0.0.1"), [address])]
    assert len([address for address in taken if not may_be_taken(address)]) > 10


# ---- several domains ----


# Postfix reads routes in all its kinds of domains, and trusts this machine.
KINDS = """
mydestination = example.test
virtual_mailbox_domains =
local_recipient_maps = $virtual_mailbox_maps
local_transport = virtual
relayhost = [127.0.0.1]:1
virtual_alias_domains = virtual.test, any.test
virtual_alias_maps = inline:{ {info@virtual.test = alice@example.test}, {@any.test = alice@example.test} }
relay_domains = inner.test
relay_recipient_maps = inline:{ {kim@inner.test = x} }
transport_maps = inline:{ {inner.test = smtp:[127.0.0.1]:1} }
"""
ANY = "any.test"


class ByKind:
    """m: a mired before one Postfix with a domain of each kind; any.test takes each local part."""

    people = ["alice@example.test", "info@virtual.test", "kim@inner.test", f"alice@{ANY}"]

    def __init__(self, mired, postfix):
        self.server = recipes_postfix(postfix, KINDS)
        domains = [address.split("@")[1] for address in self.people]
        replace = {"127.0.0.1:10025": f"127.0.0.1:{self.server.port}"}
        self.m = configured(mired, "postfix", replace, tarpit="time = 0", domains=domains)

    def may_be_taken(self, address):
        """With any.test each local part is one of ours, unless a server reads a way to elsewhere in it. Postfix takes
        an empty one of a local domain for its own."""
        local, _, domain = plain(address).rpartition("@")
        if domain == ANY:
            return local == '""' or not re.search(r'[%!@:,"\\ <>]', local)
        return may_be_taken(address, [*PEOPLE, *self.people]) or (local, domain) == ('""', "example.test")


def try_pairs(m, people, may, some):
    """Each domain as the last one, with each other one as a relay before it. `some`: of each pair; 0: all."""
    tried = 0
    for person, other in itertools.permutations(people, 2):
        addresses = mixes(person, other.split("@")[1])
        if some:
            addresses = random.Random(14).sample(addresses, some)
        taken = probe_all(lambda: Client(m.port), [f"<{person}>", *addresses])
        assert f"<{person}>" in taken
        out = [address for address in taken if not may(address)]
        assert not out, (person, other, out[:20])
        tried += len(addresses)
    print(f"{tried} addresses tried")


def of_each_kind(mired, postfix, some):
    site = ByKind(mired, postfix)
    try_pairs(site.m, site.people, site.may_be_taken, some)
    assert not re.findall(r"to=<[^>]*@evil\.test>", site.server.log)  # it is not even asked


def test_no_mix_leads_out_of_local_virtual_and_relayed_domains(mired, postfix):
    of_each_kind(mired, postfix, 200)


@pytest.mark.soak
def test_all_mixes_lead_out_of_no_local_virtual_or_relayed_domain(mired, postfix):
    of_each_kind(mired, postfix, 0)


def test_such_a_postfix_without_mired_is_a_relay(mired, postfix):
    """So it is mired that keeps the mixes in."""
    site = ByKind(mired, postfix)
    for person in site.people[:3]:
        some = random.Random(14).sample(mixes(person, "virtual.test"), 100)
        taken = [a for a in some if probe_all(lambda: Client(site.server.port, source="127.0.0.1"), [a])]
        assert len([a for a in taken if not site.may_be_taken(a)]) > 5, person


def before_two_servers(mired, postfix, others, tmp_path, some):
    site = TwoDomains(mired, postfix, others, tmp_path, tarpit="time = 0")
    people = [site.ANN, site.CY]
    try_pairs(site.m, people, lambda address: may_be_taken(address, people), some)
    assert "evil.test" not in "".join(re.findall(r"to=<[^>]*>", site.at_a.log))


def test_no_mix_leads_out_between_two_domains_with_a_server_each(mired, postfix, others, tmp_path):
    before_two_servers(mired, postfix, others, tmp_path, 800)


@pytest.mark.soak
def test_all_mixes_lead_out_nowhere_between_two_domains(mired, postfix, others, tmp_path):
    before_two_servers(mired, postfix, others, tmp_path, 0)


def before_the_backup(mired, postfix, tmp_path, some):
    """The primary takes what leads to a person; while it is down the queue would keep a relayed message for days."""
    site = BackupMx(mired, postfix, tmp_path, tarpit="time = 0")
    addresses = OURS + (random.Random(14).sample(mixes(), some) if some else mixes())
    for is_up in (True, False):
        if not is_up:
            site.mx1.stop()
        none_leads_out(probe_all(lambda: Client(site.m.port), addresses))
    assert "evil.test" not in "".join(re.findall(r"to=<[^>]*>", site.queue.log + site.mx1.log))


def test_no_mix_leads_out_through_a_backup_mx(mired, postfix, tmp_path):
    before_the_backup(mired, postfix, tmp_path, 800)


@pytest.mark.soak
def test_all_mixes_lead_out_through_no_backup_mx(mired, postfix, tmp_path):
    before_the_backup(mired, postfix, tmp_path, 0)


# ---- every listener ----


class Secure(Client):
    def __init__(self, port):
        super().__init__(port, greet=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        assert self.reply().code == 220


class Balanced(Client):
    """Its header says that it comes from this machine."""

    def __init__(self, port, address):
        super().__init__(port, source="127.66.9.1", greet=False)
        self.send(f"PROXY {'TCP6' if ':' in address else 'TCP4'} {address} {address} 4000 25\r\n")
        assert self.reply().code == 220


@pytest.fixture
def listeners(mired, tmp_path):
    """Name of a listener: how to connect to it."""
    certificate, key = Authority(tmp_path).issue("mx.example.test")
    implicit, secure, front, six = (ports.free() for _ in range(4))
    m = mired(
        tarpit="time = 0",
        config=f"""tls {{ certificate = "{certificate}" key = "{key}" }}
            listen "127.0.0.1:{implicit}" {{ submission = true tls = implicit }}
            listen "127.0.0.1:{secure}" {{ tls = implicit }}
            listen "[::1]:{six}" {{ }}
            listen "127.0.0.1:{front}" {{ proxy_protocol = {{ "127.66.9.0/24" }} }}""",
    )
    m.connect = {
        "mx": lambda: Client(m.port),
        "mx from this machine": lambda: Client(m.port, source="127.0.0.1"),
        "mx over IPv6": lambda: Client(six, host="::1"),
        "mx under TLS": lambda: Secure(secure),
        "submission": lambda: Client(m.submission),
        "submission under TLS": lambda: Secure(implicit),
        "behind a balancer": lambda: Balanced(front, "127.0.0.1"),
        "behind a balancer over IPv6": lambda: Balanced(front, "::1"),
    }
    return m


def test_no_mix_of_routes_leads_out_through_any_listener(listeners):
    some = OURS + random.Random(13).sample(mixes(), 400)
    for name, connect in listeners.connect.items():
        taken = probe_all(connect, some)
        none_leads_out(taken) if "submission" not in name else none(taken)
        with connect() as client:  # and it is no other's words that make a client trusted
            client.ehlo()
            for words in ("XCLIENT ADDR=127.0.0.1 LOGIN=alice@example.test", "XFORWARD ADDR=127.0.0.1", "ETRN evil.test", "TURN", "ATRN evil.test", "VERB"):
                assert client.say(words).code in (500, 502, 503, 530), (name, words)


class Bridge:
    """A port for a program that speaks plain SMTP from this machine: it connects it with a listener in that listener's
    way, with the greeting that has been read already."""

    def __init__(self, connect):
        self.connect, self.server = connect, socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        for here in ports.accepted(self.server):
            with contextlib.suppress(OSError):  # nmap first looks whether the port is open, and resets
                there = self.connect()
                here.sendall(b"220 mx.example.test ESMTP\r\n")
                threading.Thread(target=self._copy, args=(here, there.socket), daemon=True).start()

    @staticmethod
    def _copy(here, there):
        """In one thread: TLS takes no two calls of a connection at a time."""
        with contextlib.suppress(OSError), here, there:
            while True:
                waits = hasattr(there, "pending") and there.pending()
                for one in [there] if waits else select.select([here, there], [], [])[0]:
                    octets = one.recv(65536)
                    if not octets:
                        return
                    (here if one is there else there).sendall(octets)


def nmap_says(nmap, port):
    done = subprocess.run(
        [nmap, "-Pn", "-n", "-sT", "-p", str(port), "--script", "+smtp-open-relay", "--script-args",
         "smtp-open-relay.domain=mx.example.test,smtp-open-relay.from=antispam,smtp-open-relay.to=joe", "127.0.0.1"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.stdout


def test_nmap_finds_no_open_relay(listeners):
    """Through each of the listeners at a time. nmap itself speaks neither PROXY nor TLS at such a port."""
    nmap = shutil.which("nmap")
    if not nmap:
        pytest.skip("nmap is not installed")
    bridges = {name: Bridge(connect) for name, connect in listeners.connect.items()}
    with concurrent.futures.ThreadPoolExecutor(len(bridges)) as pool:
        said = dict(zip(bridges, pool.map(lambda bridge: nmap_says(nmap, bridge.port), bridges.values())))
    for name, text in said.items():
        print(name, text)
        words = "isn't an open relay, authentication needed" if "submission" in name else "all tests failed"
        assert words in text, name
    assert len(said) == 8


def test_nmap_finds_an_open_relay_where_there_is_one(behind):
    """By the same bridge, past mired: the recipe's Postfix trusts this machine."""
    nmap = shutil.which("nmap")
    if not nmap:
        pytest.skip("nmap is not installed")
    b = behind("postfix")
    text = nmap_says(nmap, Bridge(lambda: Client(b.server.port, source="127.0.0.1")).port)
    print(text)
    assert "open relay (" in text
