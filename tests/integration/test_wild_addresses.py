"""field notes 10: addresses and names as real people and devices have them, which no grammar knows."""

import re

import pytest

from lib import ports
from lib.smtp import Client

WILD = ["user..name@docomo.test", "user.@docomo.test", ".user@ezweb.test", "a...b..@ezweb.test"]


@pytest.mark.parametrize("sender", WILD)
def test_a_wild_sender_goes_through_to_a_real_postfix(mired, postfix, sender):
    backend = postfix()
    m = mired(tarpit="time = 2s", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}')
    with Client(m.port) as client:
        client.ehlo()
        assert client.message(sender, "alice@example.test").code == 250
    (mail,) = backend.delivered("alice@example.test")
    # Postfix quotes what is no dot-atom.
    plain, quoted = sender, '"{}"@{}'.format(*sender.split("@"))
    assert f"<{plain}>".encode() in mail or f"<{quoted}>".encode() in mail or plain.encode() in mail


def test_a_wild_recipient_is_what_the_directory_knows(mired):
    m = mired(tarpit="time = 0", recipients=["user..name@example.test", "user.@example.test", "alice@example.test"])
    with Client(m.port) as client:
        client.ehlo()
        for known in ("user..name", '"user..name"', "USER..Name", "user.", '"user."'):
            assert client.message("a@b.test", f"{known}@example.test").code == 250
        client.must("MAIL FROM:<a@b.test>")
        for unknown in ("user.name", ".user", "user..", "alice.", '".."'):
            assert client.say(f"RCPT TO:<{unknown}@example.test>").text.startswith("550 5.1.1")
    assert len(m.delivered("user..name@example.test", count=3)) == 3
    assert len(m.delivered("user.@example.test", count=2)) == 2


def test_a_domain_may_end_in_a_dot(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test.>")
        client.must("RCPT TO:<alice@example.test.>")
        assert client.say("RCPT TO:<bob@elsewhere.test.>").text.startswith("550 5.7.1")
        assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
    (mail,) = m.delivered("alice@example.test")
    assert b"<a@b.test>" in mail


@pytest.mark.parametrize("path", ["a@b.test", " a@b.test", "a@b.test SIZE=10", "user..name@docomo.test"])
def test_devices_of_our_own_may_leave_the_brackets_out(mired, path):
    own = ports.stranger()
    m = mired(tarpit="time = 0", config=f'exempt = {{ "{own}" }}')
    with Client(m.port, source=own) as client:
        client.ehlo()
        client.must(f"MAIL FROM:{path}", 250)
        client.must("RCPT TO:alice@example.test", 250)
        assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
        assert client.say("MAIL FROM:a@b.test>").code == 501
        assert client.say("MAIL FROM:").code == 501
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login("alice@example.test", "wonderland").code == 235
        client.must(f"MAIL FROM:{path}", 250)
    with Client(m.port) as client:
        client.ehlo()
        assert client.say(f"MAIL FROM:{path}").text == "501 5.1.7 Bad sender address"


@pytest.mark.parametrize("name", ["alice@example.test", "Alice@Example.TEST", "ALICE@EXAMPLE.TEST"])
def test_login_names_of_a_file_fold_case(mired, name):
    m = mired(tarpit="time = 0", config='log_level = "debug"')
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(name, "wonderland").code == 235
        assert client.message("alice@example.test", "bob@example.test").code == 250
    assert not re.search("event=hold", m.log.text)
