"""One mailbox of the built-in store fails (a folder in the way, no rights, a full disk of its own): its recipient alone
waits, until it is mended, and then nobody has a second copy."""

import itertools
import os
import pathlib
import shutil
import subprocess

import pytest

from lib.smtp import deliver, transaction

ALICE, BOB, TAGGED, CAROL = "alice@example.test", "bob@example.test", "bob+lists@example.test", "carol@example.test"
BODY = b"".join(b"%068d\r\n" % n for n in range(300))
NAMED = b"DKIM-Signature: v=1; d=b.test; b=c2lnbmVk\r\nMessage-ID: <1@b.test>\r\nSubject: one\r\n\r\n" + BODY
UNNAMED = b"Subject: one\r\n\r\n" + BODY  # an alarm, which a device sends again with the same octets
NETWORKS = [f"127.{n}.{n}.{n}" for n in range(60, 70)]
# Makes bob's mailbox a file system of so many octets, which is gone with mired.
SMALL_BOX = """
    mail=$(dirname "$4")/state/mail
    mkdir -p "$mail/example.test/bob" && chown -R nobody "$mail" &&
    mount -t tmpfs -o size="$1",mode=700,uid=$(id -u nobody) tmpfs "$mail/example.test/bob" && shift && exec "$@"
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start mired as somebody else, and mount")


class Box:
    """mired with bob's mailbox damaged in a way; `mend()` makes it whole."""

    def __init__(self, mired, way, workers):
        self.way = way
        options = {"prefix": ["unshare", "-m", "sh", "-c", SMALL_BOX, "sh", "8192"]} if way == "full" else {}
        self.m = mired(recipients=(ALICE, BOB, CAROL), tarpit="time = 0", workers=workers, user="nobody", **options)
        self.root = pathlib.Path(f"/proc/{self.m.pid}/root{self.m.mail}/example.test")
        self.box = self.root / "bob"
        if way != "full":
            self.box.mkdir(parents=True, mode=0o700)
            for folder in (self.root, self.box):
                shutil.chown(folder, "nobody")
        if way == "file":
            (self.box / "new").write_text("")
        elif way == "rights":
            self.box.chmod(0)

    def mend(self):
        if self.way == "file":
            (self.box / "new").unlink()
        elif self.way == "rights":
            self.box.chmod(0o700)
        else:
            path = f"{self.m.mail}/example.test/bob"
            subprocess.run(["nsenter", "-t", str(self.m.pid), "-m", "mount", "-o", "remount,size=4M", path], check=True)

    def copies(self, *people):
        return [len(list(self.root.glob(f"{p.split('@')[0]}/new/*"))) for p in people]


# What the client hears of bob alone, and what the log says.
WAYS = {
    "file": (451, 'error="Not a directory"'),
    "rights": (451, 'error="Permission denied"'),
    "full": (452, 'error="No space left on device"'),
}
ORDERS = {
    "as before": lambda left: [left],
    "the other way round": lambda left: [left[::-1]],
    "apart": lambda left: [[to] for to in left],
}


class Queue:
    """A sender's queue with one message: each try goes to those that are left: from another network, or where
    neither a signature nor a Message-ID says that it is the same message, from the same one."""

    def __init__(self, box, people, message, order):
        self.box, self.left, self.message, self.order = box, list(people), message, ORDERS[order]
        self.networks, self.heard = itertools.cycle(NETWORKS if message == NAMED else NETWORKS[:1]), {}

    def send(self, people):
        codes, _ = transaction(
            self.box.m.port, "a@b.test", people, self.message, next(self.networks), f" SIZE={len(self.message)}"
        )
        self.box.m.booked()  # the next try may come to another worker
        return codes

    def run(self, tries):
        while self.left and tries:
            for people in self.order(self.left):
                self.heard |= self.send(people)
            self.left = [to for to in self.left if self.heard[to] != 250]
            tries -= 1


@pytest.mark.parametrize(
    "way, workers, message, order, people",
    [
        *itertools.product(["file"], [1, 2], [NAMED, UNNAMED], ORDERS, [(ALICE, BOB, CAROL)]),
        *itertools.product(["file"], [2], [NAMED, UNNAMED], ["as before"], [(BOB, ALICE), (TAGGED, ALICE, BOB)]),
        *itertools.product(["rights", "full"], [2], [NAMED], ["as before"], [(ALICE, BOB, CAROL), (BOB, ALICE)]),
    ],
    ids=lambda v: v if isinstance(v, str) else str(len(v)) if isinstance(v, (bytes, tuple)) else None,
)
def test_only_the_recipient_whose_mailbox_fails_waits(mired, way, workers, message, order, people):
    box, code, error = Box(mired, way, workers), *WAYS[way]
    well = [to for to in people if "bob" not in to]
    queue = Queue(box, people, message, order)
    assert queue.send(people) == dict.fromkeys(people, 451)
    assert box.copies(*well) == [1] * len(well)  # at once
    queue.run(4)
    assert queue.heard == {to: 250 if to in well else queue.heard[to] for to in people}
    assert code in queue.heard.values() and set(queue.heard.values()) <= {250, code, 452}
    assert box.copies(*well) == [1] * len(well)
    assert not list(box.root.glob("*/tmp/*"))
    line = next(line for line in box.m.log.text.splitlines() if "event=not_stored" in line)
    assert error in line and "mailbox=example.test/bob" in line and "to=alice" not in line
    box.mend()
    queue.run(4)
    assert not queue.left
    assert box.copies(BOB, *well) == [1] * (1 + len(well))
    if message == UNNAMED:  # the next alarm is another message
        queue = Queue(box, people, message, order)
        queue.run(4)
        assert not queue.left
        assert box.copies(BOB, *well) == [2] * (1 + len(well))


def test_a_mailbox_that_fails_again_and_again_delays_no_mail_of_others(mired):
    """Each message of many comes to alice with the first try. (Sizes differ: see "split" in docs/mixed-answers.md.)"""
    box = Box(mired, "file", 2)
    for n in range(20):
        queue = Queue(box, [BOB, ALICE] if n % 2 else [ALICE, BOB], b"Subject: %s\r\n\r\n" % (b"x" * n) + BODY, "as before")
        queue.send(queue.left)
        assert box.copies(ALICE) == [n + 1]


def test_a_real_postfix_delivers_to_the_others_and_later_to_the_mended_mailbox(mired, postfix):
    box = Box(mired, "file", 2)
    sender = postfix(
        hostname="sender.test", domains="sender.test", boxes=("writer@sender.test",),
        extra=f"relayhost = [127.0.0.1]:{box.m.port}",
    )  # fmt: skip
    people = [BOB, ALICE, CAROL]
    assert deliver(sender.port, "writer@sender.test", people, UNNAMED, source="127.0.0.1").code == 250
    sender.wait_log(rf"to=<{ALICE}>.*status=sent")
    sender.wait_log(rf"to=<{CAROL}>.*status=sent")
    sender.wait_log(rf"to=<{BOB}>.*status=deferred")
    assert box.copies(ALICE, CAROL) == [1, 1]
    box.mend()
    sender.wait_log(rf"to=<{BOB}>.*status=sent")
    assert box.copies(ALICE, BOB, CAROL) == [1, 1, 1]
