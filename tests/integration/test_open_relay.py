"""Open relay: the classic probes and every mix of them, through every listener and before every kind of server.

lib/recipes.py has a list of single probes, which test_relaying.py uses; here the forms are combined."""

import itertools
import random
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from lib import ports
from lib.behind import NAMES, Behind
from lib.certificates import Authority
from lib.mired import PEOPLE
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


def mixes():
    return [around.format(local + host) for local, host, around in itertools.product(LOCALS, HOSTS, AROUND)]


def may_be_taken(address):
    """It leads to a person of ours: RFC 5321 (appendix C) has source routes ignored, and a last dot changes no domain."""
    plain = re.sub(r"^<(@[a-z.]+(,@[a-z.]+)*:)?(.*)>$", r"\3", address)
    return plain.lower().removesuffix(".") in PEOPLE


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


def none_leads_out(taken):
    """And the probes do get as far as the recipient: where one leads to a person of ours, it is taken."""
    out = [address for address in taken if not may_be_taken(address)]
    assert not out, out[:20]
    assert "<alice@example.test>" in taken


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
    m.ports = {"mx": m.port, "submission": m.submission, "front": front}
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


def test_nmap_finds_no_open_relay(listeners):
    nmap = shutil.which("nmap")
    if not nmap:
        pytest.skip("nmap is not installed")
    for name in ("mx", "submission"):
        done = subprocess.run(
            [nmap, "-Pn", "-n", "-sT", "-p", str(listeners.ports[name]), "--script", "+smtp-open-relay", "--script-args",
             "smtp-open-relay.domain=mx.example.test,smtp-open-relay.from=antispam,smtp-open-relay.to=joe", "127.0.0.1"],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        print(done.stdout)
        assert "smtp-open-relay:" in done.stdout
        assert "open relay (" not in done.stdout
