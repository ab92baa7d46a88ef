"""The backend never waits for a stranger, however slowly it sends."""

import statistics
import threading
import time

import pytest

from lib.smtp import Client, deliver


class Drippers(threading.Thread):
    """Clients that know a real address and send their data one octet a second."""

    def __init__(self, port, count):
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.clients = []
        for _ in range(count):
            client = Client(port)
            client.ehlo()
            client.envelope("slow@b.test", ["alice@example.test"])
            client.must("DATA", 354)
            self.clients.append(client)

    def run(self):
        while not self.ended.wait(1):
            for client in self.clients:
                client.send(b"x")

    def stop(self):
        self.ended.set()
        self.join()
        for client in self.clients:
            client.close()


@pytest.mark.alone
def test_two_hundred_slow_senders_do_not_slow_a_postfix_with_ten_processes(mired, postfix):
    backend = postfix(extra="default_process_limit = 10")
    m = mired(tarpit="time = 20s", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}')

    def good_mail(count=40):
        seconds = []
        for _ in range(count):
            begun = time.monotonic()
            assert deliver(m.port, "a@b.test", "bob@example.test").code == 250
            seconds.append(time.monotonic() - begun)
        return statistics.median(seconds)

    before = good_mail()
    slow = Drippers(m.port, 200)
    slow.start()
    try:
        time.sleep(2)
        beside = good_mail()
        assert len(backend.servers("smtpd")) <= 10
    finally:
        slow.stop()
    print(f"median {before * 1000:.1f} ms before, {beside * 1000:.1f} ms beside 200 slow senders")
    assert beside < 3 * before + 1  # who waits for one of the ten processes waits for minutes
    assert len(backend.delivered("bob@example.test", count=80)) == 80
