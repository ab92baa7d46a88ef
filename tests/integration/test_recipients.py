"""Who is a recipient: the `file` directory, and what is refused before any data."""

import time

import pytest

from lib.smtp import Client, deliver
from lib.waiting import until


def verdict(m, recipient, sender="a@b.test", parameters=""):
    """The reply to RCPT for one recipient, from a fresh address."""
    with Client(m.port) as client:
        client.ehlo()
        return client.envelope(sender, [recipient], parameters)[0]


def wait_verdict(m, recipient, code):
    """Asks until the answer is `code`."""
    until(lambda: verdict(m, recipient).code == code, every=0.1)


@pytest.mark.fast
def test_only_people_who_exist_are_taken(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, "alice@example.test").code == 250
    reply = verdict(m, "alicia@example.test")
    assert reply.code == 550 and "5.1.1" in reply and "alicia@example.test" in reply


def test_case_does_not_matter(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, "ALICE@Example.TEST").code == 250


def test_a_tag_belongs_to_its_user(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, "alice+lists@example.test").code == 250
    assert verdict(m, "nobody+lists@example.test").code == 550


def test_another_delimiter_can_be_chosen(mired):
    m = mired(tarpit="time = 0", config='recipient_delimiter = "-"')
    assert verdict(m, "alice-lists@example.test").code == 250
    assert verdict(m, "alice+lists@example.test").code == 550


def test_a_domain_line_takes_everyone_there(mired):
    m = mired(
        tarpit="time = 0",
        domains=("example.test", "all.test"),
        recipients=("alice@example.test", "@all.test"),
    )
    assert verdict(m, "whoever@all.test").code == 250
    assert verdict(m, "whoever@example.test").code == 550


@pytest.mark.parametrize("postmaster", ["postmaster", "Postmaster", "postmaster@example.test"])
def test_postmaster_is_always_taken(mired, postmaster):
    m = mired(tarpit="time = 0")
    assert verdict(m, postmaster).code == 250


def test_a_foreign_domain_is_no_business_of_ours(mired):
    m = mired(tarpit="time = 0")
    reply = verdict(m, "alice@foreign.test")
    assert reply.code == 550 and "5.7.1" in reply and "relaying denied" in reply


def test_a_source_route_is_ignored(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<@x.test,@y.test:a@b.test>")
        assert client.say("RCPT TO:<@relay.test:alice@example.test>").code == 250


def test_quotes_that_are_not_needed_do_not_matter(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, '"alice"@example.test').code == 250


def test_an_address_literal_is_understood(mired):
    m = mired(tarpit="time = 0")
    reply = verdict(m, "alice@[192.0.2.1]")
    assert reply.code == 550 and "5.7.1" in reply
    assert verdict(m, "alice@example.test", sender="a@[IPv6:2001:db8::1]").code == 250


def test_the_list_is_read_again_when_it_changes(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, "dave@example.test").code == 550
    with m.recipients.open("a") as f:
        f.write("dave@example.test\n")
    wait_verdict(m, "dave@example.test", 250)
    m.recipients.write_text("dave@example.test\ncarol@example.test\n")
    wait_verdict(m, "alice@example.test", 550)


def test_a_list_that_cannot_be_read_again_leaves_the_old_one_in_force(mired):
    m = mired(tarpit="time = 0")
    assert verdict(m, "alice@example.test").code == 250
    since = m.log.mark()
    m.recipients.unlink()
    m.recipients.mkdir()
    time.sleep(1.1)  # it is looked at once a second at most
    assert verdict(m, "alice@example.test").code == 250
    m.log.wait("level=warn.*recipients", since=since)
    wait_verdict(m, "nobody@example.test", 550)  # another clerk may still wait for it to settle


def test_a_hundred_thousand_people_are_found(mired):
    """How fast, bench/run tells."""
    people = [f"user{n}@example.test" for n in range(100_000)]
    m = mired(tarpit="time = 0", recipients=people)
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        for n in range(0, 100_000, 500):
            client.must(f"RCPT TO:<user{n}@example.test>", 250)
    assert verdict(m, "user100000@example.test").code == 550


def test_without_a_directory_every_local_address_is_taken_with_a_warning(mired):
    m = mired(tarpit="time = 0", recipients=None)
    assert verdict(m, "whoever@example.test").code == 250
    assert verdict(m, "whoever@foreign.test").code == 550
    m.log.wait("recipients")


def test_one_bad_recipient_does_not_spoil_the_good_ones(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        replies = client.envelope("a@b.test", ["nobody@example.test", "alice@example.test"])
        assert [r.code for r in replies] == [550, 250]
        assert client.data(b"Subject: x\r\n\r\nhello\r\n").code == 250
    assert len(m.delivered("alice@example.test")) == 1


def test_data_without_a_recipient_is_refused(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as client:
        client.ehlo()
        client.envelope("a@b.test", ["nobody@example.test"])
        assert client.say("DATA").code in (503, 554)


def test_a_bounce_to_someone_who_exists_is_taken(mired):
    m = mired(tarpit="time = 0")
    assert deliver(m.port, "", "alice@example.test").code == 250
    assert m.delivered("alice@example.test")[0].startswith(b"Return-Path: <>\n")
