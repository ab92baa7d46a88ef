"""Senders that are too old or too strict for our TLS, and monitors: none of them is an offender (field notes 8)."""

import pathlib
import re
import socket
import ssl
import struct
import subprocess
import tempfile

import pytest

from lib import ports
from lib.certificates import Authority
from lib.smtp import Client
from lib.waiting import PATIENCE

NAME = "mx.example.test"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="mired-tls-") as path:
        pathlib.Path(path).chmod(0o755)
        yield pathlib.Path(path)


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def ecdsa(authority):
    return authority.issue(NAME, stem="ecdsa")


@pytest.fixture(scope="module")
def rsa(authority):
    return authority.issue(NAME, kind="rsa", stem="rsa")


def tls(*issued, more=""):
    certificates = ", ".join(f'"{c}"' for c, _ in issued)
    keys = ", ".join(f'"{k}"' for _, k in issued)
    return f"tls {{ certificate = {{ {certificates} }} key = {{ {keys} }} {more} }}\n"


def s_client(port, source, *arguments):
    """OpenSSL's own client over STARTTLS: says QUIT when it gets so far."""
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{port}", "-bind", source, *arguments],
        input=b"QUIT\r\n", capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def offences(m, source):
    """As its sessions' lines in the log have it: the most."""
    line = rf"event=session (?:level=debug )?client={re.escape(source)} .*?offences=(\d+)"
    m.log.wait(line)
    return max(map(int, re.findall(line, m.log.text)))


@pytest.fixture
def m(mired, ecdsa):
    return mired(tarpit="time = 3s growth = 1", config='log_level = "debug"\n' + tls(ecdsa))  # sessions of monitors, too


OLD = ["-cipher", "DEFAULT@SECLEVEL=0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-tls1_1", *OLD],
        ["-tls1", *OLD],
        ["-tls1_2", "-cipher", "AES128-SHA"],  # no forward secrecy
        ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],  # RSA only
        ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
        ["-tls1_2", "-sigalgs", "RSA+SHA256"],
        ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"],
        ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
        ["-verify_return_error", "-attime", "4102444800"],  # thinks that it has expired
        ["-verify_return_error"],  # does not know the authority
    ],
    ids=lambda a: " ".join(a).replace("/", ""),
)
def test_a_handshake_that_fails_by_version_cipher_or_certificate_is_no_offence(m, arguments):
    source = ports.stranger()
    for _ in range(6):  # each message tries again
        said = s_client(m.port, source, *arguments)
        assert "Cipher is (NONE)" in said or "verify error" in said, said
    assert offences(m, source) == 0
    mark = m.log.mark()
    with Client(m.port, source=source) as c:  # and goes in clear text, at once
        c.ehlo()
        assert c.message("a@old.test", ["alice@example.test"]).code == 250
    assert m.held(source, since=mark) == 0


def starttls(port, source):
    c = Client(port, source=source)
    c.ehlo()
    c.must("STARTTLS", 220)
    return c


@pytest.mark.parametrize("how", ["goodbye", "hang up", "reset", "reset in the middle", "hang up in the middle", "expired"])
def test_a_monitor_that_looks_at_the_certificate_owes_nothing(m, authority, how):
    source = ports.stranger()
    context = ssl.create_default_context(cafile=authority.file)
    if how == "expired":  # it dislikes what it sees
        context = ssl.create_default_context()
    for _ in range(25):
        c = starttls(m.port, source)
        if "middle" in how:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            half = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
            with pytest.raises(ssl.SSLWantReadError):
                half.do_handshake()
            c.socket.sendall(outgoing.read())
            c.socket.recv(1)  # our part has come: it has seen the certificate
            over = c.socket
        elif how == "expired":
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(c.socket, server_hostname=NAME)
            continue
        else:
            over = context.wrap_socket(c.socket, server_hostname=NAME)
        if how.startswith("reset"):
            over.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "goodbye":
            over.unwrap()
        over.close()
    assert offences(m, source) == 0
    mark = m.log.mark()
    with Client(m.port, source=source) as c:
        c.quit()
    assert m.held(source, since=mark) == 0


@pytest.mark.parametrize("order", ["ecdsa first", "rsa first"])
@pytest.mark.parametrize("sni", [NAME, "other.test", None])
def test_two_certificates_for_one_name_are_both_used(mired, ecdsa, rsa, authority, order, sni):
    m = mired(tarpit="time = 0", config=tls(*([ecdsa, rsa] if order == "ecdsa first" else [rsa, ecdsa])))
    name = ["-noservername"] if sni is None else ["-servername", sni]
    for arguments, kind in (
        (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA"),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA"),
        (["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256:RSA+SHA256"], "RSA"),
        (["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ECDSA"),
        ([], "(RSA|ECDSA)"),
    ):
        said = s_client(m.port, ports.stranger(), *arguments, *name, "-CAfile", str(authority.file), "-verify_return_error")
        assert re.search(rf"Peer signature type: {kind}", said), said
        assert "Verification: OK" in said


def test_a_certificate_for_another_name_is_not_put_in_its_place(mired, authority, ecdsa):
    other = authority.issue("mail.other.test", kind="rsa", stem="other")
    m = mired(tarpit="time = 0", config=tls(ecdsa, other))
    said = s_client(m.port, ports.stranger(), "-servername", NAME, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
    assert "mail.other.test" not in said
    said = s_client(m.port, ports.stranger(), "-servername", "mail.other.test", "-verify_hostname", "mail.other.test",
                    "-CAfile", str(authority.file))  # fmt: skip
    assert "Verification: OK" in said
