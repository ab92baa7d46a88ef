"""Good mail beside a fleet (bench/fleet --mail), and while the fleet's Redis is in trouble (bench/fleet --faults).

Two members with a relay's backend, and one Redis. Everything is on loopback and ends with the run."""

import contextlib
import json
import subprocess
import threading
import time

from common import Sink, Table, Tools, cpu_seconds, judged, median, running

FLEET = 'fleet {{ redis = {{ "{url}" }} name = "mx" member = "mx{number}" }}\n'
TARPIT = "time = 5s max = 60s shield = 0 held_max = 4000"
MEMBERS = 2
ATTACK = ("-H", "-n", 200, "-c", 20)  # 200 connections of 20 addresses ask for name after name


def begin(started, sink, redis=None):
    """The members, in a fleet if there is a Redis."""
    from lib.mired import Mired

    members = []
    for number in range(1, MEMBERS + 1):
        section = FLEET.format(url=redis.url, number=number) if redis else ""
        m = Mired(
            config=f'log_level = "info"\n{section}',
            tarpit=TARPIT,
            backend=f'backend "smtp://127.0.0.1:{sink.port}" {{ }}',
        )
        running(started, m.start())
        if redis:
            m.log.wait("fleet: up", timeout=20)
        members.append(m)
    return members


@contextlib.contextmanager
def attack(tools, members):
    """Harvests from the same addresses at all members."""
    load = [
        subprocess.Popen([tools.path("holdload"), *map(str, ATTACK), "-t", "3600", f"127.0.0.1:{m.port}"],
                         stdout=subprocess.DEVNULL)  # fmt: skip
        for m in members
    ]
    try:
        yield
    finally:
        for p in load:
            p.terminate()
            p.wait()


def cpu(members, redis=None):
    """CPU seconds of all their processes so far."""
    from lib import processes

    pids = [p for m in members for p in (m.pid, *processes.children(m.pid))]
    return cpu_seconds(pids + ([redis.daemon.pid] if redis else []))


def good(tools, member, seconds, *options):
    return tools.mail(member.port, "-r", "alice@example.test", "-t", seconds, "-a", "127.0.200.1", *options)


# ---- with a fleet and without ----


def compare(args):
    """As much good mail as goes through one member, with a fleet and without, by turns."""
    from lib.redis import Redis

    tools, runs = Tools(args.build), {True: [], False: []}
    with contextlib.ExitStack() as started:
        sink = running(started, Sink(tools))
        redis = running(started, Redis().start())
        alone, fleet = begin(started, sink), begin(started, sink, redis)
        for members in (alone, fleet):
            good(tools, members[0], 1)
        for _ in range(args.rounds):
            for members in (alone, fleet):
                before = cpu(members, redis)
                run = good(tools, members[0], args.seconds)
                run["cpu_us"] = (cpu(members, redis) - before) / run["taken"] * 1e6
                runs[members is fleet].append(run)
    table = Table(f"Good mail and the fleet: {args.rounds} rounds of {args.seconds} s", "what", "alone", "in a fleet")
    for what, key in (("messages/s", "rate"), ("p50, ms", "p50_ms"), ("p99, ms", "p99_ms"),
                      ("CPU of all members and Redis for a message, us", "cpu_us")):  # fmt: skip
        table.row(what, *(f"{median(runs[f], key):.2f}" for f in (False, True)))
    ratio = median(runs[True], "rate") / median(runs[False], "rate")
    table.note(f"Throughput in a fleet to that alone: {judged(ratio, 0.98)}.")
    table.show(args.markdown)


# ---- trouble ----


# Name, what happens (tests/integration/lib/redis_trouble.py), and for how many seconds.
FAULTS = (
    ("stopped and started", "stopped", 6),
    ("FLUSHALL, twice", "emptied_twice", 6),
    ("SIGSTOP for 30 s", "hangs", 30),
    ("maxmemory reached", "full", 6),
    ("turned into a replica", "replica_of_nobody", 6),
)
BEFORE, AFTER = 2, 4  # seconds of mail before the trouble and after it


def offend(member, source):
    from lib.smtp import Client

    with Client(member.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.say("RCPT TO:<nobody@example.test>")


def offences(member, source):
    return json.loads(member.control("show", source, "--json").stdout).get("client", {}).get("offences", 0)


def disturb(fault, seconds, redis, members, found):
    """Makes the trouble and ends it; found["seconds"]: until each member knew what the other had booked meanwhile."""
    from lib import ports

    strangers = [ports.stranger() for _ in members]
    time.sleep(BEFORE)
    steps = fault(redis)
    next(steps)
    time.sleep(seconds - 1)
    for member, source in zip(members, strangers):
        offend(member, source)
    time.sleep(1)
    next(steps, None)
    back = time.monotonic()
    while any(offences(m, s) < 0.5 for m in members for s in strangers):
        if time.monotonic() > back + 30:
            return
        time.sleep(0.02)
    found["seconds"] = time.monotonic() - back


def trouble(args):
    """Good mail at a fixed rate beside an attack, with and without trouble by turns."""
    from lib import redis_trouble
    from lib.redis import Redis

    tools = Tools(args.build)
    rate = ("-b", args.mail_rate, "-s", 50)
    table = Table(f"{args.mail_rate} good messages a second beside an attack, while Redis is in trouble",
                  "trouble", "messages/s", "p50, ms", "least p99, ms", "without", "ratio", "agree after, s")  # fmt: skip
    with contextlib.ExitStack() as started:
        sink = running(started, Sink(tools))
        redis = running(started, Redis().start())
        members = begin(started, sink, redis)
        started.enter_context(attack(tools, members))
        good(tools, members[0], 3, *rate)
        for name, what, seconds in FAULTS:
            fault = getattr(redis_trouble, what)
            worst, quiet, after = [], [], []
            for _ in range(args.rounds):
                found = {}
                quiet.append(good(tools, members[0], seconds + BEFORE + AFTER, *rate))
                other = threading.Thread(target=disturb, args=(fault, seconds, redis, members, found))
                other.start()
                worst.append(good(tools, members[0], seconds + BEFORE + AFTER, *rate))
                other.join()
                after.append(found.get("seconds", 99))
            # Other work on the machine makes some rounds slow, but the trouble is in all of its rounds.
            p99, without = (min(run["p99_ms"] for run in runs) for runs in (worst, quiet))
            table.row(name, f"{median(worst, 'rate'):.0f}", f"{median(worst, 'p50_ms'):.2f}", f"{p99:.2f}",
                      f"{without:.2f}", judged(p99 / without, 1.2, at_least=False), f"{max(after):.2f}")  # fmt: skip
    table.show(args.markdown)


# ---- what the stream costs Redis ----


def stream(args):
    """CPU time and bytes of reading the stream: one entry at a time, and a thousand."""
    from lib.redis import Reader, Redis

    entries, shares = 1000, 28 * 5
    with contextlib.ExitStack() as started:
        redis = running(started, Redis().start())
        reader = Reader(redis.port)
        started.callback(reader.close)
        for n in range(entries):
            reader.ask("XADD", "s", "*", "m", "mx123", "t", "1795902647502", "n", n, "s", b"x" * shares)
        table = Table("Reading the stream", "entries a read", "us of Redis a read", "us an entry", "bytes an entry")
        for count, reads in ((1, 20000), (entries, 400)):
            before, sent = cpu([], redis), counted(reader, "total_net_output_bytes")
            for _ in range(reads):
                reader.ask("XREAD", "COUNT", count, "STREAMS", "s", "0")
            took = (cpu([], redis) - before) / reads * 1e6
            octets = (counted(reader, "total_net_output_bytes") - sent) / reads / count
            table.row(count, f"{took:.1f}", f"{took / count:.2f}", f"{octets - shares:.0f} + {shares} of shares")
    table.show(args.markdown)


def counted(reader, name):
    text = reader.ask("INFO", "stats").decode()
    return int(dict(line.split(":", 1) for line in text.splitlines() if ":" in line)[name])
