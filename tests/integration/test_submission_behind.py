"""Field notes 13: a login at mired is one at the server behind it."""

import re

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.scram import Login, password_file as scram_file
from lib.smtp import Client

USER, PASSWORD = "alice@example.test", "wonderland"


@pytest.fixture
def dovecot():
    started = []

    def start(**options):
        started.append(Dovecot(**options))
        return started[-1].start()

    yield start
    for d in started:
        d.stop()
        d.remove()


def relay_for_logins(postfix, dovecot):
    """A Postfix that relays for who has logged in only, and for nobody because of its network."""
    return postfix(
        extra="smtpd_authorized_xclient_hosts = static:all\n"
        f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dovecot.auth}\n"
        "smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n"
        "default_transport = discard\n"
    )


def send(client, to="someone@far.elsewhere.test"):
    return client.message(USER, to)


@pytest.mark.parametrize("typed", ["alice@here.test", "ALICE"])
def test_postfix_relays_for_the_account_that_dovecot_names(mired, postfix, dovecot, typed):
    d = dovecot(extra="auth_username_format = %Ln\n", users={"alice": "{PLAIN}" + PASSWORD})
    backend = relay_for_logins(postfix, d)
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true connections = 1 }}', workers=1, tarpit="time = 0",
        passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}',
    )  # fmt: skip
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(typed, PASSWORD).code == 235
        assert send(client).code == 250
        client.ehlo("again.elsewhere.test")  # it stays logged in
        assert send(client).code == 250
    backend.wait_log(r"sasl_method=\S+, sasl_username=alice\n")
    # Who comes next by the same connection, without a login, is nobody.
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
        backend.wait_log(rf": client=unknown\[{re.escape(client.source)}\]\n")


LONG = [
    "alice@" + "\u00e9" * 100 + ".test",
    "alice@" + "x" * 245 + "+.t",
]


@pytest.mark.parametrize("typed", LONG, ids=["beyond ASCII", "one sign"])
def test_no_spelling_of_an_account_passes_for_the_host_that_mired_is(mired, postfix, dovecot, typed):
    """Postfix takes 255 octets of xtext in XCLIENT's LOGIN. In mired's own name, which it trusts, the account could send as
    anybody."""
    d = dovecot(extra="auth_username_format = %Ln\nauth_username_chars =\n", users={"alice": "{PLAIN}" + PASSWORD})
    backend = postfix(
        extra="smtpd_authorized_xclient_hosts = static:all\nmynetworks = 127.0.0.1\n"
        f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {d.auth}\n"
        "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination\n"
        "smtpd_sender_restrictions = permit_mynetworks, reject_sender_login_mismatch\n"
        "smtpd_sender_login_maps = inline:{chef@example.test=chef}\n"
        "default_transport = discard\n"
    )
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true }}', workers=1, tarpit="time = 0",
        passwords=None, config='auth "backend" { }',
    )  # fmt: skip
    client_address = ports.stranger()
    for name, code in ((typed, 451), ("alice", 553)):
        with Client(m.submission, source=client_address) as client:
            client.ehlo()
            assert client.login(name, PASSWORD).code == 235
            assert client.message("chef@example.test", "someone@far.elsewhere.test").code == code
    assert "from=<chef@example.test>, size" not in backend.log
    with Client(m.port) as client:  # others' mail passes
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250


def test_scram_and_a_file_are_passed_on_too_and_received_says_how_it_came(mired, postfix, dovecot):
    backend = relay_for_logins(postfix, dovecot())
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true }}', tarpit="time = 0",
        stored=scram_file, config="received_login = true",
    )  # fmt: skip
    with Client(m.submission) as client:
        client.ehlo()
        assert Login(client, USER.upper(), PASSWORD).log_in().code == 235
        assert send(client).code == 250
        assert send(client, USER).code == 250
    backend.wait_log(r"sasl_username=alice@example.test")
    (message,) = backend.delivered(USER)
    assert b"with ESMTPA id" in message and b"(authenticated as alice@example.test)" in message


def test_received_names_nobody_unless_it_is_wanted(mired):
    m = mired(tarpit="time = 0")
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, PASSWORD).code == 235
        assert send(client, USER).code == 250
    (message,) = m.delivered(USER)
    received = message.split(b"\n\n")[0]
    assert b"with ESMTPA id" in received and b"authenticated as" not in received
