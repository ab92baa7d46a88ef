"""R21, live: a company and a harvester behind one address, through a NAT of the test's own. Its mail is not late, and its
typo ends in the real reason; the harvester learns what one client learns."""

import json
import re
import socket
import threading
import time

import pytest

from lib import netns
from lib.daemon import Daemon
from lib.mired import BUILD
from lib.smtp import Client, Hung
from lib.waiting import until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")

PEOPLE = [f"p{n}@example.test" for n in range(150)]
COMPANY, HARVESTER = netns.INSIDE
CONNECTIONS, MESSAGES = 100, 150
EVERY = 0.1  # seconds between two of its messages: all of them take longer than a turn of the harvester


@pytest.fixture
def nat():
    made = netns.Nat()
    yield made
    made.close()


class Harvest:
    """So many connections that guess all the time, from an address behind the NAT; with another sender domain."""

    def __init__(self, port, patience):
        self.port, self.patience, self.open, self.begun = port, patience, set(), time.monotonic()
        self.over, self.told, self.lock = threading.Event(), [], threading.Lock()
        self.threads = [threading.Thread(target=self.guess, args=(n,)) for n in range(CONNECTIONS)]
        for thread in self.threads:  # of the calling thread's namespace
            thread.start()

    def guess(self, n):
        asked = 0
        while not self.over.is_set():
            try:
                with Client(self.port, netns.SERVER, HARVESTER, timeout=self.patience) as c:
                    self.open.add(c.socket)
                    if not (c.say("EHLO x.test").ok and c.say("MAIL FROM:<a@harvest.test>").ok):
                        continue
                    while not self.over.is_set():
                        asked += 1
                        reply = c.say(f"RCPT TO:<u{n}.{asked}@example.test>")
                        with self.lock:
                            self.told += [reply.text] * (reply.code in (250, 550))
            except (Hung, OSError):
                self.over.wait(0.2)

    def end(self):
        self.over.set()
        for s in self.open.copy():
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed
                pass
        for thread in self.threads:
            thread.join()


def client(m):
    return json.loads(m.control("--json", "show", netns.SHARED).stdout)["client"]


def send(p, recipient, name):
    with Client(p.port, source="127.0.0.1") as c:
        c.ehlo()
        assert c.message("boss@good.test", recipient, f"Subject: {name}\r\n\r\nx\r\n".encode()).ok


def delays(p, recipient):
    """Of each message to them that was sent: seconds in which Postfix connected and sent it, as it says itself."""
    sent = rf"to=<{recipient}>.*? delays=[\d.]+/[\d.]+/([\d.]+)/([\d.]+), dsn=2\.\S+, status=sent"
    return [float(c) + float(d) for c, d in re.findall(sent, p.log)]


def wait_sent(p, count):
    until(lambda: len(delays(p, r"p\d+@example\.test")) >= count, 300, every=0.1)


@pytest.mark.alone
@pytest.mark.parametrize("people, patience, typo", [(100, 100, (3.9, 18)), (40, 2, (1.5, 18))], ids=["patient", "impatient"])
def test_mail_of_a_company_is_not_late_beside_a_harvester_at_its_address(nat, mired, postfix, people, patience, typo):
    """The company has delivered 100 messages, to so many people: that pays for seven typos of its own, or for three (R8). Its typo
    waits T(1), or less where the address is known to hang up (R12), which a harvester may be the reason for."""
    sink_port = 2525
    sink = nat.at_server(lambda: Daemon([BUILD / "bench" / "sink", f"127.0.0.1:{sink_port}"]))
    nat.at_server(lambda: sink.wait_listening(sink_port))
    backend = f'backend "smtp://127.0.0.1:{sink_port}" {{ }}'
    m = nat.at_server(lambda: mired(tarpit="time = 4s max = 18s", host=netns.SERVER, recipients=PEOPLE, backend=backend, workers=2))
    relay = f"relayhost = [{netns.SERVER}]:{m.port}\nsmtp_helo_timeout = 300s"
    p = postfix(hostname="mail.good.test", domains="good.test", boxes=("boss@good.test",), extra=relay)

    for n in range(100):
        send(p, PEOPLE[n % people], f"before {n}")
    wait_sent(p, 100)
    # A sketch counts the mailboxes: a twentieth more or less is usual, and two twentieths are a matter of luck.
    m.booked()
    assert client(m)["good"] >= 0.75 * people and client(m)["offences"] == 0

    harvest = Harvest(m.port, patience)
    try:
        until(lambda: client(m)["paced"], every=0.1)
        before = client(m)
        assert before["in_debt"] and before["paced"], before
        send(p, "alicia@example.test", "a typo")
        begun, since = time.monotonic(), len(p.log)
        for n in range(MESSAGES):
            send(p, PEOPLE[n % len(PEOPLE)], f"beside {n}")
            time.sleep(max(0, begun + EVERY * (n + 1) - time.monotonic()))
        wait_sent(p, 100 + MESSAGES)
        taken = delays(p, r"p\d+@example\.test")[100:]
        print(f"{len(taken)} messages: {max(taken):.2f} s at most; {client(m)}; {len(harvest.told)} verdicts for the harvester")
        assert len(taken) == MESSAGES and max(taken) <= 1.5  # the shortest hold here is 1.6 s (R12)
        assert "status=deferred" not in p.log[since:]
        # The typo: the real words, after one T(1), in a message to the person who made it.
        told = p.wait_log(r"to=<alicia@example\.test>.*? delay=([\d.]+),.*status=bounced \(host \S+ said: (550.*)\)")
        assert "5.1.1" in told[2] and "user unknown" in told[2] and typo[0] <= float(told[1]) <= typo[1], told[0]
        assert b"5.1.1" in p.delivered("boss@good.test")[0]
        # The harvester was told three at once, then one in each turn (13.5 s, the fourth offence's, or more), and what
        # the address's share of the company's good mail pays for (R8, R21).
        paid = 0.25 * len(PEOPLE) / 10
        assert len(harvest.told) <= 3 + 1.25 * (time.monotonic() - harvest.begun) / 13.5 + paid, harvest.told
    finally:
        harvest.end()
        sink.stop()
