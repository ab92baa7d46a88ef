"""Reloads and frozen holds: the freezer stays unless something that concerns it has changed, its rule is restored if
somebody has removed it, and no hold is lost at any moment of a reload."""

import json
import os
import signal
import subprocess
import time

import pytest

from lib import netns, ports, processes
from lib.frozen import ask, frozen_in, release, told, waits_frozen
from lib.mired import CONTROL
from lib.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")


def with_handles(cable):
    """The rules, with the numbers that the kernel gives to tables, sets and rules when they are made."""
    return cable.at_server(lambda: subprocess.check_output(["nft", "-a", "list", "ruleset"], text=True))


def reload(mired):
    done = mired.control("reload")
    assert done.returncode == 0, done.stdout + done.stderr


def test_reloads_keep_the_freezer_and_leave_the_rule_alone(frozen, cable):
    m = frozen(time=240)
    freezer, rules = m.processes("freezer"), with_handles(cable)
    one = waits_frozen(m, 1)
    for _ in range(3):
        reload(m)
        one.send("NOOP\r\n")
    assert m.processes("freezer") == freezer and with_handles(cable) == rules
    two = waits_frozen(m, 2)
    release(m, 1, one, 3)
    release(m, 2, two, 0)
    assert m.stop() == []
    assert "mired" not in cable.ruleset()


@pytest.mark.parametrize("what", ["flush", "other"])
def test_a_reload_restores_the_rule_if_somebody_has_changed_rules(frozen, cable, what):
    m = frozen(time=240)
    freezer, rules = m.processes("freezer"), cable.ruleset()
    one = waits_frozen(m, 1)
    commands = {"flush": "flush ruleset", "other": "delete table inet @; table inet another { }"}[what]
    table = rules.split("table inet ")[1].split()[0]
    cable.at_server(lambda: subprocess.run(["nft", commands.replace("@", table)], check=True))
    assert table not in cable.ruleset()
    reload(m)
    until(lambda: table in cable.ruleset())
    if what == "flush":
        assert cable.ruleset() == rules
    assert m.processes("freezer") == freezer
    one.send("NOOP\r\n")
    release(m, 1, one, 1)


@pytest.mark.parametrize("what", ["listen", "workers", "log_level"])
def test_another_freezer_takes_over_if_something_that_concerns_it_changes(frozen, cable, what):
    port = ports.free()
    m = frozen(time=240)
    before = m.processes("freezer")
    clients = [waits_frozen(m, n) for n in range(5)]
    text = m.file.read_text()
    changed = {
        "listen": f'{text}listen "{netns.SERVER}:{port}" {{ }}\n',
        "workers": text.replace("workers = 2", "workers = 5"),
        "log_level": text.replace('log_level = "debug"', 'log_level = "info"'),
    }[what]
    assert changed != text
    m.file.write_text(changed)
    reload(m)
    assert processes.wait_gone(before) == []
    until(lambda: m.processes("freezer") and frozen_in(m) == 5)
    if what == "listen":
        until(lambda: f"{netns.SERVER} . {port}" in cable.ruleset())
    for client in clients:
        client.send("NOOP\r\n")
    for n, client in enumerate(clients):
        release(m, n, client, 1)


def write(mired, text, **changes):
    for before, after in changes.items():
        old, new = after
        assert old in text, before
        text = text.replace(old, new)
    mired.file.write_text(text)
    reload(mired)


def test_freezing_ends_and_begins_again_with_the_configuration(frozen, cable):
    """What is frozen when that ends stays so, is shown and released, and has its rule and a freezer until the last is answered."""
    m = frozen(time=240)
    clients = [waits_frozen(m, n) for n in range(3)]
    text, before = m.file.read_text(), m.processes("freezer")
    off = {"freeze": ("freeze = auto", "freeze = off")}
    write(m, text, **off)
    assert processes.wait_gone(before) == []
    until(lambda: m.processes("freezer") and frozen_in(m) == 3)
    clients[0].send("NOOP\r\n")
    release(m, 0, clients[0], 1)
    ordinary = ask(m.port, 7)
    until(lambda: json.loads(m.control("--json", "status").stdout)["held"] == 1)
    assert frozen_in(m) == 2 and "mired" in cable.ruleset()
    write(m, text)
    until(lambda: m.processes("freezer") and "mired" in cable.ruleset() and frozen_in(m) == 2)
    clients[0].close()
    late = waits_frozen(m, 8)
    write(m, text, workers=("workers = 2", "workers = 1"), **off)
    write(m, text, workers=("workers = 2", "workers = 3"), **off)
    for n, client in ((1, clients[1]), (2, clients[2]), (8, late)):
        client.send("NOOP\r\n")
        release(m, n, client, 1)
    until(lambda: not m.processes("freezer") and "mired" not in cable.ruleset())
    until(lambda: not (m.folder / "state" / "frozen").exists())
    release(m, 7, ordinary, 0)
    write(m, text)
    until(lambda: m.processes("freezer") and "mired" in cable.ruleset())
    waits_frozen(m, 9)


def test_a_reload_that_fails_changes_nothing_for_what_is_frozen(frozen, cable):
    """It would have had more workers. Connections that thaw go to those that serve."""
    m = frozen(time=240)
    m.deaths_expected = True
    clients = [waits_frozen(m, n) for n in range(8)]
    text, freezer = m.file.read_text(), m.processes("freezer")
    write(m, text, workers=("workers = 2", "workers = 1"))
    until(lambda: (now := m.processes("freezer")) and not set(now) & set(freezer) and frozen_in(m) == 8)
    m.file.write_text(text.replace('"mx.example.test"', '"other.example.test"'))
    m.mail.mkdir(exist_ok=True)
    m.mail.rename(m.mail.with_name("kept"))
    m.mail.write_text("no folder")
    done = m.control("reload")
    assert done.returncode == 1 and "its processes cannot start" in done.stderr
    m.mail.unlink()
    m.mail.with_name("kept").rename(m.mail)
    for n, client in enumerate(clients):
        release(m, n, client, 0)


def test_without_the_tarpit_all_that_is_frozen_is_answered_at_once(frozen, cable):
    m = frozen(time=240)
    clients = [waits_frozen(m, n) for n in range(3)]
    write(m, m.file.read_text(), time=("time = 240s", "time = 0"))
    for client in clients:
        assert told(client).seconds < 60
    until(lambda: not m.processes("freezer") and "mired" not in cable.ruleset())


def test_what_is_frozen_is_answered_after_a_start_that_freezes_nothing(frozen, cable):
    m = frozen(time=20)
    client = waits_frozen(m, 1)
    processes.kill_session(m.pid)
    m.daemon.process.wait()
    m.file.write_text(m.file.read_text().replace("freeze = auto", "freeze = off"))
    cable.at_server(m.start)
    client.send("NOOP\r\n")
    told(client)
    assert client.reply().code == 250
    until(lambda: not m.processes("freezer") and "mired" not in cable.ruleset())
    assert m.control("reload").returncode == 0
    assert not m.processes("freezer")


def test_what_is_frozen_is_answered_also_if_the_rule_cannot_be_set(frozen, cable):
    """The table of that name belongs to another process, so the next freezer cannot set its own."""
    m = frozen(time=12)
    m.deaths_expected = True
    client = waits_frozen(m, 1)
    table = cable.ruleset().split("table inet ")[1].split()[0]
    other = cable.at_server(lambda: subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, text=True))
    try:
        other.stdin.write(f"delete table inet {table}\nadd table inet {table} {{ flags owner; }}\n")
        other.stdin.flush()
        until(lambda: "flags owner" in cable.ruleset())
        processes.kill_all(m.processes("freezer"))
        m.log.wait("not freezing connections, holds keep their sockets: nftables")
        assert told(client).seconds > 11
    finally:
        other.stdin.close()
        other.wait()


@pytest.mark.long
def test_a_freezer_that_is_killed_at_any_moment_of_a_reload_loses_no_hold(frozen, cable):
    """Each time a little later, from before the reload's beginning to behind its end."""
    m = frozen(time=240)
    m.deaths_expected = True
    clients = [waits_frozen(m, n) for n in range(3)]
    for step in range(8):
        until(lambda: m.processes("freezer") and frozen_in(m) == 3)
        victim = m.processes("freezer")
        begun = subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL)
        time.sleep(step / 60)
        processes.kill_all(victim)
        assert processes.wait_gone(victim) == []  # a busy machine ends it late, and it looks alive until then
        assert begun.wait(PATIENCE) == 0
    until(lambda: m.processes("freezer") and frozen_in(m) == 3)
    late = waits_frozen(m, 7)
    for n, client in enumerate(clients):
        client.send("NOOP\r\n")
        release(m, n, client, 1)
    release(m, 7, late, 0)


def test_a_freezer_that_hangs_during_a_reload_goes_on_afterwards(frozen, cable):
    m = frozen(time=240)
    freezer = m.processes("freezer")
    one = waits_frozen(m, 1)
    rules = cable.ruleset()
    for pid in freezer:
        os.kill(pid, signal.SIGSTOP)
    try:
        cable.at_server(lambda: subprocess.run(["nft", "flush", "ruleset"], check=True))
        reload(m)
        reload(m)
    finally:
        for pid in freezer:
            os.kill(pid, signal.SIGCONT)
    until(lambda: cable.ruleset() == rules)
    assert m.processes("freezer") == freezer
    one.send("NOOP\r\n")
    release(m, 1, one, 1)
