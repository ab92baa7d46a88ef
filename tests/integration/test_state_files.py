"""Files of `state` that somebody damages while mired serves (field notes 29).

A restored backup, a `> ledger`, a full disk's clean-up: the next process to touch such a file was killed, and so was each
worker begun after. Now they are mended where they are, and no connection is lost.
"""

import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from lib import frozen as frozen_holds
from lib import netns, ports
from lib.mired import SOURCE
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


def from_version_0_1(m, *names):
    """Puts what version 0.1 has written there in place of these files: it exempted 192.0.2.9 and 2001:db8::/48 without an
    end, booked 500 offences on 192.0.2.7, took a message from 127.9.9.9, and refused recipients of 127.9.8.7."""
    for name in names:
        packed = pathlib.Path(__file__).parent / "version-0.1" / f"{name}.xz"
        (m.folder / "state" / name).write_bytes(lzma.decompress(packed.read_bytes()))


def test_state_of_version_0_1_is_taken_over_or_set_aside(mired):
    """The ledger is taken over, and other files that have changed since are set aside. It says nothing of amounts that
    fade: the files do not become younger."""
    m = mired(tarpit="time = 0 half_life = 365d good_half_life = 365d freeze = off ledger_size = 64K")
    assert m.stop() == []
    from_version_0_1(m, "ledger", "settled", "answers", "decoys")
    m.start()
    known = {(e["kind"], e["address"]): e for e in map(json.loads, m.control("ledger", "dump").stdout.splitlines())}
    assert known["client", "192.0.2.9"]["exempt"] and known["network", "2001:db8::/48"]["exempt"]
    assert known["client", "192.0.2.7"]["offences"] <= 60  # 0.1 had no bound
    assert known["network", "192.0.2.0/24"]["offences"] == known["network", "127.9.8.0/24"]["offences"] == 0
    assert {("client", "127.9.9.9"), ("client", "127.9.8.7")} <= known.keys()
    aside = {p.name for p in (m.folder / "state").glob("*.set-aside")}
    assert aside == {"settled.set-aside", "answers.set-aside"}
    assert deliver(m.port, "a@b.test", USER).code == 250
    assert deliver(m.port, "a@b.test", "nobody@example.test").code == 550


@pytest.mark.parametrize("back", [True, False], ids=["to 0.1 and forth", "restarted"])
def test_networks_start_from_zero_after_version_0_1_only(mired, back):
    """0.1 does not touch the mark of this version in the ledger; it is the other file that tells that it ran."""
    m = mired(tarpit="time = 0 half_life = 365d freeze = off")
    line = {"kind": "network", "address": "192.0.2.0/24", "at_ms": int(time.time() * 1000), "offences": 3}
    (m.folder / "lines").write_text(json.dumps(line))
    assert m.control("ledger", "load", m.folder / "lines").returncode == 0
    assert m.stop() == []
    if back:
        from_version_0_1(m, "settled")
    m.start()
    known = {e["address"]: e["offences"] for e in map(json.loads, m.control("ledger", "dump").stdout.splitlines())}
    assert known["192.0.2.0/24"] == (0 if back else pytest.approx(3, rel=1e-2))


def warnings(m):
    return set(re.findall(r"level=warn text=(.*)", m.log.text))


def test_a_copy_of_a_mired_that_runs_can_be_restored(mired, tmp_path):
    """The copy of docs/operations.md, made while messages come in. tar ends with 1 if a file changed meanwhile."""
    m = mired(tarpit="time = 0 freeze = off")
    assert m.control("exempt", "192.0.2.9").returncode == 0
    assert m.control("penalise", "192.0.2.7", "--offences", "9").returncode == 0
    for _ in range(5):
        assert deliver(m.port, "a@b.test", USER).code == 250
    m.booked()
    told = re.search(r"```sh\n(umask .*?)```", (SOURCE / "docs/operations.md").read_text(), re.S)[1]
    told = told.replace("/var/lib/mired", str(m.folder / "state")).replace("/backup/mired.tar.gz", str(tmp_path / "copy"))
    copying = subprocess.Popen(["sh", "-c", told], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while copying.poll() is None:
        assert deliver(m.port, "a@b.test", USER).code == 250
    assert copying.returncode in (0, 1)
    assert (tmp_path / "copy").stat().st_mode & 0o77 == 0  # others would read the mail
    warned = warnings(m)
    assert m.stop() == []
    shutil.rmtree(m.folder / "state")
    (m.folder / "state").mkdir()
    subprocess.run(["tar", "-xz", "-C", m.folder / "state", "-f", tmp_path / "copy"], check=True)
    m.start()
    assert warnings(m) <= warned and not list((m.folder / "state").glob("*.set-aside"))
    known = {e["address"]: e for e in map(json.loads, m.control("ledger", "dump").stdout.splitlines())}
    assert known["192.0.2.9"]["exempt"] and known["192.0.2.7"]["offences"] > 1
    assert len(m.delivered(USER, count=5)) >= 5
    assert deliver(m.port, "a@b.test", USER).code == 250
