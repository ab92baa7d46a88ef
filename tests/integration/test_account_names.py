"""Field notes G5: passwords for one account under other spellings count as passwords for one account (R14)."""

import base64
import json

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.smtp import Client
from lib.waiting import until

STRANGERS = 40
TARPIT = "time = 60s max = 250s growth = 1"  # few turns fit before the queue of an account is full
PASSWORD = "wonderland"

# What Dovecot makes of a name, and the spellings of alice that come to one account.
NAMES = {
    "%Ln": ("alice", [f"alice@d{i}.example" for i in range(STRANGERS)]),
    "%Lu": ("alice@example.test", [s for i in range(STRANGERS) for s in [["alice", "Alice", "ALICE", "aLiCe"][i % 4] + "@example.test"]]),
}


@pytest.fixture
def dovecot():
    started = []

    def start(username_format, account):
        d = Dovecot(extra=f"auth_username_format = {username_format}\n", users={account: "{PLAIN}" + PASSWORD})
        started.append(d)
        return d.start()

    yield start
    for d in started:
        d.stop()
        d.remove()


def token(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def looked_at(dovecot):
    """How many passwords Dovecot was asked to check and found wrong."""
    return dovecot.log.lower().count("password mismatch")


def guess_all(m, spellings):
    """Each stranger sends one wrong password; returns when all have been judged, in whatever way."""
    clients = []
    for user in spellings:
        client = Client(m.submission, source=ports.stranger())
        client.ehlo()
        clients.append(client)
    for client, user in zip(clients, spellings):
        client.send(f"AUTH PLAIN {token(user, 'guess')}\r\n")
    until(lambda: held(m) >= len(spellings), why=lambda: m.control("status").stdout)
    return clients


def held(m):
    return json.loads(m.control("status", "--json").stdout)["held"]


@pytest.mark.parametrize("username_format", NAMES)
def test_spellings_of_one_account_are_one_account(mired, dovecot, username_format):
    account, spellings = NAMES[username_format]
    d = dovecot(username_format, account)
    m = mired(tarpit=TARPIT, passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    clients = guess_all(m, spellings)
    # Four at a time are looked at for an account, then those who have got one of its turns.
    until(lambda: looked_at(d) >= 1)  # Dovecot's log comes later than its answer
    assert looked_at(d) <= 14, d.log[-3000:]
    for client in clients:
        client.close()


def test_the_owner_is_known_under_each_spelling(mired, dovecot):
    d = dovecot("%Ln", "alice")
    m = mired(tarpit=TARPIT, passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    home = ports.stranger()

    def log_in(user):
        with Client(m.submission, source=home) as client:
            client.ehlo()
            reply = client.login(user, PASSWORD)
            assert reply.code == 235, (user, reply)
            return reply.seconds

    log_in("alice@home.example")
    m.booked()
    clients = guess_all(m, [f"alice@d{i}.example" for i in range(STRANGERS)])
    for user in ("alice@home.example", "alice", "ALICE@home.example", "alice@never-typed-before.example"):
        assert log_in(user) < 30, user  # a hold takes 60 s
    for client in clients:
        client.close()


@pytest.mark.parametrize("typed", ["alice@x{}.branches.test", "alice@{}.deep.BRANCHES.test", "Alice@branches.tes{}"])
def test_domains_below_a_suffix_are_no_accounts_of_their_own(mired, dovecot, typed):
    """A verifier that ignores the domain knows one alice. With a stolen password, each domain that a thief thought of
    had an allowance of its own, and no network was new to it: 18 recipients of 18 instead of 3."""
    d = dovecot("%Ln", "alice")
    m = mired(
        domains=(".branches.test",),
        recipients=("x@branches.test",),
        passwords=None,
        config=f'auth "dovecot" {{ domains = {{ ".branches.test", ".branches.tes0", "branches.tes1", "branches.tes2" }} path = "{d.auth}" }}\n'
        "allowance { recipients_per_hour = 3 }",
    )
    sent = 0
    for n in range(3):
        m.booked()
        with Client(m.submission, source=f"127.90.{n}.1") as client:
            client.ehlo()
            assert client.login(typed.format(n), PASSWORD).code == 235
            for _ in range(6):
                code = client.message("a@branches.test", ["x@branches.test"]).code
                sent += code == 250
                if code != 250:
                    client.must("RSET", 250)
    assert sent == 3 + 1  # of the known network, and a tenth of that for all new ones together
    m.booked()
    assert "account alice@branches.test" in m.control("show", "alice@branches.test").stdout
