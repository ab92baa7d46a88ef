"""BDAT to backends that offer CHUNKING: the same octets as with DATA, and DATA wherever BDAT does not work."""

import contextlib
import random
import re
import socket
import threading

import pytest

from lib import ports
from lib.behind import Behind
from lib.certificates import Authority
from lib.letters import Sender, letter, stuffed
from lib.scripted import CLOSE, HELLO, Scripted, Unread
from lib.smtp import Client, deliver, transaction

ALICE, BOB = "alice@example.test", "bob@example.test"
CHUNKING = (*HELLO, "CHUNKING")
# Lines that a server which does not know BDAT would take for commands.
EVIL = b"Subject: x\r\n\r\nhello\r\nRSET\r\nMAIL FROM:<evil@b.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n"


def backend_block(port, keys="", scheme="smtp"):
    return f'backend "{scheme}://127.0.0.1:{port}" {{ {keys} }}'


def front(mired, backend, keys="chunking = true", **options):
    options = {"tarpit": "time = 0", "workers": 1, **options}
    return mired(backend=backend_block(backend.port, keys, "lmtp" if backend.lmtp else "smtp"), **options)


def said(backend, *verbs):
    with backend.lock:
        return [c for c in backend.commands if c.split()[0] in verbs]


def without_header(message):
    """A message without the Received: field that mired adds, which must be there."""
    text, count = re.subn(rb"\AReceived: [^\r]*\r\n(?:\t[^\r]*\r\n)*", b"", message, count=1)
    assert count == 1, message[:200]
    return text


def refuses_chunks(*replies):
    """Says these to BDAT, one after the other, then what is usual."""
    left = list(replies)

    def answer(verb, argument, session):
        return left.pop(0) if verb == "BDAT" and left else None

    return answer


def always(reply, only=""):
    return lambda verb, argument, session: reply if verb == "BDAT" and argument.endswith(only) else None


# ---- when it is used ----


@pytest.mark.fast
def test_a_connections_first_message_is_two_chunks_and_the_others_are_one(mired):
    with Scripted(hello=CHUNKING) as backend:
        m = front(mired, backend)
        for _ in range(3):
            assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        sizes = [len(message) for message in backend.mail[ALICE]]
        header = sizes[0] - len(EVIL)
        assert said(backend, "BDAT", "DATA") == [
            f"BDAT {header}",
            f"BDAT {len(EVIL)} LAST",
            f"BDAT {sizes[1]} LAST",
            f"BDAT {sizes[2]} LAST",
        ]
        assert all(without_header(message) == EVIL for message in backend.mail[ALICE])


@pytest.mark.fast
@pytest.mark.parametrize(
    "keys, hello, lmtp",
    [("chunking = false", CHUNKING, True), ("chunking = true", HELLO, True), ("", HELLO, True), ("", CHUNKING, False)],
)
def test_data_is_used_where_bdat_is_not_wanted_or_not_offered(mired, keys, hello, lmtp):
    with Scripted(hello=hello, lmtp=lmtp) as backend:
        m = front(mired, backend, keys)
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert said(backend, "BDAT", "DATA") == ["DATA"]


@pytest.mark.fast
def test_bdat_is_used_over_lmtp_unless_told_otherwise(mired):
    with Scripted(hello=CHUNKING, lmtp=True) as backend:
        m = front(mired, backend, "")
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert said(backend, "DATA") == []


@pytest.mark.fast
def test_a_message_with_stuffing_dots_goes_with_data(mired):
    """It is kept stuffed, however it has come; so is one that mired has added a line end to."""
    texts = [b"Subject: x\r\n\r\n.dot\r\n", b"..\r\n", b"Subject: x\r\n\r\na\r\n.\r\nb\r\n", b"Subject: x\r\n\r\nno line end"]
    with Scripted(hello=CHUNKING) as backend:
        m = front(mired, backend)
        with Client(m.port) as client:
            client.ehlo()
            for text in texts:
                client.envelope("a@b.test", [ALICE])
                assert client.chunks(text, [1, 1]).code == 250
            for text in texts[:3]:
                assert client.message("a@b.test", ALICE, text).code == 250
        assert said(backend, "BDAT", "DATA") == ["DATA"] * 7
        got = [without_header(message) for message in backend.mail[ALICE]]
        assert got == [*texts[:3], texts[3] + b"\r\n", *texts[:3]]


def test_the_backend_gets_the_same_octets_with_data_and_with_bdat(mired):
    """Of whatever a client sends, with DATA or in chunks; and the same is refused on both ways."""
    random_ = random.Random(19)
    texts = [letter(random_, int(200_000 ** random_.random())) for _ in range(40)]
    bad = [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n", b"a\0b\r\n"]
    with Scripted(hello=CHUNKING) as one, Scripted(hello=CHUNKING) as other:
        ways = [(one, front(mired, one)), (other, front(mired, other, "chunking = false"))]
        for backend, m in ways:
            sender = Sender(m.port, random.Random(19), tls=False)
            for number, text in enumerate(texts):
                assert sender.letter("a@b.test", ALICE, text, chunks=number % 2 == 0).code == 250
            sender.close()
            for text in bad:
                with Client(m.port) as client:
                    client.ehlo()
                    client.envelope("a@b.test", [ALICE])
                    assert client.chunks(text, []).code == 554
                    client.envelope("a@b.test", [ALICE])
                    client.must("DATA", 354)
                    client.send(text + b"\r\n.\r\n")
                    assert client.reply().code == 554
        for backend, _ in ways:
            assert [without_header(message) for message in backend.mail[ALICE]] == texts
        plain = sum(stuffed(text) == text for text in texts)
        assert 0 < plain < len(texts)
        last = [c for c in said(one, "BDAT") if c.endswith("LAST")]
        assert len(last) == plain and len(said(one, "DATA")) == len(texts) - plain
        assert said(other, "BDAT") == []


@pytest.mark.fast
@pytest.mark.parametrize("names", [("long" * 12 + ".test", "b.test"), ("b.test", "long" * 12 + ".test")])
def test_a_message_with_data_behind_one_with_bdat_has_all_its_octets(mired, names):
    """The first chunk of a connection is a header alone. The next message must not begin where that header ended."""
    texts = [b"Subject: x\r\n\r\nhello\r\n", b"Subject: y\r\n\r\n.dot\r\n"]
    with Scripted(hello=CHUNKING) as backend:
        m = front(mired, backend)
        for name, text in zip(names, texts):
            with Client(m.port) as client:
                client.ehlo(name)
                assert client.message("a@b.test", ALICE, text).code == 250
        assert [command.split()[0] for command in said(backend, "BDAT", "DATA")] == ["BDAT", "BDAT", "DATA"]
        assert [without_header(message) for message in backend.mail[ALICE]] == texts
        assert backend.connections == 1


@pytest.mark.fast
def test_a_message_in_a_file_goes_with_bdat_too(mired):
    text = b"Subject: x\r\n\r\n" + b"".join(b"line %d %s\r\n" % (i, b"x" * 60) for i in range(100_000))
    with Scripted(hello=CHUNKING) as backend:
        m = front(mired, backend, workers=8, config="spool_memory = 32M size_max = 20M")
        for _ in range(2):
            assert deliver(m.port, "a@b.test", ALICE, text).code == 250
        assert [without_header(message) for message in backend.mail[ALICE]] == [text] * 2
        assert said(backend, "DATA") == []


# ---- backends that offer it and do not take it ----

REFUSALS = ["500 5.5.1 what?", "501 5.5.4 no", "502 5.5.1 not here", "503 5.5.1 bad sequence", "504 5.5.4 no", "550 5.7.1 no"]


@pytest.mark.fast
@pytest.mark.parametrize("unread", [True, False])
@pytest.mark.parametrize("reply", REFUSALS)
def test_a_backend_that_refuses_bdat_gets_each_message_once_with_data(mired, reply, unread):
    """It reads the chunk's octets as RFC 3030 says, or takes them for commands: none of these is the client's."""
    with Scripted(always(Unread(reply) if unread else reply), hello=CHUNKING) as backend:
        m = front(mired, backend)
        for _ in range(3):
            assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert [without_header(message) for message in backend.mail[ALICE]] == [EVIL] * 3
        assert len(said(backend, "BDAT")) == 1  # remembered
        assert len(said(backend, "DATA")) == 3
        assert not any("evil" in command for command in backend.commands)
        assert BOB not in backend.mail
        m.log.wait(rf"offers CHUNKING and refuses BDAT: {reply[:3]} .*; using DATA until the next reload")
        assert m.log.text.count("refuses BDAT") == 1


@pytest.mark.fast
def test_a_reload_tries_bdat_again(mired):
    with Scripted(refuses_chunks("502 5.5.1 not here"), hello=CHUNKING) as backend:
        m = front(mired, backend)
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        m.reload()
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert len(said(backend, "DATA")) == 1
        assert said(backend, "BDAT")[-1].endswith("LAST")


@pytest.mark.fast
@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("reply", [CLOSE, "452 4.3.1 full"])
def test_what_may_pass_is_forgotten_but_not_if_it_comes_again_and_again(mired, reply, lmtp):
    """Each message gets there at once, with DATA; the third time BDAT is given up."""
    with Scripted(always(reply), lmtp=lmtp, hello=CHUNKING) as backend:
        m = front(mired, backend)
        for _ in range(5):
            assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert backend.copies(ALICE) == 5
        assert len(said(backend, "BDAT")) == 3
        m.log.wait(r"BDAT fails repeatedly; using DATA until the next reload")


@pytest.mark.fast
def test_a_backend_that_goes_down_at_bdat_puts_mail_off_as_at_data(mired):
    with Scripted(refuses_chunks("421 4.3.2 going down"), hello=CHUNKING) as backend:
        m = front(mired, backend)
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 451
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert backend.copies(ALICE) == 1
        assert said(backend, "DATA") == []


@pytest.mark.fast
def test_bdat_that_worked_in_between_is_not_given_up(mired):
    """It fails at the first chunk of each connection but one, and each message has a connection of its own."""
    first = []

    def answer(verb, argument, session):
        if verb != "BDAT" or argument.endswith("LAST"):
            return None
        first.append(argument)
        return CLOSE if len(first) != 3 else None

    with Scripted(answer, hello=CHUNKING) as backend:
        m = front(mired, backend)
        for number in range(1, 6):
            assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
            assert len(first) == number
            backend.hang_up()
        assert backend.copies(ALICE) == 5
        assert "repeatedly" not in m.log.text


@pytest.mark.fast
@pytest.mark.parametrize("reply", ["500 5.5.1 what?", "503 5.5.1 bad sequence"])
def test_bdat_refused_at_its_last_chunk_is_followed_by_data(mired, reply):
    with Scripted(always(reply, only="LAST"), hello=CHUNKING) as backend:
        m = front(mired, backend)
        for _ in range(2):
            assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert backend.copies(ALICE) == 2
        assert len(said(backend, "BDAT")) == 2  # of the first message


# ---- what a backend says of the message ----


@pytest.mark.fast
def test_a_refusal_of_the_message_reaches_the_client(mired):
    with Scripted(lambda verb, a, s: "550 5.7.1 spam" if verb == "." else None, hello=CHUNKING) as backend:
        m = front(mired, backend)
        assert deliver(m.port, "a@b.test", ALICE, EVIL).text.startswith("550 5.7.1 spam")
        assert said(backend, "DATA") == []


@pytest.mark.fast
@pytest.mark.parametrize("lmtp", [False, True])
def test_too_large_amid_the_chunk_reaches_the_client(mired, lmtp):
    def answer(verb, argument, session):
        return "552 5.3.4 too large" if verb == "BODY" else None

    with Scripted(answer, lmtp=lmtp, hello=CHUNKING) as backend:
        m = front(mired, backend)
        reply = deliver(m.port, "a@b.test", ALICE, b"Subject: x\r\n\r\n" + b"line\r\n" * 500_000)
        assert reply.text.startswith("552 5.3.4 too large")
        assert backend.copies(ALICE) == 0


@pytest.mark.fast
def test_a_connection_that_breaks_amid_the_chunk_is_followed_by_data(mired):
    cut = [CLOSE]

    def answer(verb, argument, session):
        return cut.pop() if verb == "BODY" and cut else None

    text = b"Subject: x\r\n\r\n" + b"line\r\n" * 3_000_000  # more than the kernel keeps of a connection
    with Scripted(answer, hello=CHUNKING) as backend:
        m = front(mired, backend, config="size_max = 30M")
        for _ in range(2):
            assert deliver(m.port, "a@b.test", ALICE, text).code == 250
        assert [without_header(message) for message in backend.mail[ALICE]] == [text] * 2
        assert len(said(backend, "DATA")) == 1  # of the first message
        assert said(backend, "BDAT")[-1].endswith("LAST")


@pytest.mark.fast
def test_lmtp_answers_each_recipient_after_the_last_chunk_and_nobody_has_it_twice(mired):
    def answer(verb, argument, session):
        return "452 4.2.2 full" if verb == "." and argument == BOB and full else None

    message = b"Message-ID: <19@b.test>\r\nSubject: x\r\n\r\nhello\r\n"
    full = [True]
    with Scripted(answer, lmtp=True, hello=CHUNKING) as backend:
        m = front(mired, backend)
        source = ports.stranger()
        codes, reply = transaction(m.port, "a@b.test", [ALICE, BOB], message, source)
        assert reply.code == 451
        assert backend.copies(ALICE) == 1 and backend.copies(BOB) == 0
        m.booked()
        full.clear()
        left = [ALICE, BOB]
        for _ in range(4):
            codes, _ = transaction(m.port, "a@b.test", left, message, source)
            m.booked()
            left = [to for to in left if codes[to] != 250]
            if not left:
                break
        assert not left
        assert backend.copies(ALICE) == 1 and backend.copies(BOB) == 1
        assert said(backend, "DATA") == []


@pytest.mark.fast
def test_nothing_of_a_message_is_sent_where_one_recipient_is_refused(mired):
    """The connection stays: there is no 354 that only closing could answer."""
    with Scripted(lambda verb, a, s: "550 5.1.1 no" if verb == "RCPT" and BOB in a else None, hello=CHUNKING) as backend:
        m = front(mired, backend)
        codes, reply = transaction(m.port, "a@b.test", [ALICE, BOB], EVIL)
        assert reply.code == 451
        assert said(backend, "BDAT", "DATA") == []
        backend.wait_said("RSET")
        assert deliver(m.port, "a@b.test", ALICE, EVIL).code == 250
        assert backend.copies(ALICE) == 1
        assert len(said(backend, "EHLO")) == 1


# ---- real servers ----


class Tap:
    """A TCP port before `dial()`'s connections; `sent` is what has come from the side of mired."""

    def __init__(self, dial):
        self.dial, self.sent = dial, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        for client in ports.accepted(self.listener):
            server = self.dial()
            threading.Thread(target=self._pass, args=(client, server, self.sent), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, bytearray()), daemon=True).start()

    @staticmethod
    def _pass(source, to, seen):
        with contextlib.suppress(OSError):
            while octets := source.recv(65536):
                seen += octets
                to.sendall(octets)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("name", ["postfix", "exim", "dovecot", "opensmtpd", "sendmail"])
def test_real_servers_get_the_same_with_data_and_with_bdat(mired, name):
    """Postfix, Exim and Dovecot offer CHUNKING. Exim delivers only ten messages of a connection at once, and OpenSMTPD
    adds a date and an identifier."""
    random_ = random.Random(7)
    header = b"X-Number: %d\r\nDate: Sun, 29 Nov 2026 09:00:00 +0000\r\nMessage-ID: <%d@b.test>\r\n"
    texts = [letter(random_, int(300_000 ** random_.random()) + 100) for _ in range(9)]
    texts = [header % (number, number) + text for number, text in enumerate(texts)]
    assert 0 < sum(stuffed(text) == text for text in texts) < len(texts)
    server = Behind(name, mired)
    found = {}
    try:
        for keys in ("chunking = true", "chunking = false"):
            tap = Tap(lambda: server.dial()[0])
            scheme = "lmtp" if name == "dovecot" else "smtp"
            m = mired(tarpit="time = 0", workers=1, backend=backend_block(tap.port, keys, scheme))
            before = len(server.delivered(ALICE, 0, 0))
            with Client(m.port) as client:
                client.ehlo()
                for text in texts:
                    assert client.message("a@b.test", ALICE, text).code == 250
            mails = server.delivered(ALICE, before + len(texts))
            numbered = {}
            for mail in mails:
                at = mail.index(b"X-Number: ")
                numbered.setdefault(int(mail[at + 10 :].split(b"\n")[0]), []).append(mail[at:].replace(b"\r\n", b"\n"))
            found[keys] = numbered, bytes(tap.sent)
    finally:
        server.end()
    chunked, plain = found.values()
    expected = [text.replace(b"\r\n", b"\n") for text in texts]
    for number, text in enumerate(expected):
        assert [mail[: len(text)] for mail in chunked[0][number]] == [text]
        assert [mail[: len(text)] for mail in plain[0][number]] == [text] * 2
    offered = name in ("postfix", "exim", "dovecot")
    assert (b"\r\nBDAT " in chunked[1]) == offered
    assert b"\r\nBDAT " not in plain[1]


def test_bdat_under_tls_to_postfix(mired, postfix, tmp_path):
    certificate, key = Authority(tmp_path).issue("backend.test", subject_names="IP:127.0.0.1")
    backend = postfix(
        extra=f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}"
    )
    m = mired(tarpit="time = 0", workers=1, backend=backend_block(backend.port, "chunking = true tls = starttls"))
    texts = [b"Subject: x\r\n\r\n" + b"".join(b"%d line %s\r\n" % (i, b"x" * 60) for i in range(n)) for n in (1, 500, 20_000)]
    with Client(m.port) as client:
        client.ehlo()
        for text in texts:
            assert client.message("a@b.test", ALICE, text).code == 250
    mails = backend.delivered(ALICE, count=3)
    for text in texts:
        assert sum(mail.endswith(text.replace(b"\r\n", b"\n")) for mail in mails) == 1
    m.stop()
    backend.wait_log(r"disconnect from .* bdat=4 ")
