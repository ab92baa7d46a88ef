"""R14: an account that is being guessed at is slow for strangers, and not for its owner."""

import asyncio
import base64
import multiprocessing
import re
import statistics
import subprocess
import time

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.mired import PASSWORDS
from lib.smtp import Client

USER, PASSWORD = "alice@example.test", "wonderland"
TURN = 0.5  # seconds
TARPIT = "time = 500ms max = 1s growth = 1"

# By way of Postfix all logins come from one address, and what Dovecot does against it would hit the owner.
NO_PENALTY = """
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""


@pytest.fixture
def guarded(mired, postfix):
    """guarded(verifier): a mired whose logins are checked by that one."""
    dovecots = []

    def start(verifier):
        if verifier == "file":
            return mired(tarpit=TARPIT)
        d = Dovecot(extra=NO_PENALTY)
        dovecots.append(d)
        d.start()
        if verifier == "dovecot":
            return mired(tarpit=TARPIT, passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
        backend = postfix(
            extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {d.auth}\n"
            "smtpd_sasl_local_domain = example.test"
        )
        return mired(
            tarpit=TARPIT, passwords=None, config='auth "backend" { }',
            backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}',
        )  # fmt: skip

    yield start
    for d in dovecots:
        d.stop()
        d.remove()


def token(password):
    return base64.b64encode(f"\0{USER}\0{password}".encode())


class Guessers:
    """Wrong passwords for one account, each address with a connection and guesses of its own. A process of their own,
    so that the owner's clock, which runs here, does not wait for them.

    codes: how often each reply came, at the end."""

    def __init__(self, port, addresses, each):
        self.port, self.addresses, self.each, self.codes = port, addresses, each, {}
        here, there = multiprocessing.Pipe(duplex=False)
        self.told = here
        self.process = multiprocessing.get_context("fork").Process(target=self.run, args=(there,), daemon=True)

    def run(self, told):
        asyncio.run(self.all())
        told.send(self.codes)

    async def guess(self, source, n):
        reader = writer = None
        for i in range(self.each):
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
                    await reader.readline()
                    writer.write(b"EHLO bot.test\r\n")
                    while (await reader.readline())[3:4] == b"-":
                        pass
                writer.write(b"AUTH PLAIN " + token(f"guess-{n}-{i}") + b"\r\n")
                line = b"000-"
                while line[3:4] == b"-":
                    line = await reader.readline()
                code = line[:3].decode() or "closed"
            except OSError:
                code = "closed"
            self.codes[code] = self.codes.get(code, 0) + 1
            if code == "closed":
                writer = None
        if writer:
            writer.close()

    async def all(self):
        await asyncio.gather(*(self.guess(source, n) for n, source in enumerate(self.addresses)))

    def __enter__(self):
        self.begun = time.monotonic()
        self.process.start()
        return self

    @property
    def at_work(self):
        return self.process.is_alive()

    def __exit__(self, *_):
        if self.told.poll(600):
            self.codes = self.told.recv()
        self.process.join()
        self.seconds = time.monotonic() - self.begun


def log_in(port, source):
    """Seconds from AUTH to the reply, and its code."""
    with Client(port, source=source) as client:
        client.ehlo()
        reply = client.login(USER, PASSWORD)
        return reply.seconds, reply.code


def withstand(m, addresses, guesses):
    """Returns the seconds that each of the owner's logins took, in order."""
    home = ports.stranger()
    assert log_in(m.submission, home)[1] == 235  # its network is known from now on
    m.booked()
    neighbour = re.sub(r"\d+$", "251", home)
    owner = []
    with Guessers(m.submission, [ports.stranger() for _ in range(addresses)], guesses // addresses) as bots:
        while bots.at_work:
            seconds, code = log_in(m.submission, neighbour)
            assert code == 235
            owner.append(seconds)
            bots.process.join(0.1)
    soon = sorted(owner)[int(len(owner) * 0.95)]
    print(
        f"{guesses:,} guesses from {addresses:,} addresses in {bots.seconds:.1f} s: {bots.codes}; the owner's "
        f"{len(owner)} logins: median {statistics.median(owner) * 1000:.0f} ms, 95 % within {soon * 1000:.0f} ms, worst {max(owner) * 1000:.0f} ms"
    )
    assert sum(bots.codes.values()) == guesses // addresses * addresses
    assert not set(bots.codes) - {"535", "454"}, bots.codes
    # One account, one turn at a time: more addresses learn no more.
    assert bots.codes.get("535", 0) <= bots.seconds / TURN + 10, bots.codes
    assert len(owner) >= 5
    return sorted(owner)


@pytest.mark.alone
@pytest.mark.parametrize("verifier", ["file", "dovecot", "backend"])
def test_the_owner_is_fast_while_strangers_guess(guarded, verifier):
    owner = withstand(guarded(verifier), addresses=100, guesses=400)
    assert statistics.median(owner) < TURN  # a turn of the strangers' queue; most of the owner's logins wait for none


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("verifier", ["file", "dovecot", "backend"])
def test_ten_thousand_guesses_from_a_thousand_addresses(guarded, verifier):
    """Also in the first moment, when a thousand ask before any has been found wrong."""
    owner = withstand(guarded(verifier), addresses=1000, guesses=10000)
    assert owner[-1] < 0.2


def test_hydra_and_swaks_see_nothing_but_slowness(mired, tmp_path):
    m = mired(tarpit="time = 300ms max = 1s growth = 1")
    words = tmp_path / "words"
    words.write_text("".join(f"guess{i}\n" for i in range(16)))
    begun = time.monotonic()
    done = subprocess.run(
        ["hydra", "-I", "-l", USER, "-P", words, "-s", str(m.submission), "-t", "4", "127.0.0.1", "smtp"],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert "0 valid password" in done.stdout
    assert time.monotonic() - begun >= 3
    m.log.wait(r"event=session .*offences=[1-9]")
    begun = time.monotonic()
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(m.submission), "--local-interface", "127.0.0.1", "--quit-after", "AUTH",
         "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "guess"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode == 28 and re.search(r"(535 5\.7\.8|454 4\.7\.0)", done.stdout)  # "no auth": an answer, not an error
    assert time.monotonic() - begun >= 0.3
    assert PASSWORDS[USER] not in m.log.text
