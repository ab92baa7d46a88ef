"""The log: what became of a message is found by its sender, recipient, client or id. Field notes 15, 16, 31."""

import json
import re
import subprocess

from lib import ports
from lib.mired import CONTROL
from lib.smtp import Client, deliver


def log(m, *words):
    done = m.control("log", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_mirectl_log_shows_the_lines_of_one_address(mired):
    """field notes 15"""
    m = mired()
    for name in ("alice", "bob"):
        assert deliver(m.port, f"{name}.sender@elsewhere.test", [f"{name}@example.test"]).ok
    m.log.wait("event=session.*", since=0)
    lines = log(m)
    assert any("event=start" in line for line in lines) and any("event=ready" in line for line in lines)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} event=", lines[0])
    for wanted in ("alice@example.test", "ALICE.sender@elsewhere.test", "<alice@example.test>"):
        found = log(m, wanted)
        assert [line for line in found if "event=message" in line and "from=alice.sender@elsewhere.test" in line]
        assert not [line for line in found if "bob" in line]
    assert len(log(m, "example.test", "--limit", "1")) == 1
    done = m.control("log", "nobody@example.test")
    assert done.returncode == 0 and not done.stdout and "says anything about that" in done.stderr
    parts = [json.loads(line) for line in m.control("--json", "log", "bob@example.test").stdout.splitlines()]
    assert parts and all(p["level"] == "info" and p["time_ms"] > 1.6e12 for p in parts), parts
    assert "bob@example.test" in parts[0]["line"]


def test_mirectl_log_knows_lines_that_the_level_keeps_out_of_the_log(mired):
    m = mired(config='log_level = "warn"')
    assert deliver(m.port, "a@elsewhere.test", ["alice@example.test"]).ok
    assert [line for line in log(m, "alice@example.test") if "event=message" in line]
    assert "event=message" not in m.log.text


def test_mirectl_log_follows_over_a_reload(mired):
    m = mired()
    with subprocess.Popen(
        [CONTROL, "-s", m.folder / "run" / "control", "log", "--follow", "alice@example.test"],
        stdout=subprocess.PIPE,
        text=True,
    ) as follow:
        try:
            for sender in ("first@elsewhere.test", "second@elsewhere.test"):
                assert deliver(m.port, sender, ["alice@example.test"]).ok
                for line in follow.stdout:
                    if "event=message" in line:
                        break
                assert f"from={sender}" in line
                assert m.control("reload").returncode == 0
        finally:
            follow.terminate()


def test_mirectl_log_stays_over_an_upgrade(mired):
    m = mired()
    assert deliver(m.port, "a@elsewhere.test", ["alice@example.test"]).ok
    assert m.control("upgrade", timeout=60).returncode == 0
    assert [line for line in log(m, "alice@example.test") if "event=message" in line]
