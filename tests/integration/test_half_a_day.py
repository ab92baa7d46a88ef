"""12 hours of mixed traffic on clocks that run fast: every good message arrives once, and nothing grows."""

import collections
import json
import os
import pathlib
import re
import statistics
import sys

import pytest

from lib import half_day, netns, ports, processes, traffic
from lib.certificates import Authority
from lib.mired import SANITIZED
from lib.waiting import until

FAKETIME = pathlib.Path(f"/usr/lib/{sys.implementation._multiarch}/faketime/libfaketime.so.1")
KB = 1 << 10
BUSY = 5 / 6  # of each half hour; then there is no traffic
GROWTH = 384 * KB  # of a process's private memory in 7 hours
STACKS = 2048 * KB  # of the store, whose C library keeps the stacks of as many threads as it had at a time (two for each
# connection), 24 KB each
RARE = 2  # descriptors of what is opened when it is first needed: the freezer's channel to each worker
SEED = int(os.environ.get("HALF_DAY_SEED", "1"))
SPEED = int(os.environ.get("HALF_DAY_SPEED", "48"))  # less on a slow machine
RULES = "traps = {{ {} }} freeze = auto held_per_client = 60000"

NEEDS = [
    pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able"),
    pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed"),
    pytest.mark.skipif(SANITIZED, reason="a checker's library has to be loaded first, and it keeps memory"),
]


def able(test):
    for mark in NEEDS:
        test = mark(test)
    return test


Sample = collections.namedtuple("Sample", "hour memory descriptors files lines")


def growing(samples, hours):
    """What is larger in the last third than in the first, from the second hour on, by the medians of the samples there:
    a list of sentences."""
    third = (hours - 2) / 3
    first, last = ([s for s in samples if 0 <= s.hour - 2 - i * third <= third + 0.01] for i in (0, 2))
    said = []

    def compare(what, of, factor=1, spare=0):
        a, b = (statistics.median(map(of, part)) for part in (first, last))
        if b > factor * a + spare:
            said.append(f"{what} grows from {a:.0f} to {b:.0f}")

    for name in first[0].memory:
        spare = GROWTH + (STACKS if name.startswith("store") else 0)
        compare(f"memory of {name}", lambda s: s.memory[name], spare=spare)
        compare(f"descriptors of {name}", lambda s: s.descriptors[name], spare=RARE)
    compare("the number of files below state", lambda s: len(s.files))
    compare("the size of files below state", lambda s: sum(s.files.values()))
    compare("the number of log lines in half an hour", lambda s: s.lines, 1.3, 200)
    return said


def made_up(grows):
    """A day's samples in which one thing grows, by so much an hour."""
    usual = {"memory": 3_000_000, "descriptors": 30, "files": 12, "size": 1_000_000, "lines": 900}
    day = [{k: v + round(grows.get(k, 0) * n / 2) for k, v in usual.items()} for n in range(1, 25)]
    return [
        Sample(
            n / 2, {"store": 1_000_000, "worker 1": u["memory"] + n * 37 % 50 * KB}, {"store": 9, "worker 1": u["descriptors"]},
            {f"f{i}": u["size"] / u["files"] for i in range(u["files"])}, u["lines"] + n * 37 % 50,
        )
        for n, u in enumerate(day, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "grows, what",
    [({}, None), ({"memory": 80 * KB}, "memory of worker 1"), ({"descriptors": 0.5}, "descriptors of worker 1"),
     ({"files": 1}, "number of files"), ({"size": 100}, "size of files"), ({"lines": 100}, "log lines")],
)  # fmt: skip
def test_what_grows_is_found(grows, what):
    said = growing(made_up(grows), 12)
    assert (len(said) == 1 and what in said[0]) if what else said == []


class Day:
    """mired on clocks that run `speed` times as fast, its traffic, and samples of it while all is calm."""

    def __init__(self, mired, cable, folder, speed, again):
        certificate, key = Authority(folder).issue("mx.example.test")
        web = ports.free()
        self.colleague = cable.at_server(half_day.Colleague)
        others = f'"lmtp://127.0.0.1:{self.colleague.port}" {{ domains = {{ "mixed.test" }} }}'
        self.m = m = cable.at_server(
            lambda: mired(
                host="0.0.0.0",
                domains=("example.test", "mixed.test"),
                backend=f'backend "maildir" {{ }}\nbackend {others}',
                recipients=[*traffic.PEOPLE, *half_day.OTHERS],
                passwords=dict.fromkeys((traffic.USER, *half_day.ACCOUNTS), traffic.PASSWORD),
                tarpit=RULES.format(", ".join(f'"{trap}"' for trap in traffic.TRAPS)),
                config=f"""recipients "backend" {{ domains = {{ "mixed.test" }} }}
                    tls {{ certificate = "{certificate}" key = "{key}" }} size_max = 10M
                    web {{ listen = "127.0.0.1:{web}" }}""",
                prefix=["env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME=+0 x{speed}"],
            )
        )
        until(lambda: m.processes("freezer"))
        self.speed = speed
        self.traffic = half_day.Traffic(m, cable, web, speed, SEED, again)
        self.again = 0  # reloads that had to be tried again
        self.usual = sorted(self._titles().values())
        self.samples, self.most = [], collections.Counter()

    def _titles(self):
        """{process id: title}; those of one kind are numbered by their ids."""
        titles, seen = {self.m.pid: "master"}, collections.Counter()
        for pid in sorted(processes.children(self.m.pid)):
            kind = processes.command(pid).removeprefix("mired: ")
            seen[kind] += 1
            titles[pid] = f"{kind} {seen[kind]}"
        return titles

    def status(self, field):
        done = self.m.control("--json", "status")
        return json.loads(done.stdout).get(field) if done.stdout else None

    def watch(self):
        """What is open amid the traffic; the largest numbers are kept."""
        status = json.loads(self.m.control("--json", "status").stdout or "{}")
        for field in ("open", "held", "frozen"):
            self.most[field] = max(self.most[field], status.get(field, 0))

    def renew(self, how):
        """A reload or an upgrade, under traffic. A new generation has 20 s to come, which is less on clocks that run
        fast; until one comes, the earlier one serves."""
        mark = self.m.log.mark()
        until(lambda: self._renewed(how), why=lambda: f"no {how}: {self.m.log.lines[mark:][-20:]}")

    def _renewed(self, how):
        done = self.m.control(how)
        self.again += done.returncode != 0
        return done.returncode == 0

    def descriptors(self):
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for pid, name in self._titles().items()}

    def calm(self, short=False):
        """Until nothing goes on, and in a long day until nothing is kept for what may come, either."""
        self.traffic.come_to_rest()
        if short:
            assert self.m.control("release", "--all").stdout  # frozen holds of clients that have gone end with their time
        for field in ("held", "frozen", "open"):
            until(lambda: self.status(field) == 0, why=lambda: f"{field}: {self.status(field)}")
        until(lambda: sorted(self._titles().values()) == self.usual, why=lambda: f"processes: {self._titles()}")
        self.m.booked()
        self.traffic.wait_at_rest(0 if short else 95)

    def sample(self, hour, lines):
        titles = self._titles()
        assert sorted(titles.values()) == self.usual
        state = self.m.folder / "state"
        below = [p for p in state.rglob("*") if p.is_file() and state / "mail" not in p.parents]
        self.samples.append(
            Sample(
                hour,
                {name: processes.private_bytes(pid) for pid, name in titles.items()},
                self.descriptors(),
                {str(p.relative_to(state)): p.stat().st_size for p in below},
                lines,
            )
        )
        assert not list(self.m.mail.glob("*/*/tmp/*"))
        return self.samples[-1]

    def _killed(self):
        """How many processes the master has killed because they did not answer for 30 s, which is less than a second on
        clocks that run fast. No other may die."""
        log = self.m.log.text
        print("\n".join(line for line in log.splitlines() if "level=warn" in line or "level=error" in line)[-5000:])
        late = set(re.findall(r"\(process (\d+)\) (?:has not answered for|has closed its channel)", log))
        assert set(re.findall(r"event=child_died .* pid=(\d+)", log)) <= late
        return len(late)

    def arrived(self):
        """Each letter is with each of its recipients, once. A try whose outcome its sender has not heard may have made
        a further copy."""
        t = self.traffic
        t.deliver_the_rest()
        copies = half_day.stored(self.m.mail) + self.colleague.copies_of
        self.late = self._killed()
        assert t.letters and not t.wrong and not t.faults, (t.wrong[:5], t.faults[:2])
        for letter in t.letters:
            for to in letter.recipients:
                assert 1 <= copies[letter.number, to] <= 1 + letter.doubts[to], (letter.number, to, copies[letter.number, to])
        doubted = sum(map(bool, (+sum((l.doubts for l in t.letters), collections.Counter())).values()))
        doubled = sum(copies[l.number, to] - 1 for l in t.letters for to in l.recipients)
        print(
            f"{len(t.letters)} letters to {sum(len(l.recipients) for l in t.letters)} recipients in"
            f" {sum(l.tries for l in t.letters)} tries, {doubled} doubled, {doubted} recipients in doubt;"
            f" {sum(t.strangers.values())} strangers; {self.again} reloads again, {self.late} processes late; at most {dict(self.most)}"
        )
        print("commands and pages:", dict(t.said))

    def close(self):
        """Before mired is stopped."""
        self.traffic.close()
        self.colleague.stop()
        self.m.deaths_expected = True  # the 5 s that it has to end are a moment on clocks that run fast
        for name in (f"faketime_shm_{self.m.pid}", f"sem.faketime_sem_{self.m.pid}"):
            pathlib.Path("/dev/shm", name).unlink(missing_ok=True)


@pytest.fixture
def begin(mired, cable, tmp_path):
    """begin(speed, again) starts a Day."""
    begun = []

    def start(speed, again):
        begun.append(Day(mired, cable, tmp_path, speed, again))
        return begun[-1]

    yield start
    for day in begun:
        day.close()


def show(s):
    print(f"{s.hour:5.2f} h: memory (KB)", {n: b // KB for n, b in s.memory.items()}, "descriptors", s.descriptors,
          f"files {len(s.files)}, {sum(s.files.values())} octets; {s.lines} lines")  # fmt: skip


def live(day, half_hours, seconds, each_minute, renewals):
    """So many spells of `seconds`, half an hour in a long day. renewals: {spell: "reload" or "upgrade"}."""
    for n in range(half_hours):
        begun, mark = day.traffic.now(), day.m.log.mark()
        others = [(seconds * BUSY / 3, lambda how=renewals[n]: day.renew(how))] if n in renewals else []
        others += [(seconds * BUSY * (i + 1) / 6, day.watch) for i in range(5)]
        day.traffic.play(day.traffic.plan(seconds * BUSY, each_minute, others))
        day.traffic.wait(begun + seconds * BUSY - day.traffic.now())
        day.calm(short=seconds < 1800)
        show(day.sample((n + 1) * seconds / 3600, day.m.log.mark() - mark))
        day.traffic.wait(begun + seconds - day.traffic.now())


@able
@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("renewed", [True, False])
def test_half_a_day_loses_nothing_and_nothing_grows(begin, renewed):
    """12 hours in 15 minutes, with a reload each hour and an upgrade, or in one generation. HALF_DAY_SEED is the seed of the traffic."""
    day = begin(SPEED, (360, 600))
    renewals = {n: "upgrade" if n == 12 else "reload" for n in range(2, 24, 2)} if renewed else {}
    live(day, 24, 1800, 16, renewals)
    day.arrived()
    assert day.most["frozen"] and day.most["held"]
    assert day.late <= 2, "too many processes were late: a slow machine needs a smaller HALF_DAY_SPEED"
    wrong = growing(day.samples, 12)
    assert not wrong, wrong


@pytest.mark.soak
@able
def test_minutes_of_mixed_traffic_lose_nothing_and_leave_nothing(begin):
    """The same for two short spells, with a reload and an upgrade: no descriptor, file or process is left."""
    day = begin(5, (10, 20))
    live(day, 2, 45, 80, {0: "reload", 1: "upgrade"})
    day.arrived()
    first, last = day.samples
    assert last.files.keys() == first.files.keys()
    spare = lambda now: all(now[name] <= most + RARE for name, most in first.descriptors.items())  # noqa: E731
    until(lambda: spare(day.descriptors()), why=lambda: (first.descriptors, day.descriptors()))
