"""R25: several mireds that share what they know of clients, through a real Redis."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib import netns, ports, power, processes, redis_trouble, scrape
from lib.certificates import Authority
from lib.daemon import Daemon
from lib.failing import Failing
from lib.mired import BUILD, CONTROL, SOURCE, UNDER
from lib.redis import Reader, Redis, cluster, sentinel_of
from lib.scripted import Scripted
from lib.smtp import Client, Hung, deliver, transaction
from lib.waiting import PATIENCE, until
from lib.wallclock import COMPILER, WallClock

FLAT = "growth = 1 drip = 0 patience_offences = 0 network_share = 0 "
FLEET = 'fleet {{ redis = {{ "{url}" }} name = "mx" member = "{member}" {more} }}\n'


def time_until(condition):
    """Waits until it is true; how many seconds that took."""
    begun = time.monotonic()
    until(condition)
    return time.monotonic() - begun


def up(m):
    m.log.wait("fleet: up")
    return m


@pytest.fixture
def redis():
    """redis(...) starts one; all are ended with the test."""
    started = []

    def start(*arguments, **options):
        r = Redis(*arguments, **options)
        started.append(r)
        return r.start()

    yield start
    for r in started:
        r.stop()
        r.remove()


@pytest.fixture
def fleet(mired):
    """fleet(redis, 3) starts so many members and waits until they are up."""

    def start(r, count=2, tarpit="time = 1s " + FLAT, more="", config="", wait=True, first=1, **options):
        members = []
        for i in range(count):
            web = ports.free()
            section = FLEET.format(url=r if isinstance(r, str) else r.url, member=f"mx{first + i}", more=more)
            m = mired(tarpit=tarpit, config=f'web {{ listen = {{ "127.0.0.1:{web}" }} }}\n{config}{section}', **options)
            m.web = web
            members.append(up(m) if wait else m)
        if wait:  # and until each has heard of the others
            until(lambda: all(scrape.samples(m.web)["mired_fleet_members"] >= count for m in members))
        return members

    return start


def is_up(m):
    return scrape.samples(m.web)["mired_fleet_up"] == 1


def agree(source, *members):
    """All see the same of the client, and something."""
    seen = [offences(m, source) for m in members]
    return min(seen) > 0.5 and max(seen) - min(seen) < 0.1


def number(m, source, name):
    """What that member shows of the client."""
    return json.loads(m.control("show", source, "--json").stdout).get("client", {}).get(name, 0)


def offences(m, source):
    return number(m, source, "offences")


def offend(m, source, times=1):
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        for n in range(times):
            c.say(f"RCPT TO:<nobody{n}@example.test>")


def test_a_debt_at_one_member_is_a_debt_at_all(redis, fleet):
    one, two = fleet(redis())
    source = ports.stranger()
    offend(one, source)
    took = time_until(lambda: offences(two, source) > 0.9)
    print(f"known after {took:.3f} s")
    offend(two, source)
    until(lambda: offences(one, source) > 1.8)
    until(lambda: abs(offences(one, source) - offences(two, source)) < 0.05)


def test_a_new_member_knows_a_client_in_debt_at_its_first_recipient(redis, fleet):
    """Proof 6: its ledger is empty; the key is asked for while the greeting is on its way."""
    r = redis()
    (one,) = fleet(r, 1, tarpit="time = 3s pace_after = 0 " + FLAT)
    source = ports.stranger()
    offend(one, source)
    (two,) = fleet(r, 1, tarpit="time = 3s pace_after = 0 " + FLAT, first=2)
    with Client(two.port, source=source) as c:
        c.ehlo()
        until(lambda: offences(two, source) > 0.5)  # within two round trips, unless the machine is busy
        c.must("MAIL FROM:<a@b.test>")
        assert c.say("RCPT TO:<alice@example.test>").seconds > 1.5
    with Client(two.port) as stranger:
        stranger.ehlo()
        stranger.must("MAIL FROM:<a@b.test>")
        assert stranger.say("RCPT TO:<alice@example.test>").code == 250
    assert two.held(stranger.source) == 0


def test_a_key_that_changes_often_is_written_four_times_a_second_at_most(redis, fleet):
    r = redis()
    one, two = fleet(r, tarpit="time = 10ms max = 10ms pace_after = 0 good_ratio = 0 " + FLAT)
    source, seen = ports.stranger(), 0
    begun = time.monotonic()
    with Client(one.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        while seen < 10:  # changes that the other member hears of while the key waits
            c.say(f"RCPT TO:<nobody{seen}@example.test>")
            seen += 1
            until(lambda: offences(two, source) > seen - 0.1)
    until(lambda: r.ask("EXISTS", f"mx:c{source}"))
    took = time.monotonic() - begun
    written = int(re.search(rb"cmdstat_hset:calls=(\d+)", r.ask("INFO", "commandstats")).group(1))
    keys = r.ask("DBSIZE") - 2  # not the stream, and not the fleet's key
    assert written <= keys * (took / 0.25 + 2), (written, keys, took)


def test_good_mail_at_one_member_covers_at_all(redis, fleet):
    one, two = fleet(redis())
    source = ports.stranger()
    for name in ("alice", "bob", "carol"):
        deliver(one.port, "a@b.test", [f"{name}@example.test"], source=source)
    until(lambda: number(two, source, "good") > 2.9)


def test_a_client_that_has_passed_one_greeting_passes_all(redis, fleet):
    """R22: the second member has 30 s for strangers, and none for it."""
    r = redis()
    (one,) = fleet(r, 1, tarpit="time = 1s greet = 1s max = 90s " + FLAT)
    (two,) = fleet(r, 1, tarpit="time = 1s greet = 30s max = 90s " + FLAT, first=2)
    source = ports.stranger()
    with Client(one.port, source=source) as c:
        c.ehlo()
    until(lambda: number(two, source, "passed_ms") > 0)
    with Client(two.port, source=source) as c:
        c.ehlo()
    assert scrape.samples(two.web)["mired_greeting_pauses_total"] == 0
    with pytest.raises(Hung):
        Client(two.port, source=ports.stranger(), timeout=2)


# ---- mixed answers: a retry may come to another member ----

MIXED = b"DKIM-Signature: v=1; d=b.test; b=c2lnbmVk\r\nMessage-ID: <%d@b.test>\r\nSubject: one\r\n\r\nhello\r\n"
PEOPLE = [f"{name}@example.test" for name in ("alice", "bob", "carol")]


def send(m, recipients, message):
    """One transaction; {recipient: code}, with the reply to the data for each that was taken at RCPT."""
    codes, _ = transaction(m.port, "a@b.test", recipients, message, parameters=f" SIZE={len(message)}")
    return codes


def no_to_bob(verb, argument, session):
    return "552 5.2.2 over quota" if verb == "." and "bob" in argument else None


RECORD = 23  # octets
RECORDS = 6  # alice and carol have the message, for its sender and for who has its signature; it is a mixed one, bob goes alone


def records(r, member=b"mx1"):
    """How many records of mixed answers the member has told in the stream."""
    entries = [dict(zip(fields[::2], fields[1::2])) for _, fields in r.ask("XRANGE", "mx:{mx}:stream", "-", "+")]
    return sum(len(e.get(b"d", b"")) for e in entries if e[b"m"] == member) // RECORD


def read_so_far(one, two):
    """Waits until the second member has read what the first one has written: the stream is read in order."""
    source = ports.stranger()
    offend(one, source)
    until(lambda: offences(two, source) > 0.5)


def test_a_retry_at_another_member_is_split_and_nobody_has_the_message_twice(redis, fleet):
    r = redis()
    with Scripted(no_to_bob, lmtp=True) as backend:
        one, two = fleet(r, backend=backend.block)
        message = MIXED % 1
        assert set(send(one, PEOPLE, message).values()) == {451}
        until(lambda: records(r) == RECORDS)
        read_so_far(one, two)
        told, left = {}, PEOPLE
        for _ in range(4):
            codes = send(two, left, message)
            told |= codes
            left = [to for to in left if 400 <= codes[to] < 500]
        assert [told[to] for to in PEOPLE] == [250, 552, 250]
        assert [backend.copies(to) for to in PEOPLE] == [1, 0, 1]


def test_a_new_member_takes_no_mail_before_it_has_the_key_of_the_records(redis, fleet):
    """What it records before, no other member can find. A member that had the key before does not wait."""
    r = redis()
    (one,) = fleet(r, 1)
    one.log.wait("event=ready")
    key, ready = (one.log.text.index(what) for what in ("mixed answers have the fleet's key", "event=ready"))
    assert key < ready, one.log.text
    one.stop()
    r.stop()
    one.start()
    assert deliver(one.port, "a@b.test", ["alice@example.test"]).code == 250
    assert "fleet: up" not in one.log.text


@pytest.mark.long
def test_a_member_that_starts_in_between_hears_what_was_settled(redis, fleet):
    """And Redis has lost everything meanwhile."""
    r = redis()
    with Scripted(no_to_bob, lmtp=True) as backend:
        (one,) = fleet(r, 1, backend=backend.block)
        message = MIXED % 2
        assert set(send(one, PEOPLE, message).values()) == {451}
        until(lambda: records(r) == RECORDS)
        r.ask("FLUSHALL")
        until(lambda: records(r) == RECORDS)
        (two,) = fleet(r, 1, first=2, backend=backend.block)
        until(lambda: records(r) == 2 * RECORDS)
        read_so_far(one, two)
        for _ in range(3):
            send(two, PEOPLE, message)
        assert [backend.copies(to) for to in PEOPLE] == [1, 0, 1]


def test_the_key_of_a_member_that_starts_in_an_emptied_redis_gives_way(redis, fleet):
    """Otherwise all records would have other names, and the retry would be a first try."""
    r = redis()
    with Scripted(no_to_bob, lmtp=True) as backend:
        (one,) = fleet(r, 1, backend=backend.block)
        message = MIXED % 3
        assert set(send(one, PEOPLE, message).values()) == {451}
        key = r.ask("GET", "mx:{mx}:key")[:16]
        r.ask("FLUSHALL")
        r.ask("SET", "mx:{mx}:key", b"\xff" * 24)
        until(lambda: (r.ask("GET", "mx:{mx}:key") or b"")[:16] == key)
        for _ in range(3):
            send(one, PEOPLE, message)
        assert [backend.copies(to) for to in PEOPLE] == [1, 0, 1]
        assert one.log.text.count("mixed answers have the fleet's key") == 1


# ---- R23: an account's allowance is that of the fleet ----

ACCOUNT, PASSWORD = "alice@example.test", "wonderland"
ALLOWED = "allowance { recipients_per_hour = 30  recipients_per_day = 300 }\n"


def sent_until_refused(m, source, most):
    with Client(m.submission, source=source) as c:
        c.ehlo()
        assert c.login(ACCOUNT, PASSWORD).code == 235
        for n in range(most):
            if c.message(ACCOUNT, ["bob@example.test"]).code != 250:
                return n
        return most


def used(m):
    shown = json.loads(m.control("show", ACCOUNT, "--json").stdout or "{}")
    return shown.get("account", {}).get("per_hour", {}).get("used", 0)


def test_an_account_has_one_allowance_at_all_members(redis, fleet):
    """And a member that starts later, while another one is away, knows what was sent."""
    r = redis()
    one, two = fleet(r, config=ALLOWED)
    source = ports.stranger()
    assert sent_until_refused(two, source, 0) == 0  # it has logged in there
    assert sent_until_refused(one, source, 20) == 20
    until(lambda: used(two) > 19)
    assert sent_until_refused(two, source, 20) == 10
    until(lambda: used(one) > 29)
    assert sent_until_refused(one, source, 20) <= 1
    one.stop()
    (three,) = fleet(r, 1, first=3, config=ALLOWED)
    assert sent_until_refused(three, source, 0) == 0
    until(lambda: used(three) > 28)
    assert sent_until_refused(three, source, 20) <= 2


def test_a_network_that_is_new_to_an_account_is_new_at_each_member(redis, fleet):
    """A password thief that logs in first where the account has never been gets a tenth."""
    one, two = fleet(redis(), config=ALLOWED)
    assert sent_until_refused(one, ports.stranger(), 5) == 5
    read_so_far(one, two)
    source = ports.stranger()
    assert sent_until_refused(two, source, 20) == 3


# ---- P1: the pace of one client over all members ----

PACED = "time = 1s max = 20s pace_after = 0 shield = 0 " + FLAT


def harvest(members, source, seconds, connections):
    """Asks for made-up addresses over so many connections at each member; how many verdicts were told."""
    until_time = time.monotonic() + seconds

    def one(m, n):
        told = 0
        try:
            with Client(m.port, source=source, timeout=max(0.1, until_time - time.monotonic())) as c:
                c.say("EHLO x.test")
                c.say("MAIL FROM:<a@b.test>")
                while (left := until_time - time.monotonic()) > 0:
                    c.socket.settimeout(left)
                    told += c.say(f"RCPT TO:<u{n}.{told}@example.test>").code == 550
        except (Hung, OSError):
            pass
        return told

    jobs = [(m, n) for m in members for n in range(connections)]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return sum(pool.map(lambda job: one(*job), jobs))


@pytest.mark.alone
@pytest.mark.parametrize(
    "connections, seconds", [((1, 4), 14), pytest.param((1, 34), 60, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_three_members_tell_no_more_than_one(redis, fleet, connections, seconds):
    """Proof 1: a verdict a second; each member may have told one before it hears of the others. Two clients at the same
    time, over so many connections each."""
    members = fleet(redis(), 3, tarpit=PACED)
    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        told = list(pool.map(lambda n: harvest(members, ports.stranger(), seconds, n), connections))
    print(f"{told} verdicts in {seconds} s over {connections} connections at each of 3 members")
    assert all(0.6 * seconds <= n <= 1.2 * seconds + 3 for n in told), told


# ---- Redis in trouble: each member goes on alone, and catches up within 5 s (P9) ----


def trouble(redis_away, redis_back, one, two, gone=r"fleet: Redis is away"):
    """What is booked at both members meanwhile is known to both soon after."""
    marks = [m.log.mark() for m in (one, two)]
    redis_away()
    for m, mark in zip((one, two), marks):
        m.log.wait(gone, since=mark)
    until(lambda: not is_up(one) and not is_up(two))
    sources = [ports.stranger(), ports.stranger()]
    assert deliver(one.port, "a@b.test", ["alice@example.test"]).code == 250  # with no Redis that could answer
    offend(one, sources[0])
    offend(two, sources[1])
    redis_back()
    took = time_until(lambda: is_up(one) and is_up(two))
    took += time_until(lambda: agree(sources[0], one, two) and agree(sources[1], one, two))
    print(f"up and agreed {took:.2f} s after its return")
    for m, mark in zip((one, two), marks):
        said = m.log.text.splitlines()[mark:]
        assert len([line for line in said if "fleet: Redis is away" in line]) == 1, "\n".join(said)


def test_redis_is_stopped_and_started(redis, fleet):
    r = redis()
    one, two = fleet(r)
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    trouble(r.stop, r.start, one, two)  # it has lost everything as well
    until(lambda: r.ask("HGET", f"mx:c{source}", "mx1"))


def test_redis_hangs(redis, fleet):
    r = redis()
    one, two = fleet(r)
    trouble(r.pause, r.go_on, one, two)


def test_redis_is_emptied(redis, fleet):
    """Nobody's connection breaks, and still all of it is there again within seconds."""
    r = redis()
    one, two = fleet(r)
    source, second = ports.stranger(), ports.stranger()
    offend(one, source)
    offend(two, second)
    until(lambda: agree(source, one, two) and agree(second, one, two))
    r.ask("FLUSHALL")
    took = time_until(lambda: r.ask("HGET", f"mx:c{source}", "mx1") and r.ask("HGET", f"mx:c{second}", "mx2"))
    until(lambda: r.ask("PTTL", f"mx:c{source}") > 60000)
    print(f"told again {took:.2f} s after FLUSHALL")
    until(lambda: is_up(one) and is_up(two))
    until(lambda: agree(source, one, two))
    other = ports.stranger()
    offend(two, other)
    until(lambda: agree(other, one, two))


def test_each_key_gets_a_time_to_live(redis, fleet):
    """Clients whose addresses have the last 19 bits in common, and their networks: a member that takes one for
    another believes that its key lasts long enough, and the key stays in Redis without end."""
    r = redis()
    one, two = fleet(r)
    sources = [f"127.{9 + 8 * n}.202.3" for n in range(4)]
    for source in sources:
        offend(one, source)
        until(lambda: r.ask("HGET", f"mx:c{source}", "mx1"))
    keys = [key for key in r.ask("KEYS", "mx:*") if b".202." in key]
    assert len(keys) >= len(sources)
    until(lambda: all(r.ask("PTTL", key) > 60000 for key in keys))


def test_a_key_of_another_program_does_not_stop_the_fleet(redis, fleet):
    """It is a string where mired has a hash. Its client is known through the stream, and all others as always."""
    r = redis()
    one, two = fleet(r)
    taken, other = ports.stranger(), ports.stranger()
    r.ask("SET", f"mx:c{taken}", "mine")
    offend(one, taken)
    one.log.wait(f"another kind of value at mx:c{taken}", timeout=60)
    until(lambda: agree(taken, one, two), 60)
    offend(one, other)
    until(lambda: r.ask("HGET", f"mx:c{other}", "mx1"), 60)
    until(lambda: agree(other, one, two), 60)
    offend(two, taken)
    until(lambda: agree(taken, one, two) and offences(one, taken) > 1.5, 60)
    assert r.ask("GET", f"mx:c{taken}") == b"mine"
    for m in (one, two):
        assert "Redis is away" not in m.log.text, m.log.text


def test_redis_is_full(redis, fleet):
    r = redis()
    one, two = fleet(r)
    trouble(
        lambda: r.ask("CONFIG", "SET", "maxmemory", "1000"), lambda: r.ask("CONFIG", "SET", "maxmemory", "0"), one, two
    )


def test_redis_becomes_a_replica(redis, fleet):
    """A replica is never written to, nor read: it may be far behind."""
    r, other = redis(), redis()
    one, two = fleet(r)
    trouble(
        lambda: r.ask("REPLICAOF", "127.0.0.1", other.port), lambda: r.ask("REPLICAOF", "NO", "ONE"), one, two
    )


def hangs_for(seconds):
    def hangs(r):
        steps = redis_trouble.hangs(r)
        next(steps)
        time.sleep(seconds)  # the trouble itself
        yield
        next(steps, None)

    return hangs


def passed(m):
    return scrape.samples(m.web)['mired_messages_total{result="passed"}']


@pytest.mark.parametrize(
    "fault",
    [redis_trouble.stopped, redis_trouble.emptied_twice,
     pytest.param(hangs_for(30), marks=pytest.mark.soak, id="SIGSTOP for 30 s"),
     pytest.param(redis_trouble.full, marks=pytest.mark.soak),
     pytest.param(redis_trouble.replica_of_nobody, marks=pytest.mark.soak)],
)  # fmt: skip
def test_good_mail_and_an_attack_go_on_while_redis_is_in_trouble(redis, fleet, fault):
    """Proof 2: no good message is put off, and debts that were made meanwhile count at both members soon after."""
    r = redis()
    one, two = fleet(r, tarpit="time = 1s shield = 0 held_max = 4000 " + FLAT)
    load = [
        subprocess.Popen([str(a) for a in (BUILD / "bench/holdload", "-H", "-n", 50, "-c", 10, "-t", 600, f"127.0.0.1:{m.port}")],
                         stdout=subprocess.DEVNULL)
        for m in (one, two)
    ]  # fmt: skip
    mail = subprocess.Popen(
        [str(a) for a in (BUILD / "bench/mailload", "-b", 100, "-s", 10, "-t", 600, "-a", "127.0.200.1", "-r", "alice@example.test",
                          f"127.0.0.1:{one.port}")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: passed(one) > 100)
        steps = fault(r)
        next(steps)
        before = passed(one)
        sources = [ports.stranger(), ports.stranger()]
        offend(one, sources[0])
        offend(two, sources[1])
        until(lambda: passed(one) > before + 100)
        next(steps, None)
        took = time_until(lambda: agree(sources[0], one, two) and agree(sources[1], one, two))
        print(f"agreed {took:.2f} s after its return")
    finally:
        for p in (*load, mail):
            p.terminate()
        said = json.loads(mail.communicate()[0])
        for p in load:
            p.wait()
    assert said["errors"] == said["broken"] == 0 and said["taken"] > 200, said


def test_mired_starts_without_redis_and_finds_it_later(redis, fleet):
    r = redis()
    r.stop()
    one, two = fleet(r, wait=False)
    source = ports.stranger()
    offend(one, source)
    r.start()
    up(one), up(two)

    def met():
        """If the second joined after the first had told it, it asks for the client when that comes to it."""
        with Client(two.port, source=source) as c:
            c.ehlo()
        return agree(source, one, two)

    until(met)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_new_member_starts_while_the_name_of_redis_cannot_be_looked_up(fleet, tmp_path):
    """Three name servers that do not answer. It takes mail alone, and what is asked of the fleet process is answered."""
    resolv = tmp_path / "resolv.conf"
    with contextlib.ExitStack() as stack:
        servers = [ports.stranger() for _ in range(3)]
        for server in servers:
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((server, 53))
        resolv.write_text("".join(f"nameserver {server}\n" for server in servers))
        mount = ["unshare", "-m", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh"]
        (one,) = fleet("redis://redis.nowhere.test:6379/0", 1, wait=False, prefix=mount)
        assert deliver(one.port, "a@b.test", "alice@example.test").code == 250
        assert "Redis is away" in one.control("fleet").stdout
        assert one.control("reload").returncode == 0
        one.deaths_expected = True  # it may be killed while it looks the name up


def test_the_fleet_process_dies(redis, fleet):
    r = redis()
    one, two = fleet(r)
    one.deaths_expected = True
    (pid,) = one.processes("fleet")
    mark = one.log.mark()
    one.deaths_expected = True
    os.kill(pid, signal.SIGKILL)
    source = ports.stranger()
    offend(one, source)
    one.log.wait("fleet: up", since=mark)
    until(lambda: agree(source, one, two))
    assert "calls itself" not in one.log.text, "it took the process before it for another member"


def test_two_members_of_one_name_are_an_error(redis, fleet):
    r = redis()
    (one,) = fleet(r, 1)
    (two,) = fleet(r, 1)
    for m in (one, two):
        m.log.wait("another member calls itself")


def test_processes_of_one_mired_are_not_two_members(redis, fleet):
    """At a reload the new process is up before the earlier one ends, and each hears the other."""
    (one,) = fleet(redis(), 1)
    time.sleep(5.5)  # src/fleet/receive.c: so long a process hears of the one before it
    for _ in range(3):
        assert one.control("reload").returncode == 0
    mark = one.log.mark()
    assert one.control("upgrade").returncode == 0
    one.log.wait("fleet: up", since=mark)
    assert "calls itself" not in one.log.text


def test_a_reload_goes_on_with_what_is_known(redis, fleet):
    r = redis()
    one, two = fleet(r)
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    assert two.control("reload").returncode == 0
    until(lambda: agree(source, one, two))
    two.file.write_text("\n".join(line for line in two.file.read_text().splitlines() if not line.startswith("fleet")))
    assert two.control("reload").returncode == 0
    until(lambda: offences(two, source) == 0)  # alone
    assert deliver(two.port, "a@b.test", ["alice@example.test"]).code == 250


@pytest.mark.parametrize("name", ["mx", "other"], ids=["same", "another"])
def test_a_generation_that_comes_to_nothing_leaves_the_fleet_as_it_was(redis, fleet, name):
    """Its fleet process reaches Redis long before its store cannot begin, and with the same name or another."""
    r = redis()
    one, two = fleet(r)
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    for m in one, two:
        before = m.file.read_text()
        text = before.replace('"mx.example.test"', '"other.example.test"').replace('name = "mx"', f'name = "{name}"')
        assert text != before
        m.file.write_text(text)
        with m.no_store_can_begin():
            done = m.control("reload")
            assert done.returncode == 1 and "cannot start" in done.stderr
        m.file.write_text(before)
    until(lambda: all(len(m.processes("fleet")) == 1 for m in (one, two)))
    assert agree(source, one, two)
    for teller in one, two:  # one after the other, as one that still counts may lack in what it tells
        other = ports.stranger()
        for _ in range(3):  # what was told once is told again
            offend(teller, other)
            until(lambda: agree(other, one, two))
    assert set(r.ask("KEYS", "other:*")) <= {b"other:{other}:key"}


def test_a_reload_while_redis_is_away_goes_on_with_what_is_known(redis, fleet):
    r = redis()
    one, two = fleet(r)
    source, later = ports.stranger(), ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    r.stop()
    two.log.wait("fleet: Redis is away")
    (before,) = two.processes("fleet")
    assert two.control("reload").returncode == 0
    until(lambda: before not in two.processes("fleet"))
    assert offences(two, source) > 0.5
    offend(two, later)
    r.start()
    until(lambda: agree(later, one, two) and agree(source, one, two))


def test_an_upgrade_goes_on_with_what_is_known(redis, fleet):
    """The new program's fleet process takes the table over; debts are booked and told all the time."""
    r = redis()
    one, two = fleet(r)
    source, exempted = ports.stranger(), ports.stranger()
    offend(one, source)
    assert one.control("exempt", exempted, "--for", "1h").returncode == 0
    until(lambda: agree(source, one, two) and number(two, exempted, "exempt"))
    (before,) = two.processes("fleet")
    with Mail(one, two) as mail:
        mark = two.log.mark()
        assert two.control("upgrade").returncode == 0
        two.log.wait("fleet: up", since=mark)
        until(lambda: before not in two.processes("fleet"))
        until(lambda: agree(source, one, two) and number(two, exempted, "exempt"))
        for teller, hearer in ((one, two), (two, one)):
            other = ports.stranger()
            offend(teller, other)
            until(lambda: agree(other, one, two))
    assert set(mail.codes) == {250}
    until(lambda: json.loads(one.control("fleet", "--json").stdout)["present"] == 2)
    assert one.control("release", source).returncode == 0
    until(lambda: offences(two, source) == 0)


# ---- Sentinel and Cluster ----


@pytest.fixture
def several():
    """several(things) ends them with the test."""
    kept = []

    def keep(things):
        kept.extend(things)
        return things

    yield keep
    for r in kept:
        r.stop()
        r.remove()


class Mail:
    """Good mail to members all the time, from networks of its own; what they said, and the members' notices."""

    def __init__(self, *members):
        self.members = members
        self.marks = [m.log.mark() for m in members]
        self.codes = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(m,)) for m in members]

    def _send(self, m):
        source = ports.stranger()
        while not self.ended.is_set():
            self.codes.append(deliver(m.port, "a@b.test", ["alice@example.test"], source=source).code)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        for t in self.threads:
            t.join()

    def said(self):
        """Notices of all processes since it began; neither sessions nor messages."""
        lines = [line for m, mark in zip(self.members, self.marks) for line in m.log.text.splitlines()[mark:]]
        return [line for line in lines if "event=notice" in line]


def survive(master, one, two):
    """Kills a Redis beside traffic: members go on alone, then find its successor. Returns a client that offended in
    between. Nothing else notices: all mail is taken, and the only notices are that Redis is away
    and back."""
    marks = [m.log.mark() for m in (one, two)]
    with Mail(one, two) as mail:
        until(lambda: len(mail.codes) > 10)
        master.kill()
        for m, mark in zip((one, two), marks):
            m.log.wait("fleet: Redis is away", since=mark)
        source = ports.stranger()
        offend(one, source)
        before = len(mail.codes)
        until(lambda: len(mail.codes) > before + 10)
        for m, mark in zip((one, two), marks):
            m.log.wait("fleet: up", since=mark)
        before = len(mail.codes)
        until(lambda: len(mail.codes) > before + 10)
    assert set(mail.codes) == {250}, mail.codes
    said = mail.said()
    assert len(said) >= 4 and all(re.search("fleet: (Redis is away|up)", line) for line in said), said
    return source


@pytest.mark.long
def test_sentinels_name_another_master(several, redis, fleet):
    """The master is killed, and comes back as a replica: nothing is written to it."""
    first = redis()
    second = redis(f"replicaof 127.0.0.1 {first.port}\n")
    sentinels = several([sentinel_of("mx", first.port) for _ in range(3)])
    for s in sentinels:
        s.start()
    for s in sentinels:  # each knows the replica and the two others
        until(lambda s=s: known_to(s) == (1, 2))
    urls = '", "'.join(f"redis://127.0.0.1:{s.port}/0" for s in sentinels)
    one, two = fleet(urls, more='mode = "sentinel"')
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    until(lambda: tried(second, "HGET", f"mx:c{source}", "mx1"))
    other = survive(first, one, two)
    until(lambda: agree(source, one, two) and agree(other, one, two))
    until(lambda: tried(second, "HGET", f"mx:c{other}", "mx1"))
    first.start()  # the Sentinels make it a replica
    until(lambda: (tried(first, "ROLE") or [b""])[0] == b"slave")
    third = ports.stranger()
    offend(two, third)
    until(lambda: agree(third, one, two))
    assert is_up(one) and is_up(two)


def tried(redis, *words):
    """What it says; a Redis whose role changes closes its connections."""
    try:
        return redis.ask(*words)
    except OSError:
        return None


def known_to(sentinel):
    """How many replicas and other Sentinels it knows."""
    (master,) = sentinel.ask("SENTINEL", "MASTERS")
    shown = dict(zip(master[::2], master[1::2]))
    return int(shown[b"num-slaves"]), int(shown[b"num-other-sentinels"])


class Moving:
    """A slot of a cluster on its way from one master to another."""

    def __init__(self, nodes, slot):
        self.nodes, self.slot = nodes, slot
        self.masters = [n for n in nodes if n.ask("ROLE")[0] == b"master"]
        ranges = self.masters[0].ask("CLUSTER", "SLOTS")
        ports_of = [r[2][1] for r in ranges if r[0] <= slot <= r[1]]
        (self.old,) = [n for n in self.masters if n.port in ports_of]
        self.new = next(n for n in self.masters if n is not self.old)
        self.ids = [n.ask("CLUSTER", "MYID") for n in (self.old, self.new)]

    def begin(self):
        self.new.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.ids[0])
        self.old.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.ids[1])

    def keys(self):
        """All that are there are moved."""
        for key in self.old.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 1000):
            assert self.old.ask("MIGRATE", "127.0.0.1", self.new.port, key, 0, 5000) in (b"OK", b"NOKEY")

    def end(self):
        self.keys()
        for n in [self.new, self.old, *[m for m in self.masters if m not in (self.new, self.old)]]:
            n.ask("CLUSTER", "SETSLOT", self.slot, "NODE", self.ids[1])

    def there(self, *words):
        reader = Reader(self.new.port)
        try:
            reader.ask("ASKING")
            return reader.ask(*words)
        finally:
            reader.close()


@pytest.mark.long
def test_a_cluster_moves_slots_under_the_fleet(several, fleet):
    """ASK: what is written or read while a key's slot moves goes to the slot's next node."""
    nodes = several(cluster(replicas=0))
    urls = '", "'.join(f"redis://127.0.0.1:{n.port}/0" for n in nodes[:2])
    one, two = fleet(urls, more='mode = "cluster"')
    known, fresh = ports.stranger(), ports.stranger()
    for m, source in ((one, known), (two, fresh)):  # they know all nodes, and one client each
        offend(m, ports.stranger())
    offend(one, known)
    until(lambda: agree(known, one, two))
    moves = [Moving(nodes, nodes[0].ask("CLUSTER", "KEYSLOT", f"mx:c{source}")) for source in (known, fresh)]
    for move in moves:
        move.begin()
        move.keys()
    marks = [m.log.mark() for m in (one, two)]
    offend(two, known)  # its key is at the next node already
    offend(one, fresh)  # this one would be new at the old node
    until(lambda: agree(known, one, two) and agree(fresh, one, two))
    until(lambda: moves[0].there("HGET", f"mx:c{known}", "mx2") and moves[1].there("HGET", f"mx:c{fresh}", "mx1"))
    for move, source in zip(moves, (known, fresh)):  # and they end
        until(lambda: move.there("PTTL", f"mx:c{source}") > 60000)
    (three,) = fleet(urls, 1, more='mode = "cluster"', first=3)

    def met(source):
        with Client(three.port, source=source) as c:
            c.ehlo()
        return offences(three, source) > 0.5

    until(lambda: met(known) and met(fresh))
    for move in moves:
        move.end()
    later = ports.stranger()
    for source in (known, fresh, later):
        offend(one, source)
    until(lambda: all(agree(source, one, two, three) for source in (known, fresh, later)))
    assert all(is_up(m) for m in (one, two, three))
    for m, mark in zip((one, two), marks):
        assert "fleet: Redis is away" not in "\n".join(m.log.text.splitlines()[mark:])


def test_a_cluster_moves_the_slot_of_the_stream(several, fleet):
    """The fleet is away meanwhile, mail is not, and nothing is lost."""
    nodes = several(cluster(replicas=0))
    urls = '", "'.join(f"redis://127.0.0.1:{n.port}/0" for n in nodes[:2])
    one, two = fleet(urls, more='mode = "cluster"')
    move = Moving(nodes, nodes[0].ask("CLUSTER", "KEYSLOT", "mx:{mx}:stream"))
    move.begin()
    move.keys()
    source = ports.stranger()
    until(lambda: not is_up(one) and not is_up(two))
    offend(one, source)
    assert deliver(two.port, "a@b.test", ["alice@example.test"]).code == 250
    move.end()
    until(lambda: is_up(one) and is_up(two))
    until(lambda: agree(source, one, two))


@pytest.mark.long
def test_a_cluster_loses_a_master(several, fleet):
    """Keys of all slots reach the other member; then the master of the stream is killed."""
    nodes = several(cluster())
    urls = '", "'.join(f"redis://127.0.0.1:{n.port}/0" for n in nodes[:2])
    one, two = fleet(urls, more='mode = "cluster"')
    sources = [ports.stranger() for _ in range(8)]
    for source in sources:
        offend(one, source)
    until(lambda: all(agree(source, one, two) for source in sources))
    held = [n for n in nodes if any(b"mx:c127" in k for k in n.ask("KEYS", "*"))]
    assert len(held) > 2  # several masters and their replicas
    (stream,) = [n for n in nodes if n.ask("KEYS", "mx:{mx}:stream") and n.ask("ROLE")[0] == b"master"]
    other = survive(stream, one, two)
    until(lambda: all(agree(source, one, two) for source in [*sources, other]))
    stream.start()
    until(lambda: stream.ask("ROLE")[0] == b"slave")
    third = ports.stranger()
    offend(two, third)
    until(lambda: agree(third, one, two))
    assert is_up(one) and is_up(two)


# ---- what people do and see ----


@pytest.mark.long
def test_a_release_reaches_all_members(redis, fleet):
    one, two, three = fleet(redis(), 3)
    source = ports.stranger()
    offend(one, source)
    offend(two, source)
    until(lambda: agree(source, one, two, three) and offences(three, source) > 1.5)
    done = one.control("release", source)
    assert done.returncode == 0 and "also at mx2, mx3" in done.stdout, done.stdout + done.stderr
    until(lambda: all(offences(m, source) == 0 for m in (one, two, three)))
    for writer in (one, two, three):  # and nobody brings it back
        for reader in {one, two, three} - {writer}:
            read_so_far(writer, reader)
    assert all(offences(m, source) == 0 for m in (one, two, three))


def heard_in_keys(m, *names):
    """Whether it has read shares of all these members. A new process has read none in the stream, if
    nobody books anything."""
    shown = json.loads(m.control("fleet", "--json").stdout)["members"]
    return {x["name"] for x in shown if x["shares"]} >= set(names)


def released_when_the_second_is_down(r, one, two, three):
    """Two clients of which Redis still has what the second member said; the first of them is released."""
    source, other = ports.stranger(), ports.stranger()
    offend(two, source, 3)
    offend(two, other)
    until(lambda: agree(source, one, two, three) and agree(other, one, two, three))
    until(lambda: r.ask("HGET", f"mx:c{source}", "mx2") and r.ask("HGET", f"mx:c{other}", "mx2"))
    two.stop()
    done = one.control("release", source)
    assert "also at mx3" in done.stdout + done.stderr, done.stdout + done.stderr
    return source, other


@pytest.mark.long
def test_a_release_counts_more_than_what_a_member_that_is_down_said_before(redis, fleet):
    """Redis still has its share, and a member that reads the client's key only later finds it there."""
    r = redis()
    one, two, three = fleet(r, 3)
    source, other = released_when_the_second_is_down(r, one, two, three)
    until(lambda: offences(one, source) == 0 and offences(three, source) == 0)
    three.stop()
    up(three.start())
    for client in (source, other):
        with Client(three.port, source=client) as c:
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            assert c.say("RCPT TO:<alice@example.test>").code == 250
    until(lambda: offences(three, other) > 0.5)  # it has read that key, after the other one
    assert r.ask("HGET", f"mx:c{source}", "mx2") and offences(three, source) == 0


def reloaded(m):
    (before,) = m.processes("fleet")
    assert m.control("reload").returncode == 0
    until(lambda: before not in m.processes("fleet"))


def killed(m):
    m.deaths_expected = True
    (before,) = m.processes("fleet")
    os.kill(before, signal.SIGKILL)
    until(lambda: m.processes("fleet") not in ([], [before]))


@pytest.mark.parametrize("ended", [reloaded, killed])
def test_the_next_fleet_process_knows_of_a_release(redis, fleet, ended):
    """The master has opened the table of orders before the release, and each fleet process is its child."""
    r = redis()
    one, two, three = fleet(r, 3, tarpit="time = 1s pace_after = 0 " + FLAT)
    source, other = released_when_the_second_is_down(r, one, two, three)
    for m in (one, three):  # where a person gave it, and where it came through the stream
        until(lambda: offences(m, source) == 0)
        mark = m.log.mark()
        ended(m)
        m.log.wait("fleet: up", since=mark)
        for client in (source, other):  # each makes it read the client's key
            assert deliver(m.port, "a@b.test", "alice@example.test", source=client).code == 250
        until(lambda: heard_in_keys(m, "mx2") and offences(m, other) > 0.5)
        assert r.ask("HGET", f"mx:c{source}", "mx2"), "it has nothing to read any more"
        mark = m.log.mark()
        for client in (source, other):
            assert deliver(m.port, "a@b.test", "alice@example.test", source=client).code == 250
        assert m.held(source, since=mark) == 0 < m.held(other, since=mark)
        assert offences(m, source) == 0


def test_a_release_while_redis_is_away_survives_a_restart(redis, fleet):
    """Redis still has the member's own share from before. The member finds it there, and not in its ledger."""
    r = redis()
    one, two = fleet(r)
    source, other = ports.stranger(), ports.stranger()
    offend(one, source, 3)
    offend(one, other)
    until(lambda: agree(source, one, two) and agree(other, one, two))
    until(lambda: r.ask("HGET", f"mx:c{source}", "mx1") and r.ask("HGET", f"mx:c{other}", "mx1"))
    r.pause()
    until(lambda: not is_up(one))
    done = one.control("release", source)
    assert "until Redis is back" in done.stdout + done.stderr, done.stdout + done.stderr
    one.stop()
    one.start()
    assert offences(one, source) == 0 and offences(one, other) > 0.5
    r.go_on()
    up(one)
    for client in (source, other):
        with Client(one.port, source=client) as c:
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            assert c.say("RCPT TO:<alice@example.test>").code == 250
    until(lambda: heard_in_keys(one, "mx1"))
    until(lambda: offences(two, source) == 0, 15)
    assert offences(one, source) == 0


def test_a_release_says_which_member_was_not_reached(redis, fleet):
    one, two, three = fleet(redis(), 3)
    source = ports.stranger()
    offend(one, source)
    (pid,) = two.processes("fleet")
    os.kill(pid, signal.SIGSTOP)
    try:
        done = one.control("release", source)
        assert done.returncode == 1 and "not reached: mx2" in done.stdout + done.stderr
        assert "also at mx3" in done.stdout + done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(os.geteuid() != 0 or not pathlib.Path(power.PROGRAM).exists(), reason="needs root and strace")
def test_members_that_were_not_told_are_not_said_to_have_done_it(redis, fleet, tmp_path):
    """The order finds no room on its way to the fleet process."""
    one, two = fleet(redis(), config="sandbox = false\n")  # which would not let strace fail a call
    source, other = ports.stranger(), ports.stranger()
    offend(one, source)
    assert one.control("exempt", other).returncode == 0
    until(lambda: number(two, other, "exempt"))
    (web,) = one.processes("web")
    failing = Failing(web, "sendmsg", "ENOBUFS", tmp_path, when="1+1")
    released, ended = one.control("release", source), one.control("exempt", other, "--remove")
    assert failing.end() >= 3
    missed = "the other members (No buffer space available)"
    assert released.returncode == 1 and missed in released.stderr, released
    assert ended.returncode == 1 and f"{other} is no longer exempt; not reached: {missed}" in ended.stderr, ended


def test_the_end_of_an_exemption_says_which_member_was_not_reached(redis, fleet):
    one, two, three = fleet(redis(), 3)
    source = ports.stranger()
    assert one.control("exempt", source).returncode == 0
    (pid,) = two.processes("fleet")
    os.kill(pid, signal.SIGSTOP)
    try:
        done = one.control("exempt", source, "--remove")
        assert done.returncode == 1 and "also at mx3; not reached: mx2 (no answer)" in done.stderr, done
    finally:
        os.kill(pid, signal.SIGCONT)


def account(m, name=ACCOUNT):
    return json.loads(m.control("show", name, "--json").stdout or "{}").get("account", {})


def guess(m, source, name=ACCOUNT):
    with Client(m.submission, source=source) as c:
        c.ehlo()
        assert c.login(name, "wrong").code == 535


def test_a_penalty_that_is_taken_back_leaves_what_other_members_know(redis, fleet):
    one, two = fleet(redis())
    address = ports.stranger()
    assert two.control("penalise", address, "--offences", "8").returncode == 0
    until(lambda: offences(one, address) > 7)
    for _ in range(8):  # amounts are rounded, this way or that
        assert one.control("penalise", address, "--offences", "5").returncode == 0
        assert offences(one, address) > 12
        assert one.control("penalise", address, "--undo").returncode == 0
        assert 7 < offences(one, address) < 9


@pytest.mark.long
def test_the_release_of_an_account_reaches_all_members(redis, fleet):
    """What it has sent, guesses and new networks are forgotten everywhere, and nobody brings them back."""
    one, two, three = members = fleet(redis(), 3, config=ALLOWED)
    home, thief = ports.stranger(), ports.stranger()
    assert sent_until_refused(one, home, 10) == 10
    read_so_far(one, two)
    read_so_far(one, three)
    assert sent_until_refused(two, thief, 20) == 3  # new there, although two knows no other network of it
    guess(three, ports.stranger())
    until(lambda: all(used(m) > 9 for m in (one, two)) and all(account(m).get("guesses", 0) > 0.9 for m in members))
    done = one.control("release", ACCOUNT)
    assert done.returncode == 0 and "also at mx2, mx3" in done.stdout, done.stdout + done.stderr

    def forgotten(m):
        shown = account(m)
        return not shown or (shown["per_hour"]["used"] < 0.1 and shown["new_per_day"]["used"] < 0.1 and shown["guesses"] == 0)

    until(lambda: all(forgotten(m) for m in members))
    assert account(one)["known_networks"] == 1 and account(two).get("new_networks", 0) == 0
    for writer in members:  # and nobody brings it back
        for reader in {one, two, three} - {writer}:
            read_so_far(writer, reader)
    assert all(forgotten(m) for m in members)
    assert sent_until_refused(two, thief, 20) == 3  # the thief's network is new again, not the account's first
    read_so_far(two, one)
    assert sent_until_refused(one, home, 40) == 30


def test_the_release_of_an_account_says_which_member_was_not_reached(redis, fleet):
    one, two, three = fleet(redis(), 3, config=ALLOWED)
    assert sent_until_refused(one, ports.stranger(), 1) == 1
    (pid,) = two.processes("fleet")
    os.kill(pid, signal.SIGSTOP)
    try:
        done = one.control("release", ACCOUNT)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "not reached: mx2" in said and "also at mx3" in said, said
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("ended", [reloaded, killed])
def test_the_next_fleet_process_knows_of_an_accounts_release(redis, fleet, ended):
    """mx2 refuses a second release within 15 minutes, and tells what was sent before whenever a process starts."""
    one, two = fleet(redis(), config=ALLOWED)
    home = ports.stranger()
    assert sent_until_refused(two, home, 0) == 0  # it has logged in there
    assert sent_until_refused(one, home, 1) == 1
    done = one.control("release", ACCOUNT)
    assert done.returncode == 0 and "also at mx2" in done.stdout, done.stdout + done.stderr
    assert sent_until_refused(two, home, 8) == 8
    until(lambda: used(one) > 7)
    time.sleep(1.1)  # members say in seconds when they began to count
    done = one.control("release", ACCOUNT)
    assert done.returncode == 1 and "not reached: mx2" in done.stdout + done.stderr, done.stdout + done.stderr
    until(lambda: used(one) == 0 and used(two) > 7)
    mark = one.log.mark()
    ended(one)
    one.log.wait("fleet: up", since=mark)
    assert sent_until_refused(one, home, 1) == 1  # only then its process knows the account
    assert sent_until_refused(two, home, 1) == 1
    read_so_far(two, one)
    assert used(one) < 2 and used(two) > 7


def test_a_lying_member_cannot_release_an_account_again_and_again(redis, fleet):
    """Redis' password can give that order too, so that an allowance would have no end."""
    r = redis()
    (one,) = fleet(r, 1, config=ALLOWED)
    home, other = ports.stranger(), "carol@example.test"

    def order(number, name=ACCOUNT):
        stamp = int(time.time() * 1000)
        text = f"{number:016x} release-account {stamp} {name}"
        r.ask("XADD", "mx:{mx}:stream", "*", "m", "liar", "t", stamp, "n", 0, "o", text)

    assert sent_until_refused(one, home, 8) == 8
    order(1)
    until(lambda: used(one) < 1)
    one.log.wait(f"member liar: release-account .* {ACCOUNT}")
    assert sent_until_refused(one, home, 8) == 8
    guess(one, ports.stranger(), other)
    until(lambda: used(one) > 7 and account(one, other)["guesses"] > 0.9)
    order(2)
    numbers = itertools.count(3)

    def carried_out():
        order(next(numbers), other)
        return not account(one, other).get("guesses")

    until(carried_out, every=0.05)  # a later order about another account is
    assert used(one) > 7


def test_an_exemption_reaches_all_members_and_ends_at_all(redis, fleet):
    one, two = fleet(redis())
    until(lambda: scrape.samples(one.web)["mired_fleet_members"] == 2)
    source = ports.stranger()
    done = one.control("exempt", source, "--for", "1h")
    assert done.returncode == 0 and "also at mx2" in done.stdout, done.stdout + done.stderr
    assert number(two, source, "exempt")
    done = one.control("exempt", source, "--remove")
    assert done.returncode == 0 and "no longer exempt; also at mx2" in done.stdout, done.stdout + done.stderr
    assert not number(two, source, "exempt")


def exempt(m, source):
    return bool(number(m, source, "exempt"))


def test_an_exemption_reaches_members_that_come_later(redis, fleet):
    """Those that have never been there, and one that was away when it was given or ended."""
    r = redis()
    one, two = fleet(r)
    lasting, ended = ports.stranger(), ports.stranger()
    assert one.control("exempt", lasting).returncode == 0
    assert one.control("exempt", ended, "--for", "1h").returncode == 0
    until(lambda: exempt(two, ended) and exempt(two, lasting))
    two.stop()
    done = one.control("exempt", ended, "--remove")  # which names the absent member for some seconds
    assert "is no longer exempt" in done.stdout + done.stderr, done
    (three,) = fleet(r, 1, first=3)
    until(lambda: exempt(three, lasting))
    up(two.start())
    until(lambda: not exempt(two, ended))
    assert exempt(two, lasting) and not exempt(three, ended)


def test_an_exemption_outlives_an_empty_redis_and_every_other_member(redis, fleet):
    """Each member has a copy of its own; what was exempt before there was a fleet is shared as well."""
    r = redis()
    (one,) = fleet(r, 1)
    source = ports.stranger()
    assert one.control("exempt", source, "--for", "2h").returncode == 0
    (two,) = fleet(r, 1, first=2)
    until(lambda: exempt(two, source))
    one.stop()
    r.ask("FLUSHALL")
    (three,) = fleet(r, 1, first=3)
    until(lambda: exempt(three, source))
    left = number(three, source, "exempt")
    assert left, left


def test_an_exemption_from_before_the_fleet_reaches_the_fleet(redis, fleet, mired):
    r = redis()
    alone = mired(tarpit="time = 1s " + FLAT)
    source = ports.stranger()
    assert alone.control("exempt", source).returncode == 0
    (two,) = fleet(r, 1, first=2)
    alone.file.write_text(alone.file.read_text() + FLEET.format(url=r.url, member="mx1", more=""))
    assert alone.control("reload").returncode == 0
    until(lambda: exempt(two, source))


def test_a_release_while_redis_is_away_is_carried_out_later(redis, fleet):
    r = redis()
    one, two = fleet(r)
    source = ports.stranger()
    offend(two, source)
    until(lambda: agree(source, one, two))
    r.stop()
    until(lambda: not is_up(one) and not is_up(two))
    done = one.control("release", source)
    assert "until Redis is back" in done.stdout + done.stderr, done.stdout + done.stderr
    assert offences(two, source) > 0.5
    r.start()
    until(lambda: offences(two, source) == 0 and offences(one, source) == 0)


def test_mirectl_fleet_shows_the_members(redis, fleet):
    r = redis()
    one, two = fleet(r)
    until(lambda: scrape.samples(one.web)["mired_fleet_members"] == 2)
    source = ports.stranger()
    offend(two, source)
    until(lambda: offences(one, source) > 0.5)
    shown = json.loads(one.control("fleet", "--json").stdout)
    assert shown["up"] and shown["present"] == 2 and shown["redis"] == f"127.0.0.1:{r.port}"
    assert [m["name"] for m in shown["members"]] == ["mx1", "mx2"]
    assert abs(shown["members"][1]["skew_seconds"]) < 60 and shown["members"][1]["shares"] >= 1
    assert re.search(r"^fleet +mx, up: 2 members$", one.control("status").stdout, re.M)
    assert json.loads(one.control("status", "--json").stdout)["fleet"]["member"] == "mx1"
    text = one.control("fleet").stdout
    assert "mx2" in text and "present" in text
    r.stop()
    until(lambda: not is_up(one))
    assert "Redis is away" in one.control("fleet").stdout


def test_without_a_fleet_mirectl_fleet_says_so(mired):
    done = mired().control("fleet")
    assert done.returncode == 1 and "is in no fleet" in done.stdout + done.stderr


# ---- passwords and TLS ----


def test_the_least_rights_of_dist_are_enough(redis, fleet):
    """dist/redis.acl, with the fleet's name and a password of this test's."""
    acl = (SOURCE / "dist/redis.acl").read_text().replace("CHANGE-THIS-PASSWORD", "se:c/ret").replace("mired:*", "mx:*")
    r = redis()
    (r.folder / "acl").write_text(acl + "user test on nopass ~* +@all\n")
    r.stop()
    r.conf.write_text(r.conf.read_text() + f"aclfile {r.folder}/acl\n")
    r.start()
    url = f"redis://mired:se%3Ac%2Fret@127.0.0.1:{r.port}/0"
    one, two = fleet(url)
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    until(lambda: json.loads(one.control("fleet", "--json").stdout)["redis_memory"] > 0)
    assert one.control("release", source).returncode == 0
    failed = r.ask("ACL", "LOG", user="test")
    assert failed == [], failed
    shown = one.control("config").stdout
    assert "ret" not in shown.split("fleet {")[1] and "redis://mired@127.0.0.1" in shown


def test_a_wrong_password_is_said_and_a_right_one_found_without_a_restart(redis, fleet, tmp_path):
    r = redis("requirepass right\n")
    password = tmp_path / "password"
    password.write_text("wrong\n")
    (one,) = fleet(r, 1, wait=False, more=f'password_file = "{password}"')
    one.log.wait("fleet: Redis is away.*WRONGPASS")
    password.write_text("right\n")
    up(one)


def test_tls_checks_who_the_server_is(redis, fleet, tmp_path):
    """With the authority that has issued the certificate it is up; with the system's authorities it is not."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("redis", subject_names="IP:127.0.0.1")
    port = ports.free()
    redis(f"tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\n"
          f"tls-ca-cert-file {authority.file}\ntls-auth-clients no\n")  # fmt: skip
    url = f"rediss://127.0.0.1:{port}/0"
    one, two = fleet(url, more=f'ca = "{authority.file}"')
    source = ports.stranger()
    offend(one, source)
    until(lambda: agree(source, one, two))
    (three,) = fleet(url, 1, first=3, wait=False)
    three.log.wait("fleet: Redis is away.*certificate")


def test_the_demo_starts_three_members_and_ends_them():
    demo = Daemon([SOURCE / "demo/fleet", BUILD])
    try:
        demo.output.wait("Ctrl-C ends it")
        ctl = [line.split("mirectl ")[1].split() for line in demo.output.lines if line.startswith("  mx")]
        assert len(ctl) == 3

        def present():
            shown = subprocess.run([CONTROL, *ctl[0], "fleet", "--json"], capture_output=True, text=True, timeout=PATIENCE).stdout
            return shown and json.loads(shown).get("present") == 3

        until(present)
    finally:
        status, _, left = demo.stop()
    assert status == 0 and not left, left


@pytest.mark.skipif(not COMPILER, reason="there is no C compiler")
@pytest.mark.skipif(UNDER, reason="valgrind's clock is its own")
@pytest.mark.parametrize("late", ["keeper", "fleet"])
def test_a_member_whose_clock_is_set_goes_on_sharing(redis, fleet, tmp_path, late):
    """Whichever of its processes follows last: until then times of both clocks are in what it sends."""
    follows = {"fleet": "fleet: this machine's clock was set by", "keeper": "the ledger follows it"}
    (early,) = {*follows} - {late}
    r, wall = redis(), WallClock(tmp_path)
    wall.set(365 * 86400)
    (one,) = fleet(r, 1, config="sandbox = false\n", prefix=wall.prefix)
    (two,) = fleet(r, 1, first=2)
    until(lambda: scrape.samples(one.web)["mired_fleet_members"] >= 2)
    for n, ahead in enumerate((0, -12 * 3600, 365 * 86400, 0)):
        before, here, there, meanwhile = (f"127.77.{n}.{last}" for last in (1, 2, 3, 4))
        offend(two, before)
        offend(one, before)  # waits to be written to its key
        one.booked()
        mark = one.log.mark()
        with processes.paused(one.processes(late)):
            wall.set(ahead)
            offend(one, meanwhile)  # what the keeper books makes it look at this clock
            one.log.wait(follows[early], since=mark)
            if early == "fleet":
                until(lambda: not json.loads(one.control("--json", "fleet").stdout)["sweeping"])
        one.log.wait(follows[late], since=mark)
        offend(one, here)
        offend(two, there)
        for source in (before, here, there, meanwhile):
            until(lambda: agree(source, one, two), why=lambda: f"{source} {ahead} {[offences(m, source) for m in (one, two)]}")
    three = fleet(r, 1, first=3)[0]  # knows what was written to keys
    for source in ("127.77.0.1", "127.77.1.2", "127.77.3.2"):
        until(lambda: agree(source, one, two, three) or offend(three, source))
