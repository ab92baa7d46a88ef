"""R20: with `observe` nothing waits and nothing is masked, and what would have is told."""

import concurrent.futures
import json
import re
import struct
import time

import pytest

from lib import ports
from lib.smtp import Client, deliver
from lib.waiting import until

TOTAL_DAY = 168  # octets of a day in state/observed: see struct total_day
PEOPLE = [f"p{n}@example.test" for n in range(30)]


def report(m, *arguments):
    return json.loads(m.control("observe", "--json", *arguments).stdout)


def told(m, late):
    """The report once it tells of so many late messages: their shadows wait in their place."""


    def enough():
        r = report(m)
        return r if sum(s["late"] for s in r["senders"]) >= late else None

    return until(enough, why=lambda: report(m), every=0.1)


def sent(m, sender, recipient, source):
    """Good mail that the next connection's worker knows of."""
    assert deliver(m.port, sender, recipient, source=source).ok
    m.booked()


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
            heard[name] = [guess(c, n).text for n in range(40)] + [c.say(f"RCPT TO:<{PEOPLE[0]}>").text]
            heard[name].append(c.say("NONSENSE").text)
        m.booked()
        if name == "observed":
            m.log.wait("would_hold")
        assert not re.search(r" (held|hold)=(?!0\.0s)", m.log.text)
        with Client(m.port, source=c.source) as again:
            heard[name].append(again.must("EHLO x.test").lines[-1])
    assert heard["observed"] == heard["off"]


def test_debts_do_not_explode_while_nobody_waits(mired):
    """A connection that would still wait is not judged: 300 guesses of a second are one."""
    m = mired(tarpit="observe = true time = 60s max = 60s")  # longer than 300 guesses take, also on a slow machine
    source = ports.stranger()
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        for n in range(300):
            assert guess(c, n).code == 550
    m.booked()
    client = json.loads(m.control("show", source, "--json").stdout)["client"]
    assert 0.9 < client["offences"] < 2
    r = until(lambda: (now := report(m))["connections"] == 1 and now)  # it is told a moment later
    assert r["observing"] and 59 <= r["seconds"] <= 120
    assert "observing" in m.control("status").stdout.splitlines()[0]


def mistype(m, source, sender="a@good.test", times=1):
    """A typo, for which no good mail pays yet: the next message would wait for it at MAIL."""
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must(f"MAIL FROM:<{sender}>")
        for n in range(times):
            assert guess(c, n).code == 550
    m.booked()


def test_good_mail_that_would_have_been_late_is_told_first(mired):
    m = mired(tarpit="observe = true time = 4s", recipients=PEOPLE)
    source = ports.stranger()
    sent(m, "a@good.test", PEOPLE[0], source)
    mistype(m, source)
    sent(m, "a@good.test", PEOPLE[1], source)
    r = told(m, 1)
    (line,) = r["senders"]
    assert (line["address"], line["domain"], line["clients"]) == (source, "good.test", 1)
    assert line["late"] == 1 and 1 <= line["late_seconds"] <= 4 and line["typos"] == 1
    assert line["rule"] == "R3" and not line["dubious"] and r["messages"] == 2
    text = m.control("observe").stdout
    assert text.index("good.test") < text.index("typo") < text.index("Attackers") < text.index("Next:")
    assert f'exempt += {{ "{source}" }}' in text and "1 sender of good mail would still wait" in text
    # The log says so of each: the reply, the message, the session.
    m.log.wait(r"event=refused .*to=nobody0@example.test .* rule=R1 hold=0.0s would_hold=4.0s")
    m.log.wait(r"event=message .*to=p1@.* would_hold=\d+\.\ds rule=R3")
    m.log.wait(r"event=session .*would_hold=4\.0s")
    m.log.wait(r"event=late client=.* domain=good.test would_hold=\d+\.\ds rule=R3")


def test_the_line_that_it_names_spares_the_sender(mired):
    """The one line of configuration, as it is written, behind whatever `exempt` there was."""
    m = mired(tarpit="observe = true time = 4s", recipients=PEOPLE, config='exempt = { "192.0.2.0/24" }')
    source = ports.stranger()
    sent(m, "a@good.test", PEOPLE[0], source)
    mistype(m, source)
    sent(m, "a@good.test", PEOPLE[1], source)
    setting = told(m, 1)["senders"][0]["setting"]
    m.file.write_text(m.file.read_text() + setting + "\n")
    m.reload()
    assert f'exempt = {{ "192.0.2.0/24", "{source}/32" }}' in m.control("config").stdout
    sent(m, "a@good.test", PEOPLE[2], source)
    r = report(m)
    assert r["senders"][0]["late"] == 1 and r["senders"][0]["exempt"] and r["waiting"] == 0
    assert "it is exempt by now" in m.control("observe").stdout


def test_advice_names_it_first(mired):
    m = mired(tarpit="observe = true time = 4s", recipients=PEOPLE)
    source = ports.stranger()
    sent(m, "a@good.test", PEOPLE[0], source)
    mistype(m, source)
    sent(m, "a@good.test", PEOPLE[1], source)
    told(m, 1)
    (first, *_) = json.loads(m.control("--json", "advise").stdout)["advice"]
    assert first["setting"] == f"mirectl exempt {source}"
    assert "1 would have been late" in first["reason"] and "good.test" in first["reason"]
    assert m.control("exempt", source).returncode == 0
    assert m.control("advise").stdout.startswith("Nothing to change")


def test_three_servers_of_a_network_that_write_for_a_domain_are_one_sender(mired):
    m = mired(tarpit="observe = true time = 4s", recipients=PEOPLE)
    network = ports.stranger().rsplit(".", 1)[0]
    for n in range(11, 14):
        source = f"{network}.{n}"
        sent(m, "a@pool.test", PEOPLE[0], source)
        mistype(m, source, "a@pool.test")
        sent(m, "a@pool.test", PEOPLE[n], source)
    for n in range(21, 23):
        source = f"{network}.{n}"
        sent(m, "a@two.test", PEOPLE[0], source)
        mistype(m, source, "a@two.test")
        sent(m, "a@two.test", PEOPLE[n - 10], source)
    senders = {(s["domain"], s["address"]): s for s in told(m, 5)["senders"]}
    pool = senders.pop(("pool.test", f"{network}.0/24"))
    assert pool["clients"] == 3 and pool["late"] == 3 and pool["typos"] == 3
    assert set(senders) == {("two.test", f"{network}.21"), ("two.test", f"{network}.22")}


def test_a_harvester_that_has_delivered_something_is_not_commended(mired):
    """The enemy reads the report too: it shall not be told to exempt the enemy, nor be kept from its end by it."""
    m = mired(tarpit="observe = true time = 100ms growth = 1 max = 100ms pace = false", recipients=PEOPLE)
    source = ports.stranger()
    sent(m, "a@spam.test", PEOPLE[0], source)
    for n in range(13):
        mistype(m, source, "a@spam.test")
        time.sleep(0.11)  # its wait would be over
    m.file.write_text(m.file.read_text().replace("time = 100ms growth = 1 max = 100ms pace = false", "time = 4s max = 4s"))
    m.reload()
    mistype(m, source, "a@spam.test")
    sent(m, "a@spam.test", PEOPLE[1], source)
    r = told(m, 1)
    (line,) = r["senders"]
    assert line["late"] == 1 and line["typos"] >= 10 and line["dubious"] and r["waiting"] == 0
    assert "exempt +=" not in m.control("observe").stdout


def test_it_says_when_and_where_to_turn_it_off(mired, tmp_path):
    """Not before a week has been observed; then the file and the line, and `mirectl reload` that does it."""
    m = mired(tarpit="observe = true", recipients=PEOPLE)
    text = m.control("observe").stdout
    assert "Nothing has been observed in that time" in text
    assert deliver(m.port, "a@good.test", PEOPLE[0]).ok
    until(lambda: "so far, but 0 days have been observed" in m.control("observe").stdout)
    assert not report(m)["ready"]
    m.stop()
    state = m.folder / "state" / "observed"
    assert state.stat().st_size < 2.2e6
    week_ago = int(time.time() // 86400) - 8
    body = bytearray(state.read_bytes())
    at = 4096 + (week_ago % 31) * TOTAL_DAY
    struct.pack_into("<II", body, at, week_ago, 5)
    state.write_bytes(body)
    m.start()
    r = report(m)
    line = next(n for n, text in enumerate(m.file.read_text().splitlines(), 1) if "observe = true" in text)
    assert r["ready"] and r["place"] == f"{m.file}:{line}"
    assert f"at {m.file}:{line} write `observe = false`, then run `mirectl reload`" in m.control("observe").stdout
    m.file.write_text(m.file.read_text().replace("observe = true", "observe = false"))
    assert m.control("reload").returncode == 0
    assert "observe is off" in report(m)["next"]


def test_some_domains_are_observed(mired):
    m = mired(
        tarpit='time = 3s observe_domains = { "new.test" }',
        domains=("example.test", "new.test"),
        recipients=[*PEOPLE, "x@new.test"],
    )
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.say("RCPT TO:<nobody@new.test>")
        assert c.say("RCPT TO:<nobody@example.test>").seconds >= 2.9
    m.log.wait("event=refused .*to=nobody@new.test .* hold=0.0s")


def test_it_survives_a_restart_and_a_reload(mired):
    m = mired(tarpit="observe = true")
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        guess(c, 0)
    until(lambda: report(m)["replies"] == 1)
    m.stop()
    m.start()
    assert report(m)["replies"] == 1
    m.file.write_text(m.file.read_text().replace("observe = true", "observe = false"))
    assert m.control("reload").returncode == 0
    r = report(m, "--since", "1d")
    assert r["replies"] == 1 and not r["observing"]
    assert m.control("observe", "--since", "x").returncode == 2


def day(m, source, plan):
    """Typos (None) and messages (a recipient), each at its second on a connection of its own, as a server with a
    queue sends them. Returns how long each message took."""
    took = []

    def act(at, recipient):
        time.sleep(at)
        begun = time.monotonic()
        with Client(m.port, source=source) as c:
            c.ehlo()
            c.must("MAIL FROM:<a@live.test>")
            reply = c.say(f"RCPT TO:<{recipient or 'nobody@example.test'}>")
            assert reply.code == (250 if recipient else 550), reply
            if recipient:
                assert c.data(b"Subject: x\r\n\r\nhello\r\n").ok
                took.append(time.monotonic() - begun)

    with concurrent.futures.ThreadPoolExecutor(len(plan)) as pool:
        for done in [pool.submit(act, at, recipient) for at, recipient in plan]:
            done.result()
    return took


@pytest.mark.alone
def test_what_it_says_would_be_late_is_late_when_it_is_off(mired):
    """The same days of three servers, observed and for real: as many messages late, within a tenth in time."""
    days = [
        [(0, PEOPLE[0]), (0.5, None), (1.5, PEOPLE[1]), (2, PEOPLE[2]), (9, PEOPLE[3])],
        [(0, None), (1, PEOPLE[4]), (6, None), (7, PEOPLE[5])],
        [(0, PEOPLE[6]), (3, PEOPLE[7])],
    ]
    rules = "time = 4s growth = 1 max = 4s"
    sources = [ports.stranger() for _ in days]

    def run(m):
        with concurrent.futures.ThreadPoolExecutor(len(days)) as pool:
            return [t for took in pool.map(lambda a: day(m, *a), zip(sources, days)) for t in took]

    observed = mired(tarpit=f"observe = true {rules}", recipients=PEOPLE)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # at the same time, and each mired knows of its own day only
        _, took = pool.map(run, (observed, mired(tarpit=rules, recipients=PEOPLE)))
    late = [t for t in took if t > 1.5]
    assert len(late) == 4
    r = told(observed, len(late))
    assert sum(s["late"] for s in r["senders"]) == len(late)
    seconds = sum(s["late_seconds"] for s in r["senders"])  # each rounded to a second
    assert abs(seconds - sum(late)) <= 0.1 * sum(late) + 1, (seconds, late)
