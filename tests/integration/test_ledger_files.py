"""mirectl ledger dump and load: what is known, as lines of JSON, out and back in."""

import json
import time

import pytest

from lib import ports
from lib.smtp import Client, deliver

MOMENTS = ("at_ms", "seen_ms", "next_verdict_seconds", "hold_left_seconds")


def dump(m):
    done = m.control("ledger", "dump")
    assert done.returncode == 0
    return {(e["kind"], e["address"]): e for e in map(json.loads, done.stdout.splitlines())}


def load(m, text, *options):
    file = m.folder / "lines"
    file.write_text(text)
    return m.control(*options, "ledger", "load", file)


def entry(address, kind="client", **more):
    return json.dumps(dict(kind=kind, address=address, at_ms=int(time.time() * 1000), **more))


@pytest.mark.fast
def test_another_mired_knows_what_this_one_knew(mired):
    """Round trip: the second's dump is the first's, but for the moments."""
    one, two = mired(tarpit="time = 100ms max = 60s growth = 2"), mired()
    stranger, good = ports.stranger(), ports.stranger()
    for _ in range(3):
        with Client(one.port, source=stranger) as c:
            c.ehlo()
            c.envelope("a@b.test", ["nobody@example.test"])
        one.booked()
    with Client(one.port, source=good) as c:
        c.ehlo()
        assert c.message("a@b.test", "alice@example.test").code == 250
    one.booked()
    one.control("exempt", "192.0.2.9", "--for", "1d")
    one.control("exempt", "2001:db8::/48")
    one.control("penalise", "2001:db8:1::1", "--offences", "60")
    before = dump(one)
    assert len(before) >= 6
    file = one.folder / "dump"
    file.write_text(one.control("ledger", "dump").stdout)
    done = two.control("ledger", "load", file)
    assert done.returncode == 0 and f"{len(before)} entries loaded" in done.stdout, done.stderr
    after = dump(two)
    assert before.keys() == after.keys()
    for key, was in before.items():
        for field, value in was.items():
            if field not in MOMENTS:
                assert after[key][field] == pytest.approx(value, rel=1e-2), (key, field)
    with Client(two.port, source=stranger) as c:
        assert c.greeting  # and it is held to what it owes there
        c.ehlo()
        assert c.envelope("a@b.test", ["nobody@example.test"])[0].seconds > 1.2


def test_loading_never_lowers_and_twice_is_once(mired):
    m = mired()
    assert load(m, entry("192.0.2.7", offences=10, good=5, exempt=True, patience_seconds=12)).returncode == 0
    less = entry("192.0.2.7", offences=2, good=1, exempt=False, patience_seconds=40)
    for _ in range(2):
        assert load(m, less).returncode == 0
    known = dump(m)["client", "192.0.2.7"]
    assert known["offences"] == pytest.approx(10, rel=1e-2) and known["good"] == pytest.approx(5, rel=1e-2)
    assert known["exempt"] and known["patience_seconds"] == 12


def test_offences_fade_while_they_lie_in_a_file(mired):
    m = mired(tarpit="half_life = 1h")
    old = json.loads(entry("192.0.2.7", offences=8))
    old["at_ms"] -= 2 * 3600 * 1000
    assert load(m, json.dumps(old)).returncode == 0
    assert dump(m)["client", "192.0.2.7"]["offences"] == pytest.approx(2, rel=1e-2)


def test_wrong_lines_are_named_by_number_and_the_others_taken(mired):
    m = mired()
    text = "\n".join(
        [
            entry("192.0.2.1", offences=1),
            "hello",
            "",
            "[1]",
            entry("192.0.2.0/24"),
            entry("192.0.2.3", kind="account"),
            entry("192.0.2.4", offences=-1),
            entry("192.0.2.5", offences="many"),
            entry("nonsense"),
            entry("192.0.2.6", suspect=1),
            entry("192.0.2.7", hold_left_seconds=1e9),
            entry("192.0.2.8", offences=1) + "x" * 5000,
            '{"v":1,"ok":true}',
            entry("192.0.2.2", offences=2),
        ]
    )
    done = load(m, text)
    assert done.returncode == 1 and "2 entries loaded" in done.stdout
    named = [int(line.split(":")[1]) for line in done.stderr.splitlines() if "/lines:" in line]
    assert sorted(named) == [2, 4, 5, 6, 7, 8, 9, 10, 11, 12], done.stderr
    assert set(dump(m)) == {("client", "192.0.2.1"), ("client", "192.0.2.2")}
    done = load(m, text, "--json")
    result = json.loads(done.stdout)
    assert result["ok"] is False and result["loaded"] == 2 and result["wrong_lines"] == 10
    assert {w["line"] for w in result["wrong"]} == set(named) and all(w["error"] for w in result["wrong"])


def test_many_entries_and_mail_meanwhile(mired):
    m = mired(tarpit="time = 1s")
    text = "\n".join(entry(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", offences=1) for i in range(20000))
    done = load(m, text)
    assert done.returncode == 0 and "20000 entries loaded" in done.stdout, done.stderr
    assert json.loads(m.control("--json", "status").stdout)["ledger"]["entries"] >= 20000
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_advice_has_reasons_and_mired_takes_it(mired):
    """What a ledger of impatient good senders, a mailing list and a harvest comes to."""
    m = mired(tarpit="time = 30s")
    assert m.control("advise").stdout.startswith("Nothing to change")
    people = [entry(f"192.0.2.{i}", good=30, patience_seconds=15) for i in range(1, 20)]
    lists = [entry("198.51.100.9", good=2000, offences=60)]
    bots = [entry(f"203.0.113.{i}", offences=30) for i in range(1, 40)]
    bots.append(entry("203.0.113.0/24", kind="network", offences=1200))
    assert load(m, "\n".join(people + lists + bots)).returncode == 0
    result = json.loads(m.control("--json", "advise").stdout)
    advice = {a["key"]: a for a in result["advice"]}
    assert result["clients"] == 59 and result["with_good_mail"] == 20
    assert advice["time"]["setting"] == "tarpit { time = 12s }"
    assert advice["exempt"]["setting"] == "mirectl exempt 198.51.100.9"
    assert "203.0.113.0/24" in advice["suspect"]["setting"] and "shield" in advice
    shown = m.control("advise").stdout
    for a in result["advice"]:
        assert a["setting"] in shown and a["reason"] in shown and len(a["reason"]) > 40
    settings = [a["setting"] for a in result["advice"] if a["setting"].startswith("tarpit")]
    merged = " ".join(s.removeprefix("tarpit {").removesuffix("}") for s in settings)
    m.file.write_text(m.file.read_text().replace("time = 30s", merged))
    done = m.control("reload")
    assert done.returncode == 0, done.stderr
    assert m.control(*advice["exempt"]["setting"].split()[1:]).returncode == 0
    left = {a["key"] for a in json.loads(m.control("--json", "advise").stdout)["advice"]}
    assert not left & {"time", "exempt", "shield"}
