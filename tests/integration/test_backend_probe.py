"""What a backend answers to the question for a recipient (`recipients "backend"`): only what it says of the recipient
is told to the client as final, and booked."""

import re

import pytest

from lib.scripted import CLOSE, HELLO, Scripted
from lib.smtp import Client, wait_offered
from lib.waiting import until

ALICE = "alice@example.test"
PROBE = "<>"  # the sender of the questions


def at(stage, reply, times=None, address=None):
    """`reply` to questions only, so that mail passes; `address`: to those for it."""
    left = [times]

    def answer(verb, argument, session):
        asked = PROBE in (session.sender or argument) if verb in ("MAIL", "RCPT") else True
        if verb != stage or not asked or left[0] == 0 or (address and address not in argument):
            return None
        if left[0] is not None:
            left[0] -= 1
        return reply

    return answer


def start(mired, *backends, more="", **options):
    blocks = "\n".join(b.block for b in backends)
    return mired(**{**dict(recipients=None, backend=blocks, config='recipients "backend" { }\n' + more, workers=1), **options})


def ask(m, recipient=ALICE, parameters="", sender="a@b.test"):
    with Client(m.port) as client:
        client.ehlo()
        return client.envelope(sender, [recipient], parameters)[0]


OF_US = [
    ("RCPT", "500 5.5.2 what"),
    ("RCPT", "501 5.5.4 Syntax"),
    ("RCPT", "502 5.5.1 not implemented"),
    ("RCPT", "503 5.5.1 EHLO first"),
    ("RCPT", "504 5.5.2 <mx>: Helo command rejected: need fully-qualified hostname"),
    ("RCPT", "530 5.7.0 Must issue a STARTTLS command first"),
    ("RCPT", "530 Authentication required"),
    ("RCPT", "554 Client host [127.0.0.1] blocked"),
    ("RCPT", "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using zen.example"),
    ("RCPT", "550 5.7.1 Client host rejected: cannot find your reverse hostname, [127.0.0.1]"),
    ("RCPT", "550 5.7.25 The IP address sending this message does not have a PTR record"),
    ("RCPT", "550 Access denied"),
    ("RCPT", "550 5.7.1 Access denied"),
    ("RCPT", "550 Administrative prohibition"),
    ("RCPT", "550 5.7.1 Relaying denied"),
    ("RCPT", "554 5.7.1 <alice@example.test>: Relay access denied"),
    ("RCPT", "553 5.1.8 <>: Sender address rejected: Domain not found"),
    ("RCPT", "550 5.7.1 We do not accept bounces"),
    ("RCPT", "555 5.5.4 Unsupported option"),
    ("RCPT", "521 5.7.1 I take no mail from you"),
    ("RCPT", "354 go on"),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
    ("MAIL", "503 EHLO first"),
    ("MAIL", "550 5.1.1 no such user"),
    ("MAIL", "552 5.3.4 too large"),
    ("MAIL", "452 4.3.1 Insufficient system storage"),
    ("GREETING", "554 5.7.1 blocked"),
    ("EHLO", "450 4.7.1 later"),
]


@pytest.mark.parametrize("stage, reply", OF_US)
def test_what_is_about_us_is_451_and_no_offence(mired, stage, reply):
    """field notes 5"""
    with Scripted(at(stage, reply)) as backend:
        m = start(mired, backend, more="clerks = 1", tarpit="time = 20s")
        told = ask(m)
        assert told.code == 451 and "4.3.0" in told and told.seconds < 15
        m.log.wait(r"event=session .*offences=0")
        m.log.wait(rf"backend {re.escape('smtp://127.0.0.1')}\S+ refuses mired's queries at \S+.*: {reply[:3]} ")
        ask(m, "bob@example.test")
        assert m.log.text.count("refuses mired's queries") == 1  # once a minute and clerk


def test_who_was_known_stays_known_when_the_backend_no_longer_wants_our_queries(mired):
    """As the recipes for Microsoft 365 and Google Workspace say."""
    with Scripted() as backend:
        m = start(mired, backend, config='clerks = 1\nrecipients "backend" { cache = 1s }', tarpit="time = 0")
        assert ask(m).code == 250
        backend.answer = at("RCPT", "550 5.7.606 Access denied, banned sending IP [192.0.2.11]")


        def noticed():
            assert ask(m).code == 250
            return "refuses mired's queries" in m.log.text

        until(noticed)
        assert ask(m).code == 250
        assert ask(m, "bob@example.test").code == 451


OF_THE_RECIPIENT = [
    ("550 5.1.1 <alice@example.test>: Recipient address rejected: User unknown", 550, "5.1.1", "user unknown", 1),
    ("550 No such user here", 550, "5.1.1", "user unknown", 1),
    ("550 Unrouteable address", 550, "5.1.1", "user unknown", 1),
    ("550 5.4.1 Recipient address rejected: No such user", 550, "5.1.1", "user unknown", 1),
    ("550 5.4.1 Recipient address rejected: Access denied", 550, "5.1.1", "user unknown", 1),  # Exchange Online
    ("554 5.7.1 <alice@example.test>: Recipient address rejected: Access denied", 554, "5.7.1", "Access denied", 1),
    ("550 5.2.1 disabled", 550, "5.2.1", "disabled", 1),
    ("550 gesperrt", 550, "5.0.0", "gesperrt", 1),
    ("552 5.2.2 Mailbox full", 552, "5.2.2", "full", 0),
    ("552 Mailbox full", 552, "5.0.0", "full", 0),
    ("450 4.2.1 busy", 451, "4.3.0", "", 0),
]


@pytest.mark.parametrize("reply, code, enhanced, words, offences", OF_THE_RECIPIENT)
def test_what_is_about_the_recipient_is_told(mired, reply, code, enhanced, words, offences):
    """field notes 5"""
    with Scripted(at("RCPT", reply)) as backend:
        m = start(mired, backend, tarpit="time = 0")
        told = ask(m)
        assert told.code == code and enhanced in told and words in told
        m.log.wait(rf"event=session .*offences={offences}")
        assert "refuses mired" not in m.log.text


def test_another_backend_is_asked_where_one_does_not_want_us(mired):
    with Scripted(at("RCPT", "550 Access denied")) as one, Scripted(at("RCPT", "550 5.1.1 no", address="nobody")) as two:
        m = start(mired, one, two, tarpit="time = 0")
        assert ask(m).code == 250
        assert ask(m, "nobody@example.test").code == 550


@pytest.mark.parametrize("reply", ["421 4.3.2 going", "503 5.5.1 EHLO first", "530 5.7.0 STARTTLS first", CLOSE, "354 x"])
def test_a_kept_conversation_that_has_come_to_its_end_is_begun_anew(mired, reply):
    """field notes 7: the directory is not down, and the client notices nothing."""
    with Scripted() as backend:
        m = start(mired, backend, more="clerks = 1\nlookups = 1", tarpit="time = 0")
        assert ask(m).code == 250
        backend.answer = at("RCPT", reply, times=1)
        assert ask(m, "bob@example.test").code == 250
        backend.answer = at("MAIL", reply, times=1)
        assert ask(m, "carol@example.test").code == 250
        assert "directory backend is down" not in m.log.text


@pytest.mark.parametrize("hello", [HELLO, HELLO[1:]], ids=["pipelining", "one by one"])
def test_421_to_the_question_puts_off_and_is_no_directory_that_is_down(mired, hello):
    """field notes 7"""
    with Scripted(at("RCPT", "421 4.7.0 too busy", address="bob"), hello=hello) as backend:
        m = start(mired, backend, tarpit="time = 0")
        assert ask(m, "bob@example.test").code == 451
        assert ask(m).code == 250
        m.log.wait("refuses mired's queries at RCPT: 421 4.7.0 too busy")
        assert "directory backend is down" not in m.log.text


UTF8 = "jörg@example.test"


def test_an_internationalised_address_is_asked_for_as_one(mired):
    """field notes 6"""
    with Scripted() as backend:
        m = start(mired, backend, tarpit="time = 0")
        wait_offered(m.port, "SMTPUTF8")
        assert ask(m, UTF8, " SMTPUTF8").code == 250
        assert backend.wait_said("MAIL FROM:<> SMTPUTF8")
        assert ask(m).code == 250
        assert backend.wait_said("MAIL FROM:<>", count=2)[-1] == "MAIL FROM:<>"


def test_a_backend_without_smtputf8_is_never_sent_one_and_the_client_is_not_booked(mired):
    """field notes 6, RFC 6531 3.2"""
    with Scripted() as backend:
        m = start(mired, backend, tarpit="time = 20s")
        assert ask(m).code == 250
        wait_offered(m.port, "SMTPUTF8")
        with Client(m.port) as client:  # SMTPUTF8 was offered, then the backend came back without it
            client.ehlo()
            client.must("MAIL FROM:<a@b.test> SMTPUTF8")
            backend.hello = HELLO[:3]
            backend.answer = at("RCPT", CLOSE, times=1)
            reply = client.say(f"RCPT TO:<{UTF8}>")
            assert reply.code in (451, 553) and reply.seconds < 15
        told = m.log.wait(r"event=session .*offences=")
        assert "offences=0" in told
        said = backend.wait_said("")
        assert all(said[i - 1] == "MAIL FROM:<> SMTPUTF8" for i, c in enumerate(said) if not c.isascii())


def test_a_real_postfix_with_strict_smtputf8_knows_such_an_address(mired, postfix):
    """field notes 6"""
    behind = postfix(extra="smtputf8_enable = yes\nstrict_smtputf8 = yes", boxes=(ALICE, UTF8))
    m = mired(
        recipients=None, backend=f'backend "smtp://127.0.0.1:{behind.port}" {{ }}', config='recipients "backend" { }', tarpit="time = 0"
    )
    wait_offered(m.port, "SMTPUTF8")
    assert ask(m, UTF8, " SMTPUTF8").code == 250
    assert ask(m, "jürgen@example.test", " SMTPUTF8").code == 550


def test_a_password_question_that_is_refused_for_us_is_named_and_no_offence(mired):
    """field notes 5, the same kind in auth "backend"."""
    with Scripted(at("AUTH", "538 5.7.11 Encryption required")) as backend:
        m = mired(backend=backend.block, passwords=None, config='auth "backend" { }', workers=1, tarpit="time = 20s")
        with Client(m.submission) as client:
            client.ehlo()
            reply = client.login(ALICE, "wonderland")
            assert reply.code == 454 and reply.seconds < 10
        m.log.wait(r"refuses mired's queries at AUTH: 538 5\.7\.11 Encryption required")
        assert "wonderland" not in m.log.text


def test_a_reply_too_many_counts_for_no_other_recipient(mired):
    """It would be the reply to the next MAIL, and that one's the reply to the next recipient."""
    with Scripted(at("RCPT", b"550 5.1.1 no such user\r\n250 2.1.5 ok\r\n")) as backend:
        m = start(mired, backend, more="clerks = 1", tarpit="time = 0")
        wait_offered(m.port, "PIPELINING")
        for n, name in enumerate(("one", "two", "three")):
            until(lambda: backend.commands.count("RSET") >= n)  # its reply is the last of the query before, and is noticed
            assert ask(m, f"{name}@example.test").code == 550
