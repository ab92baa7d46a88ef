"""Mail servers that people run, as senders: a typo ends with the real reason, however long it is held."""

import re

import pytest

from lib import netns, senders

NEVER_SHORTENED = "growth = 1 pace = false patience_offences = 0"


@pytest.mark.parametrize("name", senders.NAMES)
def test_a_typo_ends_with_the_real_reason(mired, name):
    m = mired(tarpit="time = 3s")
    box, seconds = senders.send(name, m.port, "alicia@example.test")
    assert "5.1.1" in box and "user unknown" in box
    assert seconds >= 2.9


@pytest.mark.parametrize("name", senders.NAMES)
def test_a_typo_among_good_recipients_does_not_keep_the_message_from_them(mired, name):
    m = mired(tarpit="time = 1s")
    box, _ = senders.send(name, m.port, "alice@example.test", "alicia@example.test", "bob@example.test")
    assert "5.1.1" in box
    for good in ("alice@example.test", "bob@example.test"):
        assert len(m.delivered(good)) == 1


@pytest.mark.soak
@pytest.mark.parametrize("freeze", ["off", "auto"])
@pytest.mark.parametrize("seconds", [20, 60, 90, 150])
@pytest.mark.parametrize("name", senders.NAMES)
def test_long_holds_end_with_the_real_reason(mired, name, seconds, freeze):
    tarpit = f"time = {seconds}s max = {seconds}s drip = 20s freeze = {freeze} {NEVER_SHORTENED}"
    m = mired(tarpit=tarpit, config='log_level = "debug"')
    box, took = senders.send(name, m.port, "alicia@example.test", timeout=seconds + 60)
    print(f"{name}, held {seconds} s, freeze = {freeze}: {took:.0f} s")
    assert "5.1.1" in box and "user unknown" in box
    assert took >= seconds - 1
    if freeze == "auto" and not netns.unable():
        log = m.log
        assert m.stop() == []
        frozen, thawed, lost = re.search(r"the freezer stops: (\d+) frozen, (\d+) thawed, (\d+) lost", log.text).groups()
        print(f"{frozen} frozen, {thawed} thawed, {lost} lost")
        assert frozen == thawed and lost == "0"
        assert frozen != "0" or name != "opensmtpd", "it says one thing at a time, so nothing is unread"
