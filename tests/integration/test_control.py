"""mirectl: what it says of a running mired, and how it steers it."""

import json
import time

import pytest

from lib.smtp import Client, deliver


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
