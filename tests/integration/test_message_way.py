"""The way of a message's octets: scanned, kept, handed over."""

import contextlib
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest

from lib import processes
from lib.certificates import Authority
from lib.dovecot import Dovecot
from lib.letters import Sender, letter, sizes
from lib.mired import BUILD, PEOPLE, read_maildir
from lib.postfix import Postfix
from lib.receivers import Receiver

SCANNER = BUILD / "tests/unit/smtp/test_smtp_data_vectors"
MEGA = 1 << 20
MOST = 30 * MEGA


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 77])
def test_the_scanner_with_vectors_decides_as_the_scalar_one_over_a_billion_octets(seed):
    done = subprocess.run([SCANNER, str(10**9), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def built_in(stack):
    return 'backend "maildir" { }', lambda m: m.mail / "example.test" / "alice"


def postfix(stack):
    p = Postfix(extra=f"message_size_limit = {2 * MOST}\nvirtual_mailbox_limit = 0\nmailbox_size_limit = 0")
    stack.callback(p.remove)
    stack.callback(p.stop)
    p.start()
    return f'backend "smtp://127.0.0.1:{p.port}" {{ }}', lambda m: p.mail / "example.test" / "alice"


def dovecot(stack):
    d = Dovecot()
    stack.callback(d.remove)
    stack.callback(d.stop)
    d.start()
    return f'backend "lmtp:{d.lmtp}" {{ }}', lambda m: d.mail / "example.test" / "alice"


def exim(stack):
    main = 'daemon_smtp_ports = 10025\nlocal_interfaces = 127.0.0.1\nmessage_size_limit = 80M\nsmtp_accept_queue_per_connection = 0\n'
    r = Receiver("exim-heavy", main)
    stack.callback(r.remove)
    stack.callback(r.stop)
    r.start()
    return f'backend "smtp://127.0.0.1:{r.port}" {{ }}', lambda m: r.folder / "mail" / "alice"


@pytest.fixture
def stack():
    with contextlib.ExitStack() as held:
        yield held


@pytest.fixture(scope="module")
def certificate():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mired-way-"))
    yield Authority(folder).issue("mx.example.test")
    shutil.rmtree(folder)


def arrived(folder, timeout=60):
    """The one message that is there; its file is removed."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        new = list((folder / "new").iterdir()) if (folder / "new").is_dir() else []
        if new:
            assert len(new) == 1
            text = new[0].read_bytes()
            new[0].unlink()
            return text.replace(b"\r\n", b"\n")
        time.sleep(0.01)
    raise AssertionError("nothing has arrived")


def send_letters(mired, stack, certificate, backend, count, most, seed, config=""):
    """Each in a transaction of its own, on connections kept for a few; octet for octet what has arrived."""
    section, folder = backend(stack)
    m = mired(
        backend=section,
        tarpit="time = 1s",
        config=f'size_max = 70M tls {{ certificate = "{certificate[0]}" key = "{certificate[1]}" }} {config}',
    )
    random_, sender = random.Random(seed), None
    for number, size in enumerate(sizes(random_, count, most)):
        if not sender or random_.random() < 0.3:
            if sender:
                sender.close()
            sender = Sender(m.port, random_, tls=random_.random() < 0.5)
        message = letter(random_, size)
        name, chunks = f"n{number}@sender.test", random_.random() < 0.5
        reply = sender.letter(name, "alice@example.test", message, chunks)
        assert reply.code == 250, (number, size, chunks, reply.text)
        text = arrived(folder(m))
        assert text.endswith(message.replace(b"\r\n", b"\n")), (number, size, chunks, seed)
    sender.close()


BACKENDS = [built_in, postfix, dovecot, exim]


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_messages_arrive_octet_for_octet(mired, stack, certificate, backend):
    send_letters(mired, stack, certificate, backend, 25, 12 * MEGA, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_random_messages_of_up_to_30_mb_arrive_octet_for_octet(mired, stack, certificate, backend):
    """250 through each backend."""
    send_letters(mired, stack, certificate, backend, 250, MOST, seed=2)
