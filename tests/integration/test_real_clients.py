"""Programs that people send mail with: good mail passes, and a typo ends with the real reason."""

import re
import shutil
import subprocess
import time

import pytest

from lib.mired import PEOPLE


def swaks(port, *arguments, timeout=120):
    if not shutil.which("swaks"):
        pytest.skip("swaks is not installed")
    return subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", "--from", "friend@elsewhere.test",
         "--helo", "client.elsewhere.test", *arguments],
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def msmtp(folder, port, recipient, *lines, timeout=120):
    if not shutil.which("msmtp"):
        pytest.skip("msmtp is not installed")
    file = folder / "msmtprc"
    file.write_text(
        "\n".join(
            ["account default", "host 127.0.0.1", f"port {port}", "from friend@elsewhere.test",
             "domain client.elsewhere.test", "tls off", *lines]
        ) + "\n"
    )  # fmt: skip
    file.chmod(0o600)
    return subprocess.run(
        ["msmtp", "-C", file, recipient],
        input="Subject: x\n\nhello\n", capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def test_swaks_delivers(mired):
    m = mired()
    done = swaks(m.port, "--to", "alice@example.test", "--body", "hello from swaks")
    assert done.returncode == 0, done.stdout
    assert b"hello from swaks" in m.delivered("alice@example.test")[0]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in_and_delivers(mired, mechanism):
    m = mired(tarpit="time = 20s")
    login = ["--auth", mechanism, "--auth-user", "alice@example.test", "--auth-password"]
    done = swaks(m.submission, "--to", "bob@example.test", *login, "wonderland")
    assert done.returncode == 0, done.stdout
    assert len(m.delivered("bob@example.test")) == 1


def test_swaks_learns_of_a_typo_after_the_tarpit_time(mired):
    m = mired(tarpit="time = 3s")
    begun = time.monotonic()
    done = swaks(m.port, "--to", "alicia@example.test")
    assert done.returncode == 24, done.stdout
    assert "550 5.1.1" in done.stdout
    assert time.monotonic() - begun >= 2.99


def test_swaks_pipelines(mired):
    m = mired(tarpit="time = 1s")
    done = swaks(m.port, "--pipeline", "--to", "alice@example.test,alicia@example.test")
    assert "550 5.1.1" in done.stdout
    assert len(m.delivered("alice@example.test")) == 1


def test_msmtp_delivers_and_logs_in(mired, tmp_path):
    m = mired()
    assert msmtp(tmp_path, m.port, "alice@example.test").returncode == 0
    done = msmtp(tmp_path, m.submission, "bob@example.test",
                 "auth plain", "user alice@example.test", "password wonderland")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(m.delivered("alice@example.test")) == len(m.delivered("bob@example.test")) == 1


def test_msmtp_learns_of_a_typo(mired, tmp_path):
    m = mired(tarpit="time = 3s")
    done = msmtp(tmp_path, m.port, "alicia@example.test")
    assert done.returncode != 0 and "5.1.1" in done.stderr


@pytest.fixture
def sender(postfix):
    """A Postfix that sends all but its own users' mail to a port."""

    def make(port, extra=""):
        return postfix(
            hostname="sender.test",
            domains="sender.test",
            boxes=("writer@sender.test",),
            extra=f"relayhost = [127.0.0.1]:{port}\n{extra}",
        )

    return make


def submit(sender, recipient, text="hello"):
    from lib.smtp import deliver

    message = f"Subject: x\r\nFrom: writer@sender.test\r\n\r\n{text}\r\n".encode()
    reply = deliver(sender.port, "writer@sender.test", recipient, message, source="127.0.0.1")
    assert reply.code == 250, reply


def test_a_postfix_delivers_and_bounces_a_typo_with_the_real_reason(mired, sender):
    m = mired(tarpit="time = 3s")
    s = sender(m.port)
    submit(s, "alice@example.test", "good one")
    assert b"good one" in m.delivered("alice@example.test")[0]
    submit(s, "alicia@example.test")
    found = s.wait_log(r"to=<alicia@example.test>.*delay=([\d.]+),.*status=bounced \((.*)\)")
    assert float(found.group(1)) >= 2.9 and "5.1.1" in found.group(2)
    bounce = s.delivered("writer@sender.test")[0]
    assert re.search(rb"Status: 5\.1\.1", bounce) and b"user unknown" in bounce


def test_a_postfix_with_a_typo_among_good_recipients_delivers_the_good_ones(mired, sender):
    m = mired(tarpit="time = 2s")
    s = sender(m.port)
    submit(s, ["alice@example.test", "alicia@example.test", "bob@example.test"])
    assert len(m.delivered("alice@example.test")) == 1
    assert len(m.delivered("bob@example.test")) == 1
    assert b"5.1.1" in s.delivered("writer@sender.test")[0]


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [20, 60, 90, 150])
def test_a_postfix_bears_long_holds(mired, sender, seconds):
    m = mired(tarpit=f"time = {seconds}s max = {seconds}s")
    s = sender(m.port)
    submit(s, "alicia@example.test")
    found = s.wait_log(r"to=<alicia@example.test>.*status=(\w+) \((.*)\)", seconds + 60)
    assert found.group(1) == "bounced" and "5.1.1" in found.group(2)


@pytest.mark.soak
def test_msmtp_bears_long_holds(mired, tmp_path):
    m = mired(tarpit="time = 150s max = 150s patience_offences = 0")
    done = msmtp(tmp_path, m.port, "alicia@example.test", timeout=200)
    assert done.returncode != 0 and "5.1.1" in done.stderr


@pytest.mark.soak
def test_swaks_gets_the_real_reason_at_20_s_and_at_60_s_on_its_second_try(mired):
    """It waits 30 s for a whole reply. Patience (R12): who hung up before is answered sooner the next time."""
    m = mired(tarpit="time = 20s")
    done = swaks(m.port, "--to", "alicia@example.test")
    assert done.returncode == 24 and "550 5.1.1" in done.stdout, done.stdout
    m = mired(tarpit="time = 60s growth = 1")
    first = swaks(m.port, "--to", "alicia@example.test", timeout=100)
    assert "Timeout" in first.stdout.split("-> QUIT")[0], first.stdout  # and what comes after it answers nothing
    second = swaks(m.port, "--to", "alicia@example.test", timeout=100)
    assert second.returncode == 24 and "5.1.1" in second.stdout, second.stdout


@pytest.mark.soak
def test_a_postfix_with_six_typos_at_once_goes_on_delivering(mired, sender):
    """Its good mail meanwhile is late by no more than 60 s, and the destination is never suspended. R8: its earlier
    mail pays for that."""
    m = mired(tarpit="time = 20s")
    s = sender(m.port)
    for n in range(20):
        submit(s, list(PEOPLE), f"earlier {n}")
    m.delivered("alice@example.test", 60, count=20)
    for n in range(6):
        submit(s, f"typo{n}@example.test")
    begun = time.monotonic()
    while time.monotonic() - begun < 100:
        since = len(s.log)
        submit(s, "alice@example.test", "good")
        found = s.wait_log(r"to=<alice@example.test>.*delay=([\d.]+),.*status=(\w+)", 90, since=since)
        assert found.group(2) == "sent" and float(found.group(1)) <= 60, found.group(0)
    for n in range(6):
        s.wait_log(rf"to=<typo{n}@example.test>.*status=bounced \(.*5\.1\.1", 200)
    assert "suspended" not in s.log


@pytest.mark.soak
def test_six_typos_at_once_of_a_postfix_never_seen_before_delay_its_good_mail_and_lose_none(mired, sender):
    """R4: for us it is a harvester's six connections. It pays for that, is told the truth, and is never suspended."""
    m = mired(tarpit="time = 20s")
    s = sender(m.port)
    for n in range(6):
        submit(s, f"typo{n}@example.test")
    submit(s, "alice@example.test", "good one")
    found = s.wait_log(r"to=<alice@example.test>.*delay=([\d.]+),.*status=sent", 500)
    print(f"its first good mail was {float(found.group(1)):.0f} s late")
    assert b"good one" in m.delivered("alice@example.test")[0]
    assert "suspended" not in s.log
