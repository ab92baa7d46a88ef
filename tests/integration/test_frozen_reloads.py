"""Reloads and frozen holds: the freezer stays unless something that concerns it has changed, its rule is restored if
somebody has removed it, and no hold is lost at any moment of a reload."""

import os
import signal
import subprocess
import time

import pytest

from lib import netns, ports, processes
from lib.frozen import frozen_in, release, waits_frozen
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


def test_freezing_ends_and_begins_again_with_the_configuration(frozen, cable):
    m = frozen(time=240)
    one = waits_frozen(m, 1)
    text = m.file.read_text()
    m.file.write_text(text.replace("freeze = auto", "freeze = off"))
    reload(m)
    until(lambda: not m.processes("freezer") and "mired" not in cable.ruleset())
    m.file.write_text(text)
    reload(m)
    until(lambda: m.processes("freezer") and "mired" in cable.ruleset() and frozen_in(m) == 1)
    one.send("NOOP\r\n")
    release(m, 1, one, 1)


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
