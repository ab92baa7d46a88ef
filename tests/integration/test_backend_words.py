"""What a backend says of us, not of the mail, and what it loses between EHLO and the message: 451, no offence, nothing
twice, and its words in the log."""

import re

import pytest

from lib import ports
from lib.scripted import CLOSE, HELLO, Scripted
from lib.smtp import Client, deliver, wait_offered

ALICE = "alice@example.test"


def at(stage, reply, times=None):
    left = [times]

    def answer(verb, argument, session):
        if verb != stage or left[0] == 0:
            return None
        if left[0] is not None:
            left[0] -= 1
        return reply

    return answer


OF_US = [
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
    ("MAIL", "503 5.5.1 EHLO first"),
    ("MAIL", "500 what?"),
    ("MAIL", "501 5.5.4 Syntax"),
    ("MAIL", "555 5.5.4 Unsupported option"),
    ("MAIL", "535 5.7.8 no"),
    ("RCPT", "530 5.7.1 Client was not authenticated"),
    ("RCPT", "503 need MAIL"),
    ("RCPT", "554 5.7.1 Client host [127.0.0.1] blocked"),
    ("RCPT", "354 go on"),  # field notes 34
    ("DATA", "503 5.5.1 need RCPT"),
    ("DATA", "502 what?"),
    (".", "500 5.5.2 bad syntax"),
    (".", "354 go on"),  # field notes 34
    (".", "334 go on"),
]


@pytest.mark.fast
@pytest.mark.parametrize("stage, reply", OF_US)
def test_what_a_backend_says_of_us_is_451_and_no_offence(mired, stage, reply):
    """field notes 5"""
    with Scripted(at(stage, reply)) as backend:
        m = mired(backend=backend.block, workers=1, tarpit="time = 20s")
        told = deliver(m.port, "a@b.test", ALICE)
        assert told.code == 451 and "4.3.0" in told and told.seconds < 10
        m.log.wait(r"event=session .*offences=0")
        found = m.log.wait(r"refuses mired, not the mail.*")
        assert reply[:3] in m.log.text and "refuses mired" in str(found)
        deliver(m.port, "a@b.test", ALICE)
        assert m.log.text.count("refuses mired, not the mail") == 1  # once a minute
        assert backend.connections <= 20  # of which some look whether it is well; it is not tried in a circle


@pytest.mark.parametrize("stage, reply", [("GREETING", "554 5.7.1 blocked"), ("EHLO", "450 later")])
def test_a_backend_that_does_not_want_us_at_all_is_named(mired, stage, reply):
    """field notes 5"""
    with Scripted(at(stage, reply)) as backend:
        m = mired(backend=backend.block, workers=1)
        assert deliver(m.port, "a@b.test", ALICE).code == 451
        m.log.wait(rf"refuses mired, not the mail.*{reply[:3]}")


@pytest.mark.fast
@pytest.mark.parametrize("stage, reply", [o for o in OF_US if o[0] in ("MAIL", "DATA")])
def test_another_backend_takes_what_one_refuses_as_ours(mired, stage, reply):
    """field notes 5"""
    with Scripted(at(stage, reply)) as one, Scripted() as two:
        m = mired(backend=one.block + "\n" + two.block, workers=1)
        two.wait_said("EHLO")
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        assert (one.copies(ALICE), two.copies(ALICE)) == (0, 1)


def test_a_connection_that_has_forgotten_us_is_replaced(mired):
    """field notes 5: 503 on a connection that served others."""
    with Scripted() as backend:
        m = mired(backend=backend.block, workers=1)
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        backend.answer = at("MAIL", "503 5.5.1 EHLO first", times=1)
        assert deliver(m.port, "a@b.test", ALICE).code == 250


def test_a_postfix_that_puts_clients_off_at_xclient_does_not_make_it_their_fault(mired, postfix):
    """field notes 5: smtpd_delay_reject = no; MAIL behind a refused XCLIENT is 503."""
    backend = postfix(
        extra="smtpd_authorized_xclient_hosts = static:all\nsmtpd_delay_reject = no\n"
        "smtpd_client_restrictions = check_client_access inline:{127.0.0.1=OK}, reject_unknown_client_hostname"
    )
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ xclient = true }}', workers=1, tarpit="time = 20s"
    )
    reply = deliver(m.port, "a@b.test", ALICE)
    assert reply.code == 451 and reply.seconds < 10
    m.log.wait(r"event=session .*offences=0")
    m.log.wait(r"refuses the client 127\S+, not its mail, at XCLIENT or XFORWARD: 450 4.7.25")
    assert not re.search(r"\b503\b", m.log.text)


TOLD = (*HELLO, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN")


@pytest.mark.fast
@pytest.mark.parametrize(
    "verb, reply",
    [(v, r) for v in ("XCLIENT", "EHLO", "MAIL") for r in ("554 5.7.1 Client host rejected: Access denied", "421 4.7.0 too many")]
    + [("XCLIENT", "501 5.5.4 Bad ADDR syntax"), ("EHLO", "501 5.5.2 Invalid name")],
)
def test_a_client_that_a_backend_refuses_by_name_never_comes_in_as_mired(mired, verb, reply):
    """Nor does it cost others their connections."""
    bad, good = ports.stranger(), ports.stranger()

    def answer(said, argument, session):
        if said == "XCLIENT":
            session.bad = f"ADDR={bad} " in argument
        return reply if said == verb and getattr(session, "bad", False) else None

    with Scripted(answer, hello=TOLD) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ xclient = true }"), workers=1, tarpit="time = 0")
        backend.wait_said("EHLO")
        for source, sender in ((good, "good@b.test"), (bad, "bad@b.test")) * 3:
            with Client(m.port, source=source) as client:
                client.ehlo()
                code = client.message(sender, ALICE).code
                assert code == 250 if source == good else code in (451, 554), (sender, code)
        senders = [command for command in backend.commands if command.startswith("MAIL")]
        assert verb == "MAIL" or not any("bad@" in sender for sender in senders), senders
        assert backend.copies(ALICE) == 3
        if verb == "XCLIENT" or reply.startswith("421"):
            m.log.wait(rf"refuses the client {bad}, not its mail, at")
        assert "refuses mired, not the mail" not in m.log.text
        assert "is down" not in m.log.text


@pytest.mark.fast
@pytest.mark.parametrize(
    "lost, parameters, message",
    [
        ("SMTPUTF8", " SMTPUTF8", "Subject: ü\r\n\r\nx\r\n".encode()),
        ("8BITMIME", " BODY=8BITMIME", "Subject: x\r\n\r\nü\r\n".encode()),
        ("DSN", " RET=HDRS", b"Subject: x\r\n\r\nx\r\n"),
    ],
)
def test_what_a_backend_has_lost_is_not_left_out(mired, lost, parameters, message):
    """field notes 6: it comes back without an extension between EHLO and the message."""
    with Scripted() as backend:
        m = mired(backend=backend.block, workers=1)
        backend.wait_said("EHLO")
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        wait_offered(m.port, lost)
        with Client(m.port) as client:
            client.ehlo()
            backend.hello = tuple(h for h in HELLO if h != lost)
            backend.answer = at("MAIL", CLOSE, times=1)
            assert all(r.ok for r in client.envelope("a@b.test", [ALICE], parameters))
            reply = client.data(message)
            assert reply.code == 451 and "4.3.3" in reply
            assert backend.copies(ALICE) == 1
            assert lost not in client.ehlo()  # the client can do without now, or say so to its user
            assert client.message("a@b.test", ALICE, b"Subject: x\r\n\r\nplain\r\n").code == 250


def test_another_backend_that_has_it_takes_it(mired):
    """field notes 6"""
    with Scripted() as one, Scripted() as two:
        m = mired(backend=one.block + "\n" + two.block, workers=1)
        two.wait_said("EHLO")
        wait_offered(m.port, "SMTPUTF8")
        with Client(m.port) as client:
            client.ehlo()
            one.hello = ("PIPELINING",)
            one.answer = at("MAIL", CLOSE, times=1)
            client.envelope("ü@b.test", [ALICE], " SMTPUTF8")
            assert client.data("Subject: ü\r\n\r\nx\r\n".encode()).code == 250
        assert (one.copies(ALICE), two.copies(ALICE)) == (0, 1)


@pytest.mark.fast
@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("octets", [3000, 20000, 300000])
def test_a_long_word_behind_a_message_that_was_taken_is_a_yes(mired, octets, lmtp):
    """field notes 7"""
    with Scripted(at(".", "250 2.0.0 " + "x" * octets), lmtp=lmtp) as backend:
        m = mired(backend=backend.block)
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        assert backend.copies(ALICE) == 1


def test_a_refusal_amid_thirty_megabytes_is_told(mired):
    """field notes 7"""
    with Scripted(at("BODY", "552 5.3.4 Message too large")) as backend:
        m = mired(backend=backend.block, workers=1, tarpit="time = 60s max = 60s")
        reply = deliver(m.port, "a@b.test", ALICE, b"Subject: x\r\n\r\n" + b"x" * 998 + (b"\r\n" + b"y" * 998) * 30000)
        assert reply.code == 552 and "5.3.4" in reply and reply.seconds < 59
        m.log.wait(r"event=session .*offences=0")
        assert backend.commands.count("DATA") == 1


@pytest.mark.fast
@pytest.mark.parametrize("reply, whole", [("250 ok", "250 2.0.0 ok"), ("554 no", "554 5.0.0 no"), ("451 later", "451 4.0.0 later")])
def test_replies_have_an_enhanced_code(mired, reply, whole):
    """field notes 34: RFC 2034 4"""
    with Scripted(at(".", reply)) as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        assert deliver(m.port, "a@b.test", ALICE).text == whole
