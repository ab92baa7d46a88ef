"""R14: users who share their address with a password guesser (an office with an infected PC) log in at once."""

import re
import statistics
import time

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.smtp import Client

OWNER, PASSWORD, OTHER = "alice@example.test", "wonderland", "nobody@example.test"
MASKED = 4  # seconds
TARPIT = f"time = 500ms max = {MASKED}s growth = 1 shield = 5"


@pytest.fixture(params=["file", "dovecot"])
def shared(request, mired):
    """A mired, and an address that the owner has logged in from, where somebody guesses. It is on the shield."""
    d = None
    if request.param == "dovecot":
        d = Dovecot()
        d.start()
        m = mired(tarpit=TARPIT, passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    else:
        m = mired(tarpit=TARPIT)
    home = ports.stranger()
    assert log_in(m, home, OWNER, PASSWORD)[1] == 235
    m.booked()
    assert m.control("penalise", home, "--offences", "100").returncode == 0
    yield m, home
    if d:
        d.stop()
        d.remove()


def log_in(m, source, user, password, kind="PLAIN"):
    """Seconds from the connection to the greeting and from AUTH to the reply, and its code."""
    begun = time.monotonic()
    with Client(m.submission, source=source) as client:
        client.ehlo()
        greeted = time.monotonic() - begun
        reply = client.login(user, password)
        return greeted + reply.seconds, reply.code


@pytest.mark.alone
def test_a_guesser_at_the_same_address_does_not_keep_users_out(shared):
    m, home = shared
    assert log_in(m, home, OTHER, "guess")[1] == 454
    took = [log_in(m, home, OWNER, PASSWORD) for _ in range(20)]
    assert {code for _, code in took} == {235}
    assert statistics.median(seconds for seconds, _ in took) < 1
    assert re.search(r"shield", m.control("show", home).stdout)


@pytest.mark.alone
def test_a_wrong_password_sounds_the_same_for_a_user_and_for_an_unknown_name(shared):
    """Dovecot answers a wrong password after 2 s: that must not be heard."""
    m, home = shared
    heard = {}
    for user in (OWNER, OTHER) * 3:
        seconds, code = log_in(m, home, user, "guess")
        assert code == 454
        heard.setdefault(user, []).append(seconds)
    print(heard)
    assert all(MASKED - 0.1 < s < MASKED + 1 for s in heard[OWNER] + heard[OTHER])
    assert abs(statistics.median(heard[OWNER]) - statistics.median(heard[OTHER])) < 0.1


@pytest.mark.alone
def test_after_six_guesses_at_his_name_a_user_waits_there_and_nowhere_else(shared):
    m, home = shared
    for _ in range(6):  # hangs up at once: that gives nothing back
        with Client(m.submission, source=home) as client:
            client.ehlo()
            client.send("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==\r\n")
            time.sleep(0.1)
    assert log_in(m, home, OWNER, PASSWORD)[1] == 454
    assert re.search(r"networks +127\.[0-9.]+/24.*, no passwords out of turn left", m.control("show", OWNER).stdout)
    assert log_in(m, ports.stranger(), OWNER, PASSWORD)[1] == 235
