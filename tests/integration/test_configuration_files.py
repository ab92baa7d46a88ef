"""Field notes 17: `mired -t` says what would not work: the user, certificates, and each line of each file."""

import getpass
import os
import re
import subprocess

import pytest

from lib.mired import PROGRAM
from lib.smtp import deliver
from lib.waiting import PATIENCE

CONFIG = """
hostname = "mx.example.test"
domains = { "example.test" }
user = "@USER@"
listen "127.0.0.1:2525" { }
backend "maildir" { }
recipients "file" { path = "@FOLDER@/recipients" }
"""


@pytest.fixture
def check(tmp_path):
    """check(more, files, *options) runs `mired -t`; returns its exit status and all that it said."""

    def run(more="", files=(), *options, user=getpass.getuser()):
        for name, octets in {"recipients": b"alice@example.test\n", **dict(files)}.items():
            (tmp_path / name).write_bytes(octets)
        file = tmp_path / "mired.conf"
        file.write_text((CONFIG + more).replace("@FOLDER@", str(tmp_path)).replace("@USER@", user))
        done = subprocess.run([PROGRAM, "-c", file, "-t", *options], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    run.folder = tmp_path
    return run


def test_all_that_is_right_is_ok(check):
    files = {"passwd": b"\xef\xbb\xbf# people\nalice:$6$mired$x\nbob:!\ncarol:*:locked\n", "suspects": b"\xef\xbb\xbf# \n192.0.2.0/24 # a\n2001:db8::/32\r\n", "traps": b"\xef\xbb\xbf# planted\r\nbait@example.test\r\n"}  # fmt: skip
    status, said = check('auth "file" { path = "@FOLDER@/passwd" }\nsuspect = "file:@FOLDER@/suspects"\ntarpit { traps = "file:@FOLDER@/traps" }\n', files)
    assert status == 0 and re.fullmatch(r"sandbox: .*\nconfiguration OK\n", said), said


PASSWD = 'auth "file" { path = "@FOLDER@/file" }\n'
SUSPECTS = 'suspect = "file:@FOLDER@/file"\n'
TRAPS = 'tarpit { traps = "file:@FOLDER@/file" }\n'
TOKEN = 'web { listen = "127.0.0.1:8025" token_file = "@FOLDER@/file" }\n'
LDAP = 'recipients "ldap" { url = "ldap://127.0.0.1" base = "o=a" filter = "(mail=%s)" bind_dn = "cn=a" password_file = "@FOLDER@/file" }\n'
LINES = [
    (PASSWD, b"alice:$6$a$b\nbob\n", 2, "NAME:HASH"),
    (PASSWD, b":$6$a$b\n", 1, "no name"),
    (PASSWD, b"alice:\n", 1, '"alice" has no hash'),
    (PASSWD, b"\n# x\nalice:wonderland\n", 3, '"alice" has no hash that crypt(3) supports'),
    (PASSWD, b"alice:{PLAIN}wonderland\n", 1, '"alice" has no hash that crypt(3) supports'),
    (PASSWD, b"alice:{SCRAM-SHA-256}4096,x\n", 1, "damaged"),
    (PASSWD, "alice:$6$a$b\n".encode("utf-16"), 0, "UTF-16"),
    (PASSWD, b"alice:$6$a$b\n\0\0\0\0", 0, "incomplete"),
    (SUSPECTS, b"192.0.2.0/24\nexample.org\n", 2, '"example.org" is not a network'),
    (SUSPECTS, b"192.0.2.7/24\n", 1, "expected 192.0.2.0/24"),
    (SUSPECTS, b"192.0.2.0/24 spammer\n", 1, "is not a network"),
    (SUSPECTS, b"\xef\xbb\xbf192.0.2.0/33\n", 1, "is not a network"),
    (TRAPS, b"bait@example.test\nnobody\n", 2, '"nobody" is not an address; expected an address with its domain'),
    (TRAPS, b"@example.test\n", 1, "is not an address"),
    (TRAPS, b"bait@example.test OK\n", 1, "the address alone"),
    (TRAPS, b"bait@example.test\nbait@", 2, "is not an address"),
    (TRAPS, "bait@example.test\n".encode("utf-16"), 0, "UTF-16"),
    (TRAPS, b"bait@example.test\n\0\0", 0, "incomplete"),
    (TOKEN, b"", 1, "first line is empty"),
    (TOKEN, b"\r\nsecret\r\n", 1, "first line is empty"),
    (LDAP, b"\nsecret\n", 1, "first line is empty"),
]


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_wrong_line_of_a_file_is_named(check, number):
    config, octets, line, words = LINES[number]
    status, said = check(config, {"file": octets})
    assert status == 1 and words in said, said
    assert f"{check.folder}/file:{line}: " in said if line else f"{check.folder}/file: " in said
    assert "wonderland" not in said, "a password is not told"
    status, said = check(config, {"file": octets}, "--quick")
    assert status == 0, said


def test_many_wrong_lines_are_counted(check):
    status, said = check(SUSPECTS, {"file": b"x\n" * 1000})
    assert status == 1 and said.count("is not a network") == 20 and "980 more lines are invalid" in said


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_plain_file_is_said_at_once(check, kind):
    path = check.folder / "thing"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    status, said = check(TOKEN.replace("/file", "/thing"))
    assert status == 1 and f"{path}: is not a regular file" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="root looks with another's eyes")
@pytest.mark.parametrize("config", [PASSWD, SUSPECTS, TRAPS, TOKEN, LDAP])
def test_a_file_that_the_user_cannot_read_is_named(check, config):
    check.folder.chmod(0o755)
    check.folder.parent.chmod(0o755)
    check.folder.parent.parent.chmod(0o755)
    (check.folder / "file").touch(0o600)
    status, said = check(config, {"file": b""}, user="nobody")
    assert status == 1 and f"{check.folder}/file: cannot be read by the user nobody: Permission denied" in said


def test_an_unknown_user_is_named(check):
    status, said = check(user="miredd")
    assert status == (1 if os.geteuid() == 0 else 0) and 'no user "miredd"' in said


def certificate(folder, *options, key=("-nodes",)):
    """A `tls` section. options: as `openssl ca` has them."""
    name = ["-subj", "/CN=mx.example.test", "-out", "request", "-keyout", "key"]
    for command in (
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *key, *name],
        ["ca", "-batch", "-selfsign", "-keyfile", "key", "-passin", "pass:word", "-in", "request", "-out", "certificate",
         "-md", "sha256", "-config", "ca.cnf", "-notext", *options],
    ):  # fmt: skip
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca = one\n[one]\ndatabase = index\nserial = serial\nnew_certs_dir = .\npolicy = any\ndefault_days = 90\n[any]\ncommonName = supplied\n"
        )
        (folder / "index").write_text("")
        (folder / "serial").write_text("01\n")
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=folder, timeout=PATIENCE)
    return f'tls {{ certificate = "{folder}/certificate" key = "{folder}/key" }}\n'


EXPIRED = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]


def test_the_dates_of_certificates_are_looked_at(check):
    status, said = check(certificate(check.folder, "-days", "90"))
    assert status == 0 and re.fullmatch(r"sandbox: .*\nconfiguration OK\n", said), said
    status, said = check(certificate(check.folder, "-days", "3"))
    assert status == 0 and "warning: " in said and "expires on" in said, said
    status, said = check(certificate(check.folder, "-startdate", "20900101000000Z", "-enddate", "20910101000000Z"))
    assert status == 1 and "is not valid before 2090-01-01" in said
    config = certificate(check.folder, *EXPIRED)
    status, said = check(config)
    assert status == 1 and f'certificate "{check.folder}/certificate" expired on ' in said
    status, said = check(config, (), "--quick")
    assert status == 0 and "expired on" in said, "it is no reason to refuse an upgrade"


def test_an_expired_certificate_serves_on_and_is_logged(mired, tmp_path):
    m = mired(config=certificate(tmp_path, *EXPIRED), tarpit="time = 0")
    m.log.wait("expired on")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_an_encrypted_key_is_named_and_nobody_is_asked(check):
    status, said = check(certificate(check.folder, key=("-passout", "pass:word")))
    assert status == 1 and f'key "{check.folder}/key" is encrypted' in said


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_given(option):
    done = subprocess.run([PROGRAM, option], capture_output=True, text=True)
    assert done.returncode == 0 and "--quick" in done.stdout and not done.stderr


def test_the_version_is_given():
    told = [subprocess.run([PROGRAM, o], capture_output=True, text=True) for o in ("-V", "--version")]
    assert told[0].returncode == told[1].returncode == 0 and told[0].stdout == told[1].stdout
