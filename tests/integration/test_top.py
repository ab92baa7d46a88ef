"""mirectl top: in a real terminal, and into a pipe."""

import json
import os
import re
import shutil
import subprocess

import pytest

from lib import ports
from lib.mired import CONTROL
from lib.smtp import Client
from lib.waiting import PATIENCE, until


class Terminal:
    """A terminal of tmux's own server, in which a command runs."""

    def __init__(self, folder, command, width=100, height=24):
        self.socket = str(folder / "tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), f"{command}; echo left with $?; sleep 600")

    def tmux(self, *words):
        env = {k: v for k, v in os.environ.items() if k != "TMUX"} | {"LC_ALL": "C.UTF-8"}
        return subprocess.run(["tmux", "-S", self.socket, *words], capture_output=True, text=True, env=env, check=True, timeout=PATIENCE).stdout

    @property
    def text(self):
        return self.tmux("capture-pane", "-p")

    def selected(self):
        """The address in reverse video."""
        found = re.search(r"\033\[(?:\d+;)*7m(?:\033\[[\d;]*m)*(\S+)", self.tmux("capture-pane", "-p", "-e"))
        return found and found[1]

    def wait(self, *words):
        """The text once all of the words are in it, in their order: a picture may be taken while it is drawn."""
        wanted = re.compile(".*".join(map(re.escape, words)), re.S)
        return until(lambda: wanted.search(text := self.text) and text, why=lambda: f"{words!r} are not in\n{self.text}", every=0.05)

    def key(self, *names):
        self.tmux("send-keys", *names)

    def close(self):
        self.tmux("kill-server")


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def run(command, **size):
        opened.append(Terminal(tmp_path, command, **size))
        return opened[-1]

    yield run
    for t in opened:
        t.close()


def penalised(m, *pairs):
    addresses = []
    for number, offences in pairs:
        address = f"192.0.2.{number}"
        assert m.control("penalise", address, "--offences", str(offences)).returncode == 0
        addresses.append(address)
    return addresses


def top(m, *words):
    return f"{CONTROL} -s {m.folder}/run/control top --interval 0.3 {' '.join(words)}"


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_in_a_terminal_it_follows_and_takes_keys(mired, terminal):
    m = mired(tarpit="time = 240s max = 240s")
    worst, second, third = penalised(m, (1, 40), (2, 20), (3, 10))
    t = terminal(top(m))
    t.wait(worst, second, third)
    for words in ("mx.example.test", "held 0 of", "sort (offences)"):
        t.wait(words)
    until(lambda: t.selected() == worst)
    source = ports.stranger()
    with Client(m.port, source=source) as held:  # what happens is seen
        held.ehlo()
        held.send("FROBNICATE\r\n")
        t.wait("held 1 of")
        t.key("s")
        t.wait("sort (good)")
        t.key("s")
        t.wait("sort (held)")
        t.wait(source, worst)
        t.key("r")  # the first of this order is the one that is held
        t.wait(f"{source} is released")
        assert held.reply().code == 500
    t.key("s")
    t.wait("sort (offences)")
    t.wait(worst)
    t.key("Down")
    until(lambda: t.selected() == second)
    t.key("e")
    t.wait(f"{second} is never delayed")
    assert second in m.control("exempt", "--list").stdout
    t.key("Up", "q")
    t.wait("left with 0")


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_a_small_terminal_scrolls_and_a_mired_that_went_is_said_to_have(mired, terminal):
    m = mired()
    addresses = penalised(m, *((n, 60 - n) for n in range(1, 31)))
    t = terminal(top(m, "--limit", "30"), width=60, height=14)
    t.wait(addresses[0])
    assert addresses[20] not in t.text
    t.key(*["Down"] * 20)
    t.wait(addresses[20])
    until(lambda: t.selected() == addresses[20])
    m.stop()
    t.wait("cannot reach mired")
    m.start()
    t.wait("held 0 of")
    t.key("q")
    t.wait("left with 0")


def test_into_a_pipe_it_is_one_table_and_then_the_end(mired):
    m = mired()
    worst, second = penalised(m, (1, 40), (2, 20))
    done = m.control("top")
    assert done.returncode == 0 and "\033" not in done.stdout
    assert done.stdout.index(worst) < done.stdout.index(second) and "attackers waited" in done.stdout
    done = m.control("top", "--limit", "1", "--interval", "0.1", "--count", "3")
    assert done.stdout.count(worst) == 3 and second not in done.stdout
    rows = [json.loads(line) for line in m.control("--json", "top", "--count", "2", "--interval", "0.1").stdout.splitlines()]
    assert len(rows) == 2
    assert rows[0]["clients"][0]["address"] == worst and rows[0]["status"]["held"] == 0


def test_into_a_pipe_that_ends_it_ends_too_and_so_when_mired_goes(mired):
    m = mired()
    words = [CONTROL, "-s", m.folder / "run" / "control", "top", "--interval", "0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert "mired" in following.stdout.readline()
        following.stdout.close()
        assert following.wait(PATIENCE) != 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert "mired" in following.stdout.readline()
        m.stop()
        _, said = following.communicate(timeout=PATIENCE)
        assert following.returncode == 3 and "cannot reach mired" in said or "stopped before" in said
