"""Three domains on a real Postfix, a real Exim and a real Dovecot, each with its own directory, whose answers are
disturbed and which die now and then: each recipient has each message once, or its sender has heard a refusal."""

import collections
import concurrent.futures
import contextlib
import itertools
import random
import re
import threading

import pytest

from lib import ports
from lib.disturbed import Disturbed
from lib.dovecot import Dovecot
from lib.mired import read_maildir
from lib.receivers import Receiver
from lib.smtp import Client
from lib.waiting import until

PEOPLE = {
    "postfix": ["ann@a.test", "al@a.test", "ada@a.test"],
    "exim": ["alice@example.test", "bob@example.test", "carol@example.test"],
    "dovecot": ["cy@c.test", "cleo@c.test", "cora@c.test"],
}
NETWORKS = [f"127.{n}.3.4" for n in (71, 72, 73, 74, 75)]


def message(number):
    return f"DKIM-Signature: v=1; d=sender.test; b=c2lnbmVk\r\nMessage-ID: <{number}@sender.test>\r\nSubject: {number}\r\n\r\nnumber {number}\r\n".encode()


def transaction(m, number, recipients, source):
    """{recipient: code}; what breaks is a delay."""
    try:
        with Client(m.port, source=source) as c:
            c.ehlo()
            octets = message(number)
            replies = c.envelope(f"from{number % 50}@sender.test", recipients, f" SIZE={len(octets)}")
            codes = {to: reply.code for to, reply in zip(recipients, replies)}
            if 250 in codes.values():
                code = c.data(octets).code
                codes = {to: code if was == 250 else was for to, was in codes.items()}
            return codes
    except (OSError, AssertionError):
        return dict.fromkeys(recipients, 451)


def deliver(m, number, recipients, wait):
    """A sender's queue: tries again from another network until each recipient has a final answer."""
    final, left = {}, list(recipients)
    for tries, network in zip(range(60), itertools.islice(itertools.cycle(NETWORKS), number % 5, None)):
        codes = transaction(m, number, left, network)
        final |= codes
        left = [to for to in left if 400 <= codes[to] < 500]
        if not left:
            break
        wait(min(0.05 * 2**tries, 1))
    return final


def kill_at_random(backends, dice, over):
    while not over.wait(dice.uniform(0.5, 2)):
        backend = dice.choice(backends)
        backend.go_away()
        over.wait(dice.uniform(0.05, 0.5))
        backend.come_back()


def wait_for_queues(servers, expected):
    """Postfix and Exim deliver what they took a moment later."""
    for (folder, to), count in expected.items():
        read_maildir(folder, count=count)


def numbers(folder):
    found = collections.Counter()
    for text in read_maildir(folder, 0, 0):
        found[int(re.search(rb"^Message-ID: <(\d+)@", text, re.M | re.I)[1])] += 1
    return found


def run(mired, servers, tmp_path, messages, seed):
    dice = random.Random(seed)
    names = ("postfix", "exim", "dovecot")
    targets = (servers["postfix"].port, servers["exim"].port, servers["dovecot"].lmtp)
    backends = [Disturbed(t, seed + i, lmtp=n == "dovecot") for i, (n, t) in enumerate(zip(names, targets))]
    for name in ("postfix", "dovecot"):
        (tmp_path / name).write_text("".join(f"{p}\n" for p in PEOPLE[name]))
    tmp_path.chmod(0o755)
    m = mired(
        domains=("a.test", "example.test", ".c.test"),
        recipients=None,
        tarpit="time = 0",
        backend=f"""
backend "smtp://127.0.0.1:{backends[0].port}" {{ domains = {{ "a.test" }} }}
backend "smtp://127.0.0.1:{backends[1].port}" {{ domains = {{ "example.test" }} }}
backend "lmtp://127.0.0.1:{backends[2].port}" {{ }}
recipients "file" {{ domains = {{ "a.test" }} path = "{tmp_path}/postfix" }}
recipients "file" {{ domains = {{ "c.test" }} path = "{tmp_path}/dovecot" }}
recipients "backend" {{ domains = {{ "example.test" }} }}
recipients "file" {{ path = "{tmp_path}/dovecot" }}
""",
    )
    everybody = [p for people in PEOPLE.values() for p in people]
    work = [(n, dice.sample(everybody, dice.randint(1, 5))) for n in range(messages)]
    over = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(backends, dice, over), daemon=True)
    killer.start()
    pause = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        told = dict(zip((n for n, _ in work), pool.map(lambda w: deliver(m, *w, pause.wait), work)))
    over.set()
    killer.join()
    folders = {
        **{p: servers["postfix"].folder / "mail" / "a.test" / p.split("@")[0] for p in PEOPLE["postfix"]},
        **{p: servers["exim"].folder / "mail" / p.split("@")[0] for p in PEOPLE["exim"]},
        **{p: servers["dovecot"].mail / "c.test" / p.split("@")[0] for p in PEOPLE["dovecot"]},
    }
    # Exim delivers after its 250. A second copy is no sign that the last message is there, so each number is waited for.
    for to, folder in folders.items():
        due = {n for n, codes in told.items() if codes.get(to) == 250}
        with contextlib.suppress(AssertionError):  # what is missing after that is told below
            until(lambda folder=folder, due=due: due <= numbers(folder).keys())
    found = {to: numbers(folder) for to, folder in folders.items()}
    for backend in backends:
        backend.stop()
    doubts = set().union(*(b.doubts for b in backends))
    wrong, extra, put_off = [], 0, 0
    for number, codes in told.items():
        for to, code in codes.items():
            copies = found[to][number]
            doubtful = (number, to) in doubts
            put_off += 400 <= code < 500
            if code == 250 and (copies < 1 or (copies > 1 and not doubtful)):
                wrong.append(f"{number} to {to}: told 250, has {copies}")
            if code >= 500 and copies and not doubtful:
                wrong.append(f"{number} to {to}: told {code}, has {copies}")
            extra += max(copies - 1, 0)
    refused = sum(code >= 500 for codes in told.values() for code in codes.values())
    all_told = sum(len(codes) for codes in told.values())
    print(
        f"{messages} messages, {all_told} recipients: {all_told - refused} delivered, {refused} refused, {put_off} never told; "
        f"{sum(b.faults for b in backends)} faults, {len(doubts)} doubts, {extra} second copies"
    )
    assert not wrong, "\n".join(wrong[:20])
    assert put_off == 0
    assert refused and all_told - refused > all_told / 2  # it is neither of the two alone


@pytest.fixture
def servers(postfix):
    started = []
    d = Dovecot(users=dict.fromkeys(PEOPLE["dovecot"], "{PLAIN}nobody knows this"))
    e = Receiver("exim-heavy", "local_interfaces = <; 127.0.0.1.10025\nsmtp_accept_max = 500\nsmtp_accept_queue_per_connection = 0\n")
    try:
        for server in (d, e):
            started.append(server)
            server.start()
        yield {"postfix": postfix(domains="a.test", boxes=PEOPLE["postfix"]), "exim": e, "dovecot": d}
    finally:
        for server in started:
            server.stop()
            server.remove()


def test_a_hundred_and_fifty_random_messages_are_delivered_once_or_refused(mired, servers, tmp_path):
    run(mired, servers, tmp_path, 150, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [10, 20])
def test_two_thousand_random_messages_are_delivered_once_or_refused(mired, servers, tmp_path, seed):
    run(mired, servers, tmp_path, 2000, seed)
