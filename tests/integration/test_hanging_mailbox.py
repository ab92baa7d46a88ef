"""A mailbox or a domain's folder of the built-in store hangs: its recipients hear 451, all others get their mail, and
when it is well again nobody has a second copy and nothing is lost."""

import itertools
import pathlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import hanging
from lib.smtp import transaction
from lib.waiting import until

ALICE, BOB, CAROL = "alice@example.test", "bob@example.test", "carol@example.test"
MANY = [f"u{n}@many.test" for n in range(60)]
CONNECTIONS = 8  # to the store
GIVEN_UP = 25  # seconds: COURIER_PATIENCE_MS and COURIER_SLOW_MS of store/courier.h, and some for the machine
QUICK = 10  # what does not wait for that


class Store:
    """mired with a folder that hangs on freeze()."""

    def __init__(self, mired, folder, where, workers=2):
        self.folder = hanging.HangingFolder(folder, where)
        self.m = mired(
            recipients=(ALICE, BOB, CAROL, *MANY), domains=("example.test", "many.test"), tarpit="time = 0",
            backend=f'backend "maildir" {{ connections = {CONNECTIONS} }}',
            workers=workers, user="nobody", prefix=self.folder.prefix,
        )  # fmt: skip
        self.folder.attach(self.m)
        self.freeze, self.thaw = self.folder.freeze, self.folder.thaw
        self.client, self.lock, self.number = itertools.cycle(range(1, 250)), threading.Lock(), itertools.count()

    def send(self, people, text=None):
        """({recipient: code}, seconds)."""
        with self.lock:
            source, number = f"127.60.1.{next(self.client)}", next(self.number)
        begun = time.monotonic()
        codes, _ = transaction(self.m.port, "a@b.test", people, text or b"Subject: %d\r\n\r\n%d\r\n" % (number, number), source)
        return codes, time.monotonic() - begun

    def copies(self, *people):
        boxes = [self.folder.mail / domain / local for local, domain in (p.split("@") for p in people)]
        return [len(list(box.glob("new/*"))) for box in boxes]

    def threads(self):
        [store] = self.m.processes_of("store")
        return len(list(pathlib.Path(f"/proc/{store}/task").iterdir()))

    def settle(self):
        """What hung has come back and has cleaned up."""
        until(lambda: self.threads() <= 2 * CONNECTIONS + 1 and not list(self.folder.mail.glob("*/*/tmp/*")))


@pytest.fixture
def store(mired, tmp_path):
    why = hanging.why_not(tmp_path)
    if why:
        pytest.skip(why)
    made = []

    def make(*arguments, **options):
        made.append(Store(mired, tmp_path, *arguments, **options))
        return made[-1]

    yield make
    for s in made:
        s.folder.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_others_get_their_copies_while_a_mailbox_hangs(store, workers):
    s = store("example.test/bob", workers)
    text = b"Message-ID: <1@b.test>\r\nSubject: one\r\n\r\n" + b"x" * 60 + b"\r\n"
    s.freeze()
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(s.send, [ALICE, BOB, CAROL], text)
        until(lambda: s.copies(ALICE, CAROL) == [1, 1])
        assert not sent.done()  # before bob's mailbox is given up
        codes, seconds = sent.result()
    assert set(codes.values()) == {451} and seconds < GIVEN_UP
    s.m.booked()
    left = [ALICE, BOB, CAROL]
    for _ in range(4):
        codes, seconds = s.send(left, text)
        s.m.booked()
        assert seconds < QUICK and codes[BOB] in (451, 452)  # 452: on its own, please
        left = [p for p in left if codes[p] != 250]
    assert left == [BOB] and s.copies(ALICE, CAROL) == [1, 1]
    assert 'error="Connection timed out"' in s.m.log.text and "mailbox=example.test/bob" in s.m.log.text
    s.thaw()
    s.settle()
    assert s.copies(BOB) == [0]  # the sender was told that it has not been delivered
    assert s.send([BOB], text)[0] == {BOB: 250}
    assert s.copies(ALICE, BOB, CAROL) == [1, 1, 1]


def test_a_message_whose_file_hangs_comes_with_the_next_try(store):
    """The first mailbox gets the file; nobody can have it from there."""
    s = store("example.test/bob", 1)
    text = b"Subject: big\r\n\r\n" + b"".join(b"%068d\r\n" % n for n in range(3000))
    s.freeze()
    codes, seconds = s.send([BOB, ALICE, CAROL], text)
    assert set(codes.values()) == {451} and seconds < GIVEN_UP
    left = [BOB, ALICE, CAROL]
    for _ in range(4):
        codes, seconds = s.send(left, text)
        assert seconds < QUICK
        left = [p for p in left if codes[p] != 250]
    assert left == [BOB] and s.copies(ALICE, CAROL) == [1, 1]
    s.thaw()
    s.settle()
    assert s.copies(BOB) == [0]
    assert s.send([BOB], text)[0] == {BOB: 250}
    assert s.copies(BOB, ALICE, CAROL) == [1, 1, 1]


def flood(s, people, stop):
    """Sends to these people until `stop`; returns how often which code was heard."""
    heard = []
    for to in itertools.cycle(people):
        if stop.is_set():
            return heard
        codes, _ = s.send([to])
        heard.append(codes[to])


@pytest.mark.parametrize(
    "where, people", [("example.test/bob", [BOB]), ("many.test", MANY)], ids=["a mailbox", "a domain with 60 mailboxes"]
)
def test_messages_without_end_to_what_hangs_do_not_stop_the_store(store, where, people):
    s = store(where)
    well = people[:10]
    for to in well:
        assert s.send([to])[0] == {to: 250}
    stop, senders = threading.Event(), 3 * CONNECTIONS
    s.freeze()
    with ThreadPoolExecutor(senders) as pool:
        try:
            sent = [pool.submit(flood, s, people[n % len(people) :] + people[: n % len(people)], stop) for n in range(senders)]
            until(lambda: s.threads() > CONNECTIONS)
            codes, first = s.send([ALICE])
            assert codes == {ALICE: 250} and first < 2 * GIVEN_UP
            until(lambda: s.m.log.text.count("event=not_stored") > 2 * CONNECTIONS)
            slowest = 0
            for _ in range(40):
                codes, seconds = s.send([ALICE])
                assert codes == {ALICE: 250}
                slowest = max(slowest, seconds)
            most = s.threads()
            assert slowest < QUICK
            assert most <= 4 * CONNECTIONS + 16 + 1  # sessions, their hands, and those that do not come back
        finally:
            stop.set()
            s.thaw()
        heard = [code for f in sent for code in f.result()]
    print(f"heard: {len(heard)}, alice: at first {first:.1f} s, then {slowest:.2f} s at most, threads: {most}")
    assert set(heard) <= {250, 451} and heard.count(451) > 2 * CONNECTIONS
    s.settle()
    assert sum(s.copies(*people)) == heard.count(250) + len(well)
    for to in people:
        assert s.send([to])[0] == {to: 250}
