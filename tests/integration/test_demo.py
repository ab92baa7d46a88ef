"""The demo: what `make run` starts, and the three lines that it tells people to try."""

import re
import shutil
import subprocess

import pytest

from lib import ports
from lib.daemon import Daemon
from lib.mired import BUILD, SOURCE, read_maildir
from lib.waiting import PATIENCE


@pytest.fixture
def demo(tmp_path):
    """A copy of demo/ on free ports, running."""
    folder = tmp_path / "demo"
    shutil.copytree(SOURCE / "demo", folder, ignore=shutil.ignore_patterns("run"))
    port, submission, page = ports.free(), ports.free(), ports.free()
    for name in ("start", "try", "mired.conf.in"):
        file = folder / name
        text = file.read_text().replace("2525", str(port)).replace("2587", str(submission))
        text = text.replace("8025", str(page))
        file.write_text(text.replace("time = 20s", "time = 2s"))
    daemon = Daemon([folder / "start", BUILD])
    daemon.wait_listening(port)
    daemon.folder = folder
    yield daemon
    status, _, left = daemon.stop()
    print(daemon.output.text)
    assert status == 0 and not left and not daemon.reports()


def attempt(demo, what):
    done = subprocess.run([demo.folder / "try", what], capture_output=True, text=True, timeout=PATIENCE)
    print(done.stdout, done.stderr)
    return done.stdout


def test_it_says_what_is_listening_and_three_lines_to_try(demo):
    for words in ("example.test", "alice/wonderland", "demo/try good", "demo/try typo", "demo/try login"):
        demo.output.wait(words)


def test_its_three_lines_work(demo):
    assert "250 2." in attempt(demo, "good")
    box = demo.folder / "run" / "mail" / "example.test"
    assert b"demo/try good" in read_maildir(box / "alice")[0]
    said = attempt(demo, "typo")
    waited = re.search(r"^ *(\d+)\.(\d+) s +550[ -]5\.1\.1", said, re.M)
    assert waited and int(waited.group(1)) >= 2
    assert "235 2.7.0" in attempt(demo, "login")
    assert b"demo/try login" in read_maildir(box / "bob")[0]
