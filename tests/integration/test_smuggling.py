"""The smuggling matrix: no end of data but CRLF.CRLF, however it arrives and whatever server stands behind."""

import random
import socket

import pytest

from lib import smuggling
from lib.behind import NAMES, Behind
from lib.certificates import Authority
from lib.smtp import Client
from lib.smuggling import ANOTHER, Cell, Talk, USER

HOST = "mx.example.test"


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("smuggling")).issue(HOST)


@pytest.fixture
def behind(mired, issued):
    """behind(name) starts a server and the mired before it."""
    started = []

    def start(name, config="", **options):
        section = f'tls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}\n{config}'
        started.append(Behind(name, mired, config=section, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()


def through(b):
    return Talk(socket.create_connection(("127.0.0.1", b.m.port), source_address=("127.66.1.1", 0)))


def play(b, cells, **options):
    """Sends all cells through mired, which takes or refuses each as it should; returns how many it took."""
    taken, strange = set(), []
    for number, cell in enumerate(cells):
        codes = smuggling.run(cell, number, through(b))
        if smuggling.may_be_taken(cell, **options):
            taken.add(number)
        if codes != [250 if number in taken else 554, 221]:
            strange.append((cell, codes))
    assert not strange, strange[:10]
    # What was smuggled would be before this in every queue
    for person in (USER, ANOTHER):
        with Client(b.m.port, source="127.66.1.1") as client:
            client.ehlo()
            assert client.message("end@c.test", person, b"Subject: the last one\r\n\r\nx\r\n").code == 250
    b.delivered(USER, len(taken) + 1)
    assert len(b.delivered(ANOTHER, 1)) == 1
    wrong = smuggling.wrong([mail for mail in b.mails() if b"Subject: the last one" not in smuggling.head(mail)], taken)
    assert not wrong, wrong[:10]
    print(f"{b.name}: {len(cells)} cells, {len(taken)} taken as one message, {len(cells) - len(taken)} refused")
    return len(taken)


def spread(cells, part):
    """One cell of each `part`, of all kinds."""
    return random.Random(11).sample(cells, len(cells) // part)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_crlf_dot_crlf_ends_the_data_before_any_server(behind, name):
    assert play(behind(name), spread(smuggling.matrix(), 15)) > 30


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_the_whole_matrix_before_each_server(behind, name):
    assert play(behind(name), smuggling.matrix()) > 800


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_with_the_options_that_let_more_through(behind, name):
    """A NUL that is passed on, and a bare LF in chunks that is mended, make no second message either."""
    b = behind(name, 'nul = "allow"\nbare_newline = "normalise"\nbare_newline_networks = { "127.66.1.1" }')
    assert play(b, spread(smuggling.matrix(), 4), nul=True, mend=True) > 300


@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_sees_a_second_message_where_there_is_one(behind, name):
    """A client tells the server of two messages, past mired where it can: the matrix says that one is smuggled."""
    b = behind(name)
    talk = through(b) if name == "store" else Talk(*b.dial())
    first, second = smuggling.message(1, b"\r\n").split(smuggling.HIDDEN)[0], smuggling.HIDDEN
    talk.say(f"MAIL FROM:<{smuggling.SENDER}>")
    for line in (f"RCPT TO:<{USER}>", "DATA", first.decode() + "."):
        assert talk.say(line) in (250, 354)
    for line in (second + b"\r\n.").split(b"\r\n", 3):
        assert talk.say(line.decode()) in (250, 354)
    b.delivered(USER), b.delivered(ANOTHER)
    assert "smuggled" in "".join(smuggling.wrong(b.mails(), {1}))


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in NAMES if name != "store"])
def test_how_many_cells_each_server_believes_without_mired(behind, name):
    """The matrix past mired. Each end that a server believes is one that mired refuses."""
    b = behind(name)
    cells = [cell for cell in smuggling.matrix() if cell.way == "once"]
    codes = {cell.end: smuggling.run(cell, n, Talk(*b.dial())) for n, cell in enumerate(cells)}
    believed = [end for end, said in codes.items() if said[:1] == [250] and said[1:] != [221]]
    print(f"{name} without mired: {len(believed)} of {len(cells)} ends end the data: {sorted(believed)[:20]}")
    assert not [end for end in believed if smuggling.may_be_taken(Cell(end, "once"))]


FOLDED = (b" ", b"\t", b" \r\n\t", b"  ; ")
CLAIM = b"(envelope-from evil); Mon, 1 Jan 2001 00:00:00 +0000"


@pytest.mark.parametrize("name", ["store", "postfix"])
@pytest.mark.parametrize("way", ["DATA", "BDAT", "a byte each"])
def test_a_message_that_begins_folded_does_not_go_on_with_our_header(behind, name, way):
    """Its first line would be the rest of the Received: field that mired has written. It is kept, as text."""
    b = behind(name)
    sent = [fold + CLAIM + b"\r\nSubject: token-%d\r\n\r\nline\r\n" % n for n, fold in enumerate(FOLDED)]
    for message in sent:
        with Client(b.m.port) as c:
            c.ehlo()
            assert all(r.ok for r in c.envelope("joe@elsewhere.test", [USER]))
            if way == "DATA":
                assert c.data(message).code == 250
            else:
                assert c.chunks(message, [1] * 8 if way == "a byte each" else []).code == 250
    mails = [mail.replace(b"\r\n", b"\n") for mail in b.delivered(USER, len(sent))]
    heads, texts = zip(*(mail.split(b"\n\n", 1) for mail in mails))
    assert not any(CLAIM in head for head in heads), heads
    assert sorted(texts) == sorted(message.replace(b"\r\n", b"\n") for message in sent)
