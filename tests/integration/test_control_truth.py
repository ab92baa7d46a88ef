"""Field notes 18: mirectl says what was found and done, can take back what it did, and shows what holds."""

import json
import os
import pathlib
import pty
import re
import signal
import subprocess

import pytest

from lib import ports, power
from lib.failing import Failing
from lib.mired import BUILD, CONTROL, SANITIZED
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until


def known(m, address):
    done = m.control("show", address, "--json")
    return json.loads(done.stdout)["client"] if done.returncode == 0 else None


# ---- release ----


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "2001:db8::/31", "::ffff:0:0/96"])
def test_a_wide_release_needs_to_be_meant(mired, wide):
    m = mired()
    assert m.control("penalise", "192.0.2.7", "--offences", "5").returncode == 0
    assert m.control("penalise", "2001:db8:1::7", "--offences", "5").returncode == 0
    done = m.control("release", wide)
    assert done.returncode == 1 and "--all" in done.stderr
    assert known(m, "192.0.2.7")["offences"] > 4.9 and known(m, "2001:db8:1::7")["offences"] > 4.9
    assert m.control("release", "10.0.0.0/8").returncode == 1  # as wide as it gets, and nobody is there
    assert "no offences of 10.0.0.0/8 are known" in m.control("release", "10.0.0.0/8").stderr


def test_everybody_is_released_by_all(mired):
    m = mired()
    for address in ("192.0.2.7", "2001:db8:1::7"):
        assert m.control("penalise", address, "--offences", "5").returncode == 0
    done = m.control("release", "--all")
    assert done.returncode == 0 and "offences of 2 clients and networks" in done.stdout
    for address in ("192.0.2.7", "2001:db8:1::7"):
        about = known(m, address)
        assert not about or about["offences"] == 0


def test_a_release_says_what_was_known_and_held(mired):
    m = mired(tarpit="time = 60s freeze = off")
    done = m.control("release", "192.0.2.7")
    assert done.returncode == 1 and done.stdout == "" and "no offences of 192.0.2.7 are known" in done.stderr
    with Client(m.port, source="127.0.3.1") as c:
        c.ehlo()
        c.say("MAIL FROM:<a@b.test>")
        c.send(b"RCPT TO:<nobody@example.test>\r\n")
        held = 0
        while not held:
            shown = m.control("show", "127.0.3.1", "--json")
            held = json.loads(shown.stdout)["held"] if shown.returncode == 0 else 0
        m.booked()
        done = m.control("release", "127.0.3.1")
        assert done.returncode == 0 and re.search(r"1\.0 offences are forgotten .* 1 held connection is answered", done.stdout)
        assert c.reply().code == 550


def test_a_release_that_is_taken_back_brings_no_exemption_back(mired):
    """Exempting releases, too; the exemption that was taken away since then stays away."""
    m = mired()
    m.control("penalise", "192.0.2.7", "--offences", "5")
    assert m.control("exempt", "192.0.2.7").returncode == 0
    done = m.control("exempt", "--remove", "192.0.2.7")
    assert done.returncode == 0 and "release --undo restores them" in done.stdout
    assert m.control("release", "192.0.2.7", "--undo").returncode == 0
    assert known(m, "192.0.2.7")["offences"] > 4.9 and not known(m, "192.0.2.7")["exempt"]
    assert m.control("exempt", "192.0.2.8").returncode == 0
    m.control("penalise", "192.0.2.8", "--offences", "5")
    assert m.control("release", "192.0.2.8").returncode == 0
    assert m.control("release", "192.0.2.8", "--undo").returncode == 0
    assert known(m, "192.0.2.8")["exempt"]  # a release has never taken it away
    assert m.control("exempt", "192.0.2.9").returncode == 0
    assert m.control("exempt", "--remove", "192.0.2.9").stdout == "192.0.2.9 is no longer exempt\n"


# ---- taking back ----


def test_a_release_is_taken_back(mired):
    m = mired()
    assert m.control("penalise", "192.0.2.7", "--offences", "5").returncode == 0
    assert m.control("release", "192.0.2.7").returncode == 0
    assert not known(m, "192.0.2.7") or known(m, "192.0.2.7")["offences"] == 0
    done = m.control("release", "192.0.2.7", "--undo")
    assert done.returncode == 0 and "1 entry is changed" in done.stdout
    assert 4.9 < known(m, "192.0.2.7")["offences"] < 5.1
    done = m.control("release", "192.0.2.7", "--undo")
    assert done.returncode == 1 and "no release of 192.0.2.7" in done.stderr
    assert m.control("release", "192.0.2.8", "--undo").returncode == 1


def test_a_release_of_a_network_is_taken_back_for_each_client(mired):
    m = mired()
    for last in range(1, 8):
        assert m.control("penalise", f"192.0.2.{last}", "--offences", str(last)).returncode == 0
    assert m.control("release", "192.0.2.0/24").returncode == 0
    assert m.control("release", "192.0.2.0/24", "--undo").returncode == 0
    for last in range(1, 8):
        assert abs(known(m, f"192.0.2.{last}")["offences"] - last) < 0.1


def test_a_penalty_is_taken_back(mired):
    m = mired()
    assert m.control("penalise", "192.0.2.7", "--offences", "2").returncode == 0
    assert m.control("penalise", "192.0.2.7", "--offences", "30").returncode == 0
    assert m.control("penalise", "192.0.2.7", "--undo").returncode == 0
    assert 1.9 < known(m, "192.0.2.7")["offences"] < 2.1
    assert m.control("penalise", "192.0.2.7", "--undo").returncode == 0
    assert known(m, "192.0.2.7") is None or known(m, "192.0.2.7")["offences"] < 0.01
    assert m.control("penalise", "192.0.2.7", "--undo").returncode == 1


def test_the_log_has_what_was_asked_for(mired):
    m = mired()
    m.control("penalise", "192.0.2.7", "--offences", "2.5")
    m.control("exempt", "192.0.2.7", "--for", "2d")
    m.control("penalise", "192.0.2.7", "--undo")
    m.log.wait(r"command=penalise about=192.0.2.7 offences=2.5 by_uid=")
    m.log.wait(r"command=exempt about=192.0.2.7 for=2d by_uid=")
    m.log.wait(r'command="penalise --undo" about=192.0.2.7 by_uid=')


def test_an_exemption_that_is_not_there_cannot_be_removed(mired):
    m = mired()
    assert m.control("exempt", "192.0.2.7", "--remove").returncode == 1
    assert m.control("exempt", "192.0.2.7").returncode == 0
    assert m.control("exempt", "192.0.2.7", "--remove").returncode == 0


@pytest.mark.parametrize("command", ["exempt", "penalise", "release"])
def test_an_ipv6_address_is_said_to_stand_for_its_64(mired, command):
    m = mired()
    m.control("penalise", "2001:db8:1::7")
    assert "2001:db8:1::7, which is part of the client 2001:db8:1::/64," in m.control(command, "2001:db8:1::7").stdout
    m.control("penalise", "2001:db8:1::7")
    assert "part of" not in m.control(command, "2001:db8:1::/64").stdout


# ---- looking ----


def test_a_dump_is_loaded_from_standard_input(mired):
    m = mired()
    m.control("penalise", "192.0.2.7", "--offences", "5")
    dump = m.control("ledger", "dump").stdout
    m.control("release", "192.0.2.7")
    done = subprocess.run([CONTROL, "-s", m.folder / "run" / "control", "ledger", "load", "-"], input=dump, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert known(m, "192.0.2.7")["offences"] > 4.9


def test_status_fails_while_mail_does_not_pass(mired):
    m = mired(backend=f'backend "smtp://127.0.0.1:{ports.free()}" {{ }}', tarpit="time = 0")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 451
    done = until(lambda: (now := m.control("status")).returncode == 1 and now)  # the web process hears of it a moment later
    assert "does not pass: the backend is down" in done.stdout
    result = json.loads(m.control("status", "--json").stdout)
    assert result["mail_passes"] is False and result["mail_waits_for"] == "the backend is down"


def test_status_is_good_while_mail_passes(mired):
    m = mired(tarpit="time = 0")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    until(lambda: m.control("status").returncode == 0)  # the web process hears of it a moment later
    assert json.loads(m.control("status", "--json").stdout)["mail_passes"] is True


def test_a_recipient_that_nobody_answers_for_advises_no_restart(mired):
    m = mired()
    clerks = m.processes("clerk")
    for pid in clerks:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = m.control("recipient", "alice@example.test")
    finally:
        for pid in clerks:
            os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1 and "directories have not answered" in done.stderr and "restart" not in done.stderr
    assert "taken" in m.control("recipient", "alice@example.test").stdout


def test_a_client_is_shown_with_what_it_did_last(mired):
    m = mired(tarpit="time = 20s")
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.0.3.9").code == 250
    m.booked()
    m.control("penalise", "127.0.3.9", "--offences", "20")
    said = until(lambda: "to=alice@example.test" in (now := m.control("show", "127.0.3.9").stdout) and now)
    assert re.search(r"last seen +\d+ s ago", said), said
    assert "in debt: each session begins with a wait" in said, said
    assert "last seen" in m.control("clients").stdout


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("words", [["clients"], ["show", "192.0.2.7"], ["status"], ["top", "--count", "1"]])
def test_numbers_of_json_are_rounded(mired, words):
    m = mired()
    m.control("penalise", "192.0.2.7", "--offences", "0.1")
    m.control("penalise", "192.0.2.7", "--offences", "0.2")
    text = m.control(*words, "--json").stdout
    assert numbers(json.loads(text)) and not re.search(r"\.\d{4}", text.replace("192.0.2", "")), text


def test_the_configuration_that_holds_is_shown_and_is_one(mired, tmp_path):
    m = mired(config='exempt = { "10.0.0.0/8", ".mail.test" }\ndnsbl "bl.test" { }', tarpit="time = 3s  max = 70s")
    text = m.control("config").stdout
    assert "    time = 3s\n" in text and "    growth = 1.5  # default\n" in text
    assert 'exempt = { "10.0.0.0/8", ".mail.test" }' in text
    file = tmp_path / "mired.conf"
    file.write_text(text)
    done = subprocess.run([m.program, "-c", file, "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    m.file.write_text(text)
    assert m.control("reload").returncode == 0
    assert m.control("config").stdout == text


def on_a_terminal(arguments, **environment):
    """What the program writes to a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(arguments[0], [str(a) for a in arguments], {"TERM": "xterm", "PATH": os.environ["PATH"], **environment})
    said = b""
    try:
        while part := os.read(fd, 65536):
            said += part
    except OSError:  # the end, on Linux
        pass
    os.waitpid(pid, 0)
    os.close(fd)
    return said.decode()


def test_a_terminal_has_colours_unless_they_are_not_wanted(mired):
    m = mired(tarpit="time = 0")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    words = [CONTROL, "-s", m.folder / "run" / "control", "status"]
    until(lambda: "\033[32mup\033[0m" in on_a_terminal(words))
    assert "\033" not in on_a_terminal(words, NO_COLOR="1")
    assert "\033" not in on_a_terminal(words, TERM="dumb")
    assert "\033" not in m.control("status").stdout


# ---- the simulator ----


def test_a_log_becomes_an_attack_that_the_simulator_replays(mired, tmp_path):
    m = mired(tarpit="time = 0")
    assert deliver(m.port, "a@b.test", "alice@example.test", source="127.0.3.1").code == 250
    with Client(m.port, source="127.0.3.2") as c:
        c.ehlo()
        c.say("MAIL FROM:<a@b.test>")
        for i in range(3):
            assert c.say(f"RCPT TO:<nobody{i}@example.test>").code in (550, 450)
    m.log.wait("event=session client=127.0.3.2 ")


    def recorded():
        done = m.control("record")
        assert done.returncode == 0, done.stderr
        events = [line.split() for line in done.stdout.splitlines()]
        wrong = sum(int(e[3]) for e in events if e[1] == "127.0.3.2" and e[2] == "unknown")
        return done.stdout if ["127.0.3.1", "message", "1"] in [e[1:] for e in events] and wrong == 3 else None

    text = until(recorded)  # it gathers the lines of the log a moment later
    for form in ([], ["--json"]):
        log = tmp_path / "log"
        log.write_text(m.control("log", *form).stdout)
        assert m.control("record", log).stdout.count("\n") == text.count("\n")
    attack = tmp_path / "attack"
    attack.write_text(text)
    replayed = subprocess.run([BUILD / "mired-sim", "--attack", attack], capture_output=True, text=True, timeout=PATIENCE)
    assert replayed.returncode == 0 and "recorded" in replayed.stdout + "recorded", replayed.stderr
    nothing = tmp_path / "nothing"
    nothing.write_text("hello\n")
    assert m.control("record", nothing).returncode == 1


def test_the_simulator_shows_its_progress_on_a_terminal(tmp_path):
    attack = tmp_path / "attack"
    attack.write_text("1 192.0.2.7 unknown 3\n")
    assert "step 3: recorded attack, " in on_a_terminal([BUILD / "mired-sim", "--attack", attack])
    done = subprocess.run([BUILD / "mired-sim", "--attack", attack], capture_output=True, text=True)
    assert "step" not in done.stdout + done.stderr


# ---- answers that find no room ----

traced = pytest.mark.skipif(
    os.geteuid() != 0 or not pathlib.Path(power.PROGRAM).exists(), reason="needs root and strace, to let calls fail"
)


STOPS = pytest.param(
    ["stop"], 0, "stopping", marks=pytest.mark.skipif(SANITIZED, reason="LeakSanitizer does not work under strace")
)


@traced
@pytest.mark.parametrize("words, code, said", [(["reload"], 1, "frobnicate"), STOPS])
def test_an_answer_of_the_master_that_finds_no_memory_comes_a_moment_later(mired, tmp_path, words, code, said):
    """mirectl would wait 40 s, and then say that mired hangs."""
    m = mired()
    m.file.write_text(m.file.read_text() + "frobnicate = 3\n")
    failing = Failing(m.pid, "sendmsg", "ENOBUFS", tmp_path, when="1..3")
    done = m.control(*words)
    if words == ["stop"]:
        m.daemon.process.wait()
    assert failing.end() == 3
    assert done.returncode == code and said in done.stdout + done.stderr, done.stdout + done.stderr
