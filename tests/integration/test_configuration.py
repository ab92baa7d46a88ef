"""Bad configuration is named with file and line, all of it at once, and mired does not start."""

import os
import subprocess

import pytest

from lib.mired import PROGRAM
from lib.waiting import PATIENCE

GOOD = """
hostname = "mx.example.test"
domains = { "example.test" }
state = "@FOLDER@/state"
run = "@FOLDER@/run"
user = "@USER@"
listen "127.0.0.1:2525" { }
recipients "file" { path = "@FOLDER@/recipients" }
backend "maildir" { }
"""


@pytest.fixture
def check(tmp_path):
    """check(text) runs `mired -t`; returns its exit status and what it said, both ways."""
    (tmp_path / "recipients").write_text("alice@example.test\n")
    (tmp_path / "passwd").write_text("")
    for name in ("state", "run"):
        (tmp_path / name).mkdir()

    def run(text, *options):
        import getpass

        file = tmp_path / "mired.conf"
        file.write_text(text.replace("@FOLDER@", str(tmp_path)).replace("@USER@", getpass.getuser()))
        done = subprocess.run(
            [PROGRAM, "-c", file, *options], capture_output=True, text=True, timeout=PATIENCE
        )
        return done.returncode, done.stdout + done.stderr

    run.folder = tmp_path
    return run


@pytest.mark.fast
def test_a_good_configuration_is_ok(check):
    status, said = check(GOOD, "-t")
    assert status == 0 and "configuration OK" in said


def test_a_missing_file_is_named(check):
    done = subprocess.run(
        [PROGRAM, "-c", "/nonexistent/mired.conf", "-t"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "/nonexistent/mired.conf" in done.stderr + done.stdout


# What is wrong -> (lines that stand in for the good one, words that the error must have besides FILE:LINE)
BAD = {
    "an unknown key": ("frobnicate = 3", ["frobnicate"]),
    "a syntax error": ("domains = {", []),
    "a bad network": ('exempt = { "10.0.0.0/33" }', ["10.0.0.0/33"]),
    "host bits in a network": ('exempt = { "10.0.0.1/8" }', ["10.0.0.1/8"]),
    "a bad duration": ("timeout = 5parsecs", ["5parsecs"]),
    "a bad size": ("size_max = 50Q", ["50Q"]),
    "a bad address": ('listen "256.0.0.1:25" { }', ["256.0.0.1:25"]),
    "a bad number": ("tarpit { growth = -1 }", ["growth"]),
    "a listener twice": (
        'listen "127.0.0.1:2526" { }\nlisten "127.0.0.1:2526" { }', ["127.0.0.1:2526"]
    ),
    "a listener that another one has already": (
        'listen "0.0.0.0:2526" { }\nlisten "127.0.0.1:2526" { }', ["0.0.0.0 has all addresses"]
    ),
    "a listener that has another one's": ('listen "[::1]:2526" { }\nlisten "[::]:2526" { }', ["all addresses"]),
    "a backend that is mired itself": ('backend "smtp://127.0.0.1:2525" { }', ["come back to mired"]),
    "a missing recipients file": ('recipients "file" { path = "/nonexistent/r" }', ["/nonexistent/r"]),
    "a missing password file": ('auth "file" { path = "/nonexistent/p" }', ["/nonexistent/p"]),
    "an unknown backend": ('backend "carrier-pigeon" { }', ["carrier-pigeon"]),
    "an unknown log format": ('log = "xml"', ["xml"]),
    "TLS without a certificate": ('listen "127.0.0.1:2526" { tls = implicit }', ["certificate"]),
    "a missing certificate": ('tls { certificate = "/nonexistent/c" }', ["/nonexistent/c"]),
    "two keys for one certificate": (
        'tls { certificate = "@FOLDER@/passwd" key = { "@FOLDER@/passwd", "@FOLDER@/passwd" } }', ["key"]
    ),
    "a name that is none": ('exempt = { "mail example.org" }', ["mail example.org"]),
    "an address that is none": ('exempt = { "10.0.0.256" }', ["10.0.0.256"]),
    "a zone that is none": ('dnsbl "zen" { }', ['dnsbl "zen"']),
    "a pattern of replies": ('dnswl "wl.test" { reply = "127.0.0.[9..2]" }', ["127.0.0.[9..2]"]),
    "a weight": ('dnsbl "bl.test" { weight = heavy }', ["weight", "heavy"]),
    "a list twice": ('dnsbl "bl.test" { }\ndnsbl "bl.test" { }', ["bl.test"]),
    "a resolver": ('resolver = { "127.0.0.1", "ns.example.org" }', ["ns.example.org"]),
    "a maximum below the time": ("tarpit { time = 60s max = 30s }", ["max"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_file_and_line(check, name):
    added, words = BAD[name]
    kept = [line for line in GOOD.splitlines() if line.split()[:1] != added.split()[:1]]
    text = "\n".join([*kept, added]) + "\n"
    for options in (["-t"], []):
        status, said = check(text, *options)
        assert status == 1, said
        assert f"{check.folder}/mired.conf:" in said
        for word in words:
            assert word in said


def test_the_line_that_is_named_is_the_right_one(check):
    status, said = check('size_max = 50Q\n' + GOOD, "-t")
    assert status == 1 and "mired.conf:1:" in said


def test_all_wrong_values_are_listed_at_once(check):
    text = GOOD + 'timeout = 5parsecs\nsize_max = 50Q\nexempt = { "10.0.0.0/33" }\n'
    status, said = check(text, "-t")
    assert status == 1
    for word in ("5parsecs", "50Q", "10.0.0.0/33"):
        assert word in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read anything")
def test_an_unreadable_password_file_is_named(check):
    secret = check.folder / "passwd"
    secret.chmod(0)
    status, said = check(GOOD + 'auth "file" { path = "@FOLDER@/passwd" }\n', "-t")
    assert status == 1 and str(secret) in said


def test_the_version_is_told():
    done = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True)
    assert done.returncode == 0 and "0." in done.stdout


def test_an_unknown_option_is_refused():
    done = subprocess.run([PROGRAM, "--frobnicate"], capture_output=True, text=True)
    assert done.returncode not in (0, -6, -11)
