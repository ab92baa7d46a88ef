"""mirectl: what it says of a running mired, and how it steers it."""

import json
import time

import pytest

from lib import ports
from lib.smtp import Client, Hung, deliver


@pytest.mark.fast
def test_status_tells_what_is_going_on(mired):
    m = mired(tarpit="time = 30s")
    with Client(m.port) as held:
        held.ehlo()
        held.send("FROBNICATE\r\n")
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        done = m.control("status")
        assert done.returncode == 0, done.stderr
        assert "held" in done.stdout
        done = m.control("--json", "status")
        assert done.returncode == 0 and isinstance(json.loads(done.stdout), dict)


def test_reload_takes_a_new_configuration_and_disturbs_nobody(mired):
    m = mired(tarpit="time = 0")
    with Client(m.port) as before:
        before.ehlo()
        text = m.file.read_text()
        m.file.write_text(text.replace("mx.example.test", "new.example.test"))
        done = m.control("reload")
        assert done.returncode == 0, done.stderr
        until = time.monotonic() + 15
        while True:
            with Client(m.port) as c:
                if "new.example.test" in c.greeting:
                    break
            assert time.monotonic() < until
            time.sleep(0.05)
        assert before.message("a@b.test", "alice@example.test").code == 250


def test_a_broken_configuration_changes_nothing_and_is_reported(mired):
    m = mired(tarpit="time = 0")
    text = m.file.read_text()
    m.file.write_text(text + "frobnicate = 3\n")
    done = m.control("reload")
    assert done.returncode == 1
    assert "frobnicate" in done.stderr + done.stdout
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_nobody_there_and_nonsense_have_their_exit_codes(mired):
    m = mired()
    assert m.control("frobnicate").returncode == 2
    m.stop()
    done = m.control("status")
    assert done.returncode == 3 and done.stderr


def ctl(m, *words):
    done = m.control("--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def offend(m, source, times):
    for _ in range(times):
        with Client(m.port, source=source) as c:
            c.ehlo()
            assert c.envelope("a@b.test", ["nobody@example.test"])[0].code == 550


def test_clients_and_what_is_known_of_one(mired):
    m = mired(tarpit="time = 20ms max = 50ms growth = 1")
    worst, other = ports.stranger(), ports.stranger()
    offend(m, worst, 2)
    offend(m, other, 1)
    listed = ctl(m, "clients", "--limit", "1")["clients"]
    assert [c["address"] for c in listed] == [worst]
    about = ctl(m, "show", worst)
    assert 1.9 < about["client"]["offences"] <= 2 and about["client"]["in_debt"]
    assert about["network"]["offences"] > 1.9
    assert worst in m.control("show", worst).stdout
    missing = m.control("show", "192.0.2.99")
    assert missing.returncode == 1 and "nothing is known" in missing.stderr
    assert m.control("show", "nonsense").returncode == 2
    assert m.control("clients", "--sort", "beauty").returncode == 2
    dump = [json.loads(line) for line in m.control("ledger", "dump").stdout.splitlines()]
    assert {worst, other} <= {e["address"] for e in dump}


def test_release_answers_a_hold_now_and_forgets(mired):
    m = mired(tarpit="time = 60s max = 60s")
    source = ports.stranger()
    with Client(m.port, source=source) as held, Client(m.port) as other:
        for c in (held, other):
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            c.send("RCPT TO:<nobody@example.test>\r\n")
        while ctl(m, "status")["held"] < 2:
            time.sleep(0.02)
        begun = time.monotonic()
        assert m.control("release", source).returncode == 0
        assert held.reply().code == 550 and time.monotonic() - begun < 1
        assert m.control("show", source).returncode == 1
        other.socket.settimeout(0.3)
        with pytest.raises(Hung):
            other.reply()
    assert "command=release" in m.log.text and "by_uid=" in m.log.text


def test_exempt_lasts_over_a_restart_until_it_is_taken_back(mired):
    m = mired(tarpit="time = 500ms")
    source = ports.stranger()
    assert m.control("exempt", source, "--for", "1d").returncode == 0
    m.stop()
    m.start()
    assert source in m.control("exempt", "--list").stdout
    with Client(m.port, source=source) as c:
        c.ehlo()
        assert c.envelope("a@b.test", ["nobody@example.test"])[0].seconds < 0.4
    assert m.control("exempt", "--remove", source).returncode == 0
    with Client(m.port, source=source) as c:
        c.ehlo()
        assert c.envelope("a@b.test", ["nobody@example.test"])[0].seconds > 0.4
    assert m.control("exempt", "10.0.0.0/8").returncode == 1


def test_penalise_books_offences(mired):
    m = mired(tarpit="time = 200ms growth = 2 max = 10s drip = 0")
    source = ports.stranger()
    assert m.control("penalise", source, "--offences", "3").returncode == 0
    with Client(m.port, source=source) as c:
        c.ehlo()
        assert c.envelope("a@b.test", ["nobody@example.test"])[0].seconds > 1.5
