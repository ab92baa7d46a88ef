"""Files of `state` that somebody damages while mired serves (field notes 29).

A restored backup, a `> ledger`, a full disk's clean-up: the next process to touch such a file was killed, and so was each
worker begun after. Now they are mended where they are, and no connection is lost.
"""

import json
import os

import pytest

from lib import frozen as frozen_holds
from lib import netns, ports
from lib.smtp import Client, deliver
from lib.waiting import until

USER = "alice@example.test"
FILES = ["ledger", "settled", "orders", "answers", "decoys", "history"]


@pytest.fixture
def m(mired):
    web = ports.free()
    return mired(workers=2, tarpit="time = 100ms growth = 1 max = 100ms pace = false", config=f'web {{ listen = "127.0.0.1:{web}" }}')


def talk(client):
    """A typo and a good message."""
    client.must("MAIL FROM:<a@b.test>")
    assert client.say("RCPT TO:<nobody@example.test>").code == 550
    client.must(f"RCPT TO:<{USER}>")
    assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250


@pytest.mark.parametrize("left", [0, 5000])
@pytest.mark.parametrize("names", [["ledger"], ["settled"], FILES], ids=["ledger", "settled", "all"])
def test_a_file_that_is_cut_short_costs_no_connection(m, names, left):
    clients = [Client(m.port) for _ in range(6)]
    for client in clients:
        client.ehlo()
    talk(clients[0])
    whole = {}
    for name in names:
        path = m.folder / "state" / name
        whole[name] = path.stat().st_size
        os.truncate(path, left)
    for client in clients:
        talk(client)
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login("alice@example.test", "wonderland").code == 235
        assert client.login("nobody@example.test", "x").code in (503, 535)
    for _ in range(10):
        assert deliver(m.port, "a@b.test", USER).code == 250
    until(lambda: m.control("status").returncode == 0)
    m.log.wait(rf"level=warn .*state/{names[0]} was truncated while in use")
    assert "child_died" not in m.log.text
    for name in names:
        if name == "ledger":  # what nobody has touched yet is found by the master, sooner or later
            assert (m.folder / "state" / name).stat().st_size == whole[name]
    m.booked()
    shown = json.loads(m.control("--json", "show", clients[0].source).stdout)
    assert shown["client"]["offences"] > 0.5  # it is of use still, for all of its processes
    for client in clients:
        client.close()


def test_what_is_mended_is_taken_over_by_the_next_start(m):
    with Client(m.port) as client:
        client.ehlo()
        os.truncate(m.folder / "state" / "ledger", 0)
        talk(client)
        source = client.source
    m.log.wait("was truncated while in use")
    assert m.stop() == []
    m.start()
    assert json.loads(m.control("--json", "show", source).stdout)["client"]["offences"] > 0.5
    assert not list((m.folder / "state").glob("*.set-aside"))


def test_a_reload_and_an_upgrade_over_a_file_that_is_cut_short(m):
    os.truncate(m.folder / "state" / "ledger", 0)
    assert m.control("reload").returncode == 0
    assert deliver(m.port, "a@b.test", USER).code == 250
    os.truncate(m.folder / "state" / "settled", 50)
    assert m.control("upgrade").returncode == 0
    assert deliver(m.port, "a@b.test", USER).code == 250


@pytest.mark.skipif(netns.unable() != "", reason=netns.unable())
@pytest.mark.parametrize("left", [0, 4096, 4096 + 500])
def test_a_frozen_table_that_is_cut_short_ends_no_process(frozen, cable, left):
    m = frozen(time=10)
    held = [Client(m.port, host=netns.SERVER, source=f"10.78.0.{i}") for i in range(1, 9)]
    for client in held:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
    frozen_holds.wait_frozen(cable, 4)
    os.truncate(m.folder / "state" / "frozen", left)
    m.log.wait("frozen holds are left")
    with Client(m.port, host=netns.SERVER, source="10.78.1.1") as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550  # frozen, and back
    assert "child_died" not in m.log.text
    for client in held:
        client.close()
