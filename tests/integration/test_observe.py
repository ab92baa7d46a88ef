"""R20: with `observe` nothing waits and nothing is masked, and what would have is told."""

import json
import time

from lib import ports
from lib.smtp import Client, deliver

PEOPLE = [f"p{n}@example.test" for n in range(30)]


def report(m, *arguments):
    return json.loads(m.control("observe", "--json", *arguments).stdout)


def guess(c, n):
    return c.say(f"RCPT TO:<nobody{n}@example.test>")


def test_nothing_waits_and_nothing_is_masked(mired):
    """P7: a harvester hears each verdict at once; a mired without tarpit would say the same."""
    heard = {}
    for name, tarpit in (("observed", "observe = true"), ("off", "time = 0")):
        m = mired(tarpit=tarpit, recipients=PEOPLE)
        with Client(m.port) as c:
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            begun = time.monotonic()
            heard[name] = [guess(c, n).text for n in range(40)] + [c.say(f"RCPT TO:<{PEOPLE[0]}>").text]
            heard[name].append(c.say("NONSENSE").text)
            assert time.monotonic() - begun < 10
        with Client(m.port, source=c.source) as again:
            assert again.greeting.seconds < 5
            heard[name].append(again.must("EHLO x.test").lines[-1])
    assert heard["observed"] == heard["off"]


def test_debts_do_not_explode_while_nobody_waits(mired):
    """A connection that would still wait is not judged: 300 guesses of a second are one."""
    m = mired(tarpit="observe = true")
    source = ports.stranger()
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        for n in range(300):
            assert guess(c, n).code == 550
    client = json.loads(m.control("show", source, "--json").stdout)["client"]
    assert 0.9 < client["offences"] < 2
    r = report(m)
    assert r["observing"] and r["connections"] == 1 and 19 <= r["seconds"] <= 40
    assert "observing" in m.control("status").stdout.splitlines()[0]


def test_good_mail_that_would_have_been_late_is_told_first(mired):
    m = mired(tarpit="observe = true", recipients=PEOPLE)
    source = ports.stranger()
    assert deliver(m.port, "a@good.test", PEOPLE[0], source=source).ok
    with Client(m.port, source=source) as c:  # a typo, for which no good mail pays yet
        c.ehlo()
        c.must("MAIL FROM:<a@good.test>")
        assert guess(c, 0).code == 550
    assert deliver(m.port, "a@good.test", PEOPLE[1], source=source).ok  # would wait for it at MAIL
    (line,) = report(m)["senders"]
    assert (line["address"], line["domain"]) == (source, "good.test")
    assert line["late"] == 1 and 10 <= line["late_seconds"] <= 20 and line["typos"] == 1
    text = m.control("observe").stdout
    assert text.index("good.test") < text.index("Attackers")
    assert f'exempt = {{ "{source}" }}' in text
    assert "would_hold=" in m.log.text


def test_some_domains_are_observed(mired):
    m = mired(
        tarpit='time = 3s observe_domains = { "new.test" }',
        domains=("example.test", "new.test"),
        recipients=[*PEOPLE, "x@new.test"],
    )
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        assert c.say("RCPT TO:<nobody@new.test>").seconds < 2
        assert c.say("RCPT TO:<nobody@example.test>").seconds >= 2.9


def test_it_survives_a_restart_and_a_reload(mired):
    m = mired(tarpit="observe = true")
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        guess(c, 0)
    assert report(m)["replies"] == 1
    m.stop()
    m.start()
    assert report(m)["replies"] == 1
    m.file.write_text(m.file.read_text().replace("observe = true", "observe = false"))
    assert m.control("reload").returncode == 0
    r = report(m, "--since", "1d")
    assert r["replies"] == 1 and not r["observing"]
    assert m.control("observe", "--since", "x").returncode == 2
