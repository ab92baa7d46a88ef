"""Floods: what many connections of each hostile kind cost. Good mail passes beside them, memory stays bounded, and the log
has few lines."""

import collections
import json
import resource
import statistics
import time

import pytest

from lib import ports, processes, scrape
from lib.certificates import Authority
from lib.floods import HALF_OPEN, KINDS, Flood
from lib.load import Load
from lib.mired import SANITIZED
from lib.smtp import deliver
from lib.waiting import until

MB = 1 << 20
# Octets of private memory that a connection may cost while it floods, beside 2 MB for all; messages have 32 MB in memory.
# Those that read nothing have an envelope of 1,000 recipients each.
# OpenSSL has state for whoever has said a whole ClientHello, and for nobody else.
COST = {
    "handshake": 2 << 10,
    "hello": 64 << 10,
    "commands": 2 << 10,
    "proxy": 2 << 10,
    "window": 40 << 10,
    "recipients": 12 << 10,
    "storm": 4 << 10,
}
USUAL = 16 << 10


@pytest.fixture
def flooded(mired, tmp_path):
    """flooded(limit) starts a mired, with .target of each kind of flood."""
    certificate, key = Authority(tmp_path).issue("mx.example.test")
    implicit, front = ports.free(), ports.free()

    def start(connections, web=None, **options):
        page = f'web {{ listen = "127.0.0.1:{web}" }}' if web else ""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, connections + 2000)), hard))
        m = mired(
            config=f"""spool_memory = 32M
                tls {{ certificate = "{certificate}" key = "{key}" }}
                listen "127.0.0.1:{implicit}" {{ tls = implicit }}
                listen "127.0.0.1:{front}" {{ proxy_protocol = {{ "127.66.9.0/24" }} }}
                {page}""",
            **{"tarpit": "time = 1s", "workers": 1, **options},
        )
        m.front = front
        m.target = {
            **dict.fromkeys(KINDS, m.port),
            **dict.fromkeys(HALF_OPEN, f"{implicit},{m.port}"),
            "proxy": front,
        }
        return m

    return start


def memory(m):
    """Of all its processes: the master too, and whatever it has started."""
    return sum(map(processes.private_bytes, (m.pid, *processes.children(m.pid))))


def status(m, what):
    return json.loads(m.control("--json", "status").stdout)[what]


def shaking(m):
    """How many connections are in their handshakes: those that are listed, and more."""
    found = json.loads(m.control("--json", "connections", "--phase", "handshake").stdout)
    return len(found["connections"]) + found["more"]


def good_mail(m):
    """At a fixed rate: the messages that are taken, those that are not, and the time of the slowest hundredth in ms."""
    load = Load(m.port, "alice@example.test", 100, 5)
    load.run()
    return load.sum("taken"), load.sum("errors") + load.sum("broken"), load.median("p99_ms")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_costs_little_memory_and_few_lines_and_good_mail_passes(flooded, kind):
    count = 40 if kind in ("giant", "headers") else 300
    m = flooded(count)
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250
    came = status(m, "connections")
    before, lines, begun = memory(m), m.log.mark(), time.monotonic()
    flood = Flood(kind, count, m.target[kind], 200).wait_open()
    peak = 0
    for _ in range(30):
        assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250
        peak = max(peak, memory(m))
    if kind in HALF_OPEN:
        until(lambda: shaking(m) == count)
    if kind == "storm":
        until(lambda: status(m, "connections") - came > 20 * count)
        peak = max(peak, memory(m))
    held = collections.Counter(recipients=count)  # a held client that has more to say is asked when its reply is due
    told = flood.end()
    if kind in HALF_OPEN:
        assert told == {"ended": 0, "open": count}
    if kind == "storm":
        assert told["open"] == count  # it went on until here
    new = m.log.mark() - lines - 90  # each good message has three
    each = max(0, peak - before) / count
    print(f"{kind}: {count} connections, {status(m, 'connections') - came - 30} in all, {told}; {each:.0f} octets each, {new} lines")
    # A sanitizer keeps what is freed.
    assert SANITIZED or peak - before < 2 * MB + count * COST.get(kind, USUAL) + (32 * MB if kind in ("data", "headers") else 0)
    # worker/ration.h: of strangers 400 at once, then 80 each second. A storm has more connections than that.
    most, pace = (500, 100) if kind == "storm" else (3 * count + 100, 200)
    assert new < most + pace * (time.monotonic() - begun)
    until(lambda: status(m, "open") <= held[kind])


@pytest.mark.parametrize("kind, most", [("junk", 100), ("transactions", 90 * 3 + 2)])
def test_commands_without_mail_are_answered_up_to_a_limit(flooded, kind, most):
    """What a worker does for such a client is bounded: replies are counted, not timed."""
    count = 300
    web = ports.free()
    m = flooded(count, web=web)
    flood = Flood(kind, count, m.port, 200).wait_open()
    until(lambda: scrape.samples(web).get('mired_sessions_total{result="too many commands"}', 0) == count)
    told = flood.end()
    now = scrape.samples(web)
    print(f"{kind}: {count} connections, {told}")
    assert now['mired_replies_total{class="4xx"}'] == count
    assert now['mired_replies_total{class="2xx"}'] <= count * (1 + 1 + most)  # the greeting, the first EHLO
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250


def test_many_addresses_cost_no_memory_and_few_lines(flooded):
    strangers(flooded, 5_000)


@pytest.mark.soak
@pytest.mark.alone
def test_a_million_addresses_cost_no_memory_few_lines_and_no_good_mail(flooded):
    strangers(flooded, 1_000_000, rate=True)


def strangers(flooded, count, rate=False):
    """They come by a balancer that is trusted to name them, and each asks for somebody who is not there. With `rate` good
    mail comes at a fixed rate meanwhile, and before."""
    m = flooded(1000)
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250
    alone = [good_mail(m) for _ in range(3 if rate else 0)][1:]
    before, lines, begun = memory(m), m.log.mark(), time.monotonic()
    floods = [Flood("strangers", n * count // 2, (n + 1) * count // 2, m.front) for n in range(2)]
    good = peak = 0
    beside = []
    while any(flood.process.poll() is None for flood in floods):
        if rate:
            beside.append(good_mail(m))
        assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250
        good += 1 + (beside[-1][0] if rate else 0)
        peak = max(peak, memory(m))
    done = sum(flood.end()["done"] for flood in floods)
    seconds = time.monotonic() - begun
    new = m.log.mark() - lines - 2 * good
    print(f"{done} of {count} addresses in {seconds:.0f} s, {good} good messages; {(peak - before) / MB:.1f} MB, {new} lines")
    if rate:
        beside.pop()  # the flood ended meanwhile
        taken = [statistics.mean(run[0] for run in runs) for runs in (alone, beside)]
        print(f"good mail in 5 s: {taken[1]:.0f} of {taken[0]:.0f} messages, in the worst {min(beside)[0]}, {len(beside)} times")
        assert sum(run[1] for run in beside) == 0
        assert taken[1] >= 0.9 * taken[0]
    assert done > 0.9 * count
    assert peak - before < 64 * MB
    assert new < 2000 + 1000 * seconds  # and not two for each address
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.66.3.1").code == 250


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
def test_good_mail_from_known_clients_keeps_nine_tenths_of_its_throughput(flooded, kind):
    """A fixed rate that the machine can do: without the flood, then with it, in one run. The flood goes on all the time."""
    count = 200 if kind in ("giant", "headers") else 3000
    m = flooded(count, workers=2)

    good_mail(m)
    alone = good_mail(m)
    flood = Flood(kind, count, m.target[kind], 300, "again").wait_open()
    if kind in ("window", "chunks"):
        until(lambda: good_mail(m)[0] > alone[0] / 2, 120)  # what came at once is being answered
    before = flood.so_far()
    beside = good_mail(m)
    told = flood.so_far()
    flood.end()
    does = {what: told[what] - before.get(what, 0) for what in told}
    print(
        f"{kind}: {count} connections, {before} and then {does}: "
        f"good mail {beside[0]} of {alone[0]} messages, p99 {beside[2]:.0f} of {alone[2]:.0f} ms"
    )
    # All of them stay, or one that ends is followed by another one.
    assert min(before["open"], told["open"]) > 0.9 * count or does["connections"] > count
    if kind not in ("hello", "window"):  # these only stay
        assert does["sent"] + does["heard"] + does["connections"] > count
    assert beside[1] == 0
    assert beside[0] >= 0.9 * alone[0]
