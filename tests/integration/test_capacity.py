"""Many held clients: what they cost, and what good mail notices of them."""

import concurrent.futures
import resource
import time

import pytest

from lib import ports, processes
from lib.mired import SANITIZED
from lib.smtp import Client, deliver


def raise_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the limit of open files is {hard} here, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def hold(port, count, addresses=100):
    """Opens `count` clients from `addresses` addresses that all wait for the answer to a wrong recipient."""
    sources = [ports.stranger() for _ in range(addresses)]

    def one(n):
        client = Client(port, source=sources[n % addresses], greet=False)
        for line in ("", "EHLO x.test", "MAIL FROM:<a@b.test>"):
            if line:
                client.send(line + "\r\n")
            client.reply()
        client.send("RCPT TO:<nobody@example.test>\r\n")
        return client

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return list(pool.map(one, range(count)))


def rates(servers, seconds):
    """Good messages a second to each of these ports over eight senders in turn with those of the others, all at the same time:
    whatever else the machine does, it does to all of them."""
    end = time.monotonic() + seconds

    def send(n):
        sent = 0
        while time.monotonic() < end:
            assert deliver(servers[n % len(servers)], "a@b.test", "alice@example.test").code == 250
            sent += 1
        return sent

    count = 8 * len(servers)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        sent = list(pool.map(send, range(count)))
    return [sum(sent[n :: len(servers)]) / seconds for n in range(len(servers))]


def beside(mired, count, seconds):
    """Throughput of good mail beside `count` held clients, as a part of that of a mired without any; the memory of each."""
    raise_limit(count + 1000)
    m, other = (
        mired(tarpit="time = 240s max = 240s pace = false drip = 0 freeze = off held_per_client = 60000") for _ in range(2)
    )
    both = [m.port, other.port]
    rates(both, 2)
    workers = m.processes("worker")
    memory = sum(map(processes.private_bytes, workers))
    clients = hold(m.port, count)
    with_held, alone = rates(both, seconds)
    each = (sum(map(processes.private_bytes, workers)) - memory) / count
    print(f"{count} held: {each:.0f} octets each, good mail {with_held:.0f}/s of {alone:.0f}/s")
    for client in clients:
        client.close()
    return with_held / alone, each


@pytest.mark.alone
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_a_thousand_held_clients_cost_little_and_slow_nobody(mired):
    ratio, each = beside(mired, 1000, 5)
    assert each < 2048  # pages and pools weigh on so few; the soak test holds it to the budget
    assert ratio > 0.6


@pytest.mark.soak
def test_ten_thousand_held_clients_leave_good_mail_nine_tenths_of_its_throughput(mired):
    ratio, each = beside(mired, 10_000, 8)
    assert each < 400
    assert ratio > 0.9
