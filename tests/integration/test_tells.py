"""What a stranger can tell from replies, holds and times: nothing of who exists (R5, R6, R14).

`make test` compares words and the holds that mired has decided (its log says them), which do not depend on this
machine's load. The times themselves are compared in `make soak`, by a test of Kolmogorov and Smirnov on two samples."""

import collections
import json
import math
import re
import select

import pytest

from lib import ports, scram
from lib.mired import PASSWORDS, password_file
from lib.smtp import Client
from lib.waiting import until

KNOWN, LOCKED, UNKNOWN = "alice@example.test", "carol@example.test", "nobody@example.test"
NAMES = [KNOWN, LOCKED, UNKNOWN]
SCRAM_TRIES = 600


def with_a_locked_account(passwords):
    """`passwd -l` puts a ! before the hash."""
    text = password_file(passwords | {LOCKED: "locked"})
    return text.replace(f"{LOCKED}:", f"{LOCKED}:!")


def shape(reply):
    return reply.code, reply.lines


def guesses(m, name, count):
    """The replies to so many wrong passwords in one session of a new client, and what the session's log line says."""
    with Client(m.submission) as c:
        c.ehlo()
        replies = [shape(c.login(name, f"guess{i}")) for i in range(count)]
        c.quit()
        line = m.log.wait(rf"event=session .*client={re.escape(c.source)}\b.*")
    fields = dict(re.findall(r"(\w+)=(\S+)", line))
    return replies, fields["offences"]


def test_known_locked_and_unknown_accounts_hear_the_same_words(mired):
    m = mired(tarpit="time = 0", stored=with_a_locked_account)
    heard = {name: guesses(m, name, 3) for name in NAMES}
    assert heard[KNOWN][0][0][0] == 535
    assert heard[LOCKED] == heard[KNOWN] and heard[UNKNOWN] == heard[KNOWN]


def test_a_locked_account_has_no_password(mired):
    m = mired(tarpit="time = 0", stored=with_a_locked_account)
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login(LOCKED, "locked").code == 535
        assert c.login(KNOWN, PASSWORDS[KNOWN]).code == 235


def test_a_masked_verdict_is_the_same_for_those_who_exist_and_those_who_do_not(mired):
    """R5: the client's turn is too far away. Each client is new, and has the same debt before it asks."""
    heard = {}
    m = mired(tarpit="time = 100ms max = 200ms growth = 1 pace_after = 1 shield = 3")
    for local in ("alice", "nobody9"):
        with Client(m.port) as c:
            c.ehlo()
            c.must("MAIL FROM:<joe@elsewhere.test>", 250)
            for i in range(4):
                c.say(f"RCPT TO:<made-up{i}@example.test>")
            heard[local] = shape(c.say(f"RCPT TO:<{local}@example.test>"))
            line = m.log.wait(rf"event=refused .*to={local}@example.test .*")
            heard[local] += (re.search(r"rule=\w+", line)[0], re.search(r"hold=\S+", line)[0])
    assert heard["alice"][0] == 450
    assert heard["alice"] == heard["nobody9"]


# ---- limits ----

# Suspects start beyond `pace_after`, with no hold of an offence before: they are greeted at once.
DEEP = 'time = 200s max = 200s growth = 1 drip = 0 freeze = off suspect_offences = 20 reserve = "0%"'
SUSPECTS = 'suspect = { "127.18.0.0/16" }'


def suspect(n):
    """A suspect's address, in a network of its own."""
    return f"127.18.{1 + n}.1"


def asked(m, source, local):
    """A connection of that client that has asked for a recipient, and waits."""
    c = Client(m.port, source=source)
    c.ehlo()
    c.must("MAIL FROM:<joe@elsewhere.test>", 250)
    c.send(f"RCPT TO:<{local}@example.test>\r\n")
    return c


def wait_for_held(m, count):
    until(lambda: json.loads(m.control("--json", "status").stdout)["held"] == count)


def answered(clients):
    """Those to which mired has said something."""
    poll = select.poll()  # select() takes no descriptor above 1,023
    for c in clients:
        poll.register(c.socket, select.POLLIN)
    readable = {fd for fd, _ in poll.poll(0)}
    return [c for c in clients if c.socket.fileno() in readable]


def test_the_limit_of_one_client_does_not_tell_who_exists(mired):
    """R6, R17: while the verdict waits for its turn, the client opens more connections than it may have held."""
    m = mired(tarpit=DEEP + " shield = 0 held_per_client = 2", workers=1, config=SUSPECTS)
    seen = collections.defaultdict(collections.Counter)
    for n in range(20):
        local = ("alice", "nobody9")[n % 2]
        clients = [asked(m, suspect(n), local)]
        wait_for_held(m, 1)
        for _ in range(2):
            clients.append(Client(m.port, source=suspect(n), greet=False))
        refused = clients[2].reply().code
        wait_for_held(m, 2)
        seen[local][refused, tuple(c in answered(clients[:2]) for c in clients[:2])] += 1
        for c in clients:
            c.close()
        wait_for_held(m, 0)
    assert seen["alice"] == {(421, (False, False)): 10}
    assert seen["nobody9"] == seen["alice"]


def test_the_guard_does_not_tell_who_exists_of_masked_verdicts(mired):
    """R17: clients of less debt come, half as many as may be held; those on the shield go."""
    m = mired(tarpit=DEEP + " shield = 15 held_max = 20", workers=1, config=SUSPECTS)
    clients = []
    for n in range(20):
        local = ("alice", "nobody9")[n % 2]
        clients.append((local, asked(m, suspect(n), local)))
        wait_for_held(m, n + 1)
    everyone = [c for _, c in clients]
    newcomers = []
    for n in range(10):
        newcomers.append(asked(m, ports.stranger(), "nobody9"))
        until(lambda: len(answered(everyone)) == n + 1)
    assert not answered(newcomers)
    gone = collections.Counter(local for local, c in clients if c in answered(everyone))
    print(gone)
    # Debts fade while the test runs, so it need not be five of each. If it told, it would be ten of one.
    assert gone["alice"] >= 2 and gone["nobody9"] >= 2
    assert {shape(c.reply())[0] for c in answered(everyone)} == {421}


@pytest.mark.parametrize("extra", ["shield = 0", "shield = 20.5"])
@pytest.mark.parametrize("each", [1, 2])
def test_the_guard_does_not_tell_who_exists_before_the_turn(mired, extra, each):
    """R6, R17: verdicts wait for their turns, and as many clients of the same debt come as have asked for a name that
    exists. With a shield of 20.5, one more offence takes them to it. `each`: how many connections of a client are held."""
    m = mired(tarpit=DEEP + f" {extra} held_max = {16 * each}", workers=1, config=SUSPECTS)
    clients = []
    for n in range(16):
        local = ("alice", "nobody9")[n % 2]
        clients.append((local, asked(m, suspect(n), local)))
        wait_for_held(m, len(clients))
        for _ in range(each - 1):
            clients.append((local, Client(m.port, source=suspect(n), greet=False)))
            wait_for_held(m, len(clients))
    everyone = [c for _, c in clients]
    newcomers = []
    for n in range(8 * each):
        newcomers.append(asked(m, suspect(100 + n), "nobody9"))
        until(lambda: len(answered(everyone)) == n + 1)
    assert not answered(newcomers)
    gone = collections.Counter(local for local, c in clients if c in answered(everyone))
    print(gone)
    assert gone["alice"] == gone["nobody9"] == 4 * each  # those that have waited longest


# ---- times ----


def differ(one, other):
    """The probability that two samples of one distribution differ as much as these (Kolmogorov, Smirnov)."""
    points = sorted(set(one) | set(other))
    d = max(abs(sum(x <= p for x in one) / len(one) - sum(x <= p for x in other) / len(other)) for p in points)
    n = len(one) * len(other) / (len(one) + len(other))
    t = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * d
    if t < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))))


def test_the_comparison_tells_different_samples_and_not_the_same():
    some = [i % 97 for i in range(300)]
    assert differ(some, [(i * 7) % 97 for i in range(300)]) > 0.5
    assert differ(some, [x + 20 for x in some]) < 0.001


def sampled(tries, take, what):
    """Samples taken in turns, so that the machine's load is the same for all of them."""
    samples = {key: [] for key in what}
    for i in range(tries):
        for key in what[i % len(what) :] + what[: i % len(what)]:
            samples[key].append(take(key))
    return samples


def report(samples):
    means = {key: sorted(sample)[len(sample) // 2] * 1000 for key, sample in samples.items()}
    print(", ".join(f"{key} {ms:.3f} ms" for key, ms in means.items()))


@pytest.mark.soak
@pytest.mark.alone
def test_the_time_of_a_wrong_password_does_not_tell_who_exists(mired):
    m = mired(tarpit="time = 0", stored=with_a_locked_account)

    def login(name):
        with Client(m.submission) as c:
            c.ehlo()
            return c.login(name, "guess").seconds

    samples = sampled(300, login, NAMES)
    report(samples)
    for name in (LOCKED, UNKNOWN):
        assert differ(samples[KNOWN], samples[name]) > 0.001, name


def with_a_locked_scram_account(passwords):
    text = scram.password_file(passwords | {LOCKED: "locked"})
    return text.replace(f"{LOCKED}:", f"{LOCKED}:!")


@pytest.mark.soak
@pytest.mark.alone
def test_the_times_of_scram_do_not_tell_who_exists(mired):
    """Of the first message, which asks for the salt, and of the second one, which has a wrong proof."""
    m = mired(tarpit="time = 0", stored=with_a_locked_scram_account)
    second = {name: [] for name in NAMES}

    def login(name):
        with Client(m.submission) as c:
            c.ehlo()
            attempt = scram.Login(c, name, "guess")
            first = attempt.begin()
            reply = attempt.prove()
            assert (first.code, reply.code) == (334, 535)
            second[name].append(reply.seconds)
            return first.seconds

    first = sampled(SCRAM_TRIES, login, NAMES)
    for which, samples in (("first", first), ("second", second)):
        report(samples)
        for name in (LOCKED, UNKNOWN):
            assert differ(samples[KNOWN], samples[name]) > 0.001, (which, name)


@pytest.mark.soak
@pytest.mark.alone
def test_the_time_of_a_masked_verdict_does_not_tell_who_exists(mired):
    """On the shield (R7) nothing is looked up."""
    m = mired(tarpit="time = 1ms max = 2ms growth = 1 pace_after = 1 shield = 2")

    def ask(local):
        with Client(m.port) as c:
            c.ehlo()
            c.must("MAIL FROM:<joe@elsewhere.test>", 250)
            for i in range(4):
                c.say(f"RCPT TO:<made-up{i}@example.test>")
            reply = c.say(f"RCPT TO:<{local}@example.test>")
            assert reply.code == 450
            return reply.seconds

    samples = sampled(200, ask, ["alice", "nobody9"])
    report(samples)
    assert differ(samples["alice"], samples["nobody9"]) > 0.001
