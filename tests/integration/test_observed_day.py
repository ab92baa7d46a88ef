"""P7: a day of mixed traffic hears from a mired that observes what it hears from one without a tarpit."""

import concurrent.futures
import json
import statistics

import pytest

from lib import ports, traffic
from lib.certificates import Authority
from lib.scripted import Scripted


def content(verb, argument, session):
    """A backend that refuses some content, and some recipients that the directory knows."""
    if verb == "." and session.sender and "@d3.test" in session.sender:
        return "554 5.7.1 it looks like spam"
    return None


@pytest.fixture
def start(mired, tmp_path):
    certificate, key = Authority(tmp_path).issue("mx.example.test")
    backends = []

    def one(tarpit):
        backends.append(Scripted(content))
        quoted = ", ".join(f'"{t}"' for t in traffic.TRAPS)
        return mired(
            tarpit=f"{tarpit} traps = {{ {quoted} }}",
            backend=backends[-1].block,
            recipients=traffic.PEOPLE,
            passwords={traffic.USER: traffic.PASSWORD},
            config=f'timeout = {traffic.IDLE}s suspect = {{ "{traffic.SUSPECTS}" }} size_max = 1M\n'
            f'tls {{ certificate = "{certificate}" key = "{key}" }}',
        )

    yield one
    for b in backends:
        b.stop()


def compare(start, seed, count, seconds, rules):
    plan = traffic.day(seed, count, seconds, [ports.stranger() for _ in range(12)])
    servers = {"observed": start(f"observe = true {rules}"), "off": start("time = 0")}
    with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:  # the same noise for both
        heard = dict(zip(servers, pool.map(lambda m: traffic.play(m, plan), servers.values())))
    took = {name: [h.seconds for talk in talks for h in talk] for name, talks in heard.items()}
    for name, m in servers.items():
        assert "why=masked" not in m.log.text and "why=shield" not in m.log.text
        assert "make room" not in m.log.text and "evicted" not in m.log.text
        if name == "observed":
            report = json.loads(m.control("observe", "--json").stdout)
            assert report["observing"] and report["replies"] > count / 2 and report["untold"] > 0  # there was much to do
            print("observed:", report["replies"], "replies,", report["seconds"], "s,", report["untold"], "untold")
    for event, seen, plain in zip(plan, heard["observed"], heard["off"]):
        assert [h.text for h in seen] == [h.text for h in plain], event
    # Within noise: what idle clients hear comes after `timeout`, all else at once. A pause of the machine is not counted
    # among the former unless it takes as long.
    slow = {name: sorted(t for t in times if t > 0.9 * traffic.IDLE) for name, times in took.items()}
    assert len(slow["observed"]) == len(slow["off"])
    assert all(abs(a - b) < traffic.IDLE / 2 for a, b in zip(slow["observed"], slow["off"])), slow
    quick = {name: [t for t in times if t <= 0.9 * traffic.IDLE] for name, times in took.items()}
    middle = {name: statistics.median(times) for name, times in quick.items()}
    print("median seconds of a reply:", middle, "of", {n: len(t) for n, t in quick.items()})
    assert middle["observed"] < 0.3 + 2 * middle["off"]  # a hold would take half a second


@pytest.mark.alone
def test_p7_a_short_day_hears_the_same_octets_at_the_same_times(start):
    compare(start, seed=1, count=160, seconds=6, rules="time = 500ms max = 1s")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 5))
def test_p7_a_long_day_hears_the_same_octets_at_the_same_times(start, seed):
    compare(start, seed=seed, count=3000, seconds=120, rules="time = 5s max = 20s")
