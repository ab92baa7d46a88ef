"""Processors for free: whatever a client leaves unread or unsaid, nobody is called for it again and again.

field notes 28. Each case leaves a connection in a state in which something is there that the phase does not take; the
worker counts the events that moved nothing (mired_loop_idle_total), and the kernel what time they took.
"""

import contextlib
import itertools
import os
import resource
import socket
import ssl
import struct
import subprocess
import time

import pytest

from lib import ports, processes, scrape
from lib.certificates import Authority
from lib.mired import UNDER
from lib.smtp import Client
from lib.waiting import PATIENCE

NAME = "mx.example.test"
USER = "alice@example.test"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x40"


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("idle")).issue(NAME)


@pytest.fixture
def m(mired, issued):
    web, behind, implicit = ports.free(), ports.free(), ports.free()
    started = mired(
        workers=1,
        tarpit="time = 20s",
        config=f"""tls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}
            listen "127.0.0.1:{behind}" {{ proxy_protocol = {{ "127.0.0.1" }} }}
            listen "127.0.0.1:{implicit}" {{ submission = true tls = implicit }}
            web {{ listen = "127.0.0.1:{web}" }}""",
    )
    started.web, started.behind, started.implicit = web, behind, implicit
    return started


def fill(s, octets):
    """Sends until nothing more is taken: the other side's answers have filled everything, too."""
    s.settimeout(0.3)
    with contextlib.suppress(socket.timeout):
        while True:
            s.sendall(octets)


def narrow(port, source=None):
    """A connection with little room for what is answered."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.bind((source or ports.stranger(), 0))
    s.connect(("127.0.0.1", port))
    return s


def unread(port):
    """A session whose replies are not read, and which is stuck for that."""
    s = narrow(port)
    s.recv(200)
    s.sendall(b"EHLO x\r\n")
    fill(s, MAILS)
    return s


# 13 KB of replies: less than a session may have pending. The message allows a client as many again.
RCPT = b"RCPT TO:<%s>\r\n" % USER.encode()
MAILS = b"MAIL FROM:<a@b.test>\r\n%sRSET\r\nMAIL FROM:<a@b.test>\r\n%sDATA\r\nx: y\r\n.\r\n" % (RCPT * 900, RCPT)


def unread_by(port, s):
    """Octets that the server's end of the connection has not read."""
    ends = ["-tnH", "sport", "=", f":{port}", "and", "dport", "=", f":{s.getsockname()[1]}"]
    return int(subprocess.check_output(["ss", *ends], text=True).split()[1])


def takes(port, s, octets, timeout=0.3):
    """Sends them; whether the server has read them all soon."""
    s.sendall(octets)
    end = time.monotonic() + timeout
    while unread_by(port, s):
        if time.monotonic() > end:
            return False
    return True


def greeted(port):
    s = narrow(port)
    s.recv(200)
    s.sendall(b"EHLO x\r\n")
    return s


def case_starttls_behind_unread_replies(m):
    """STARTTLS is the last that is read, and its 220 the first that does not go out."""
    probe, groups = greeted(m.port), 0
    while takes(m.port, probe, MAILS):
        groups += 1
    probe.close()
    m.others = []
    for n in range(max(groups - 4, 0), groups + 1):  # one of them meets the very place
        s = greeted(m.port)
        m.others.append(s)
        if all(takes(m.port, s, MAILS) for _ in range(n)) and takes(m.port, s, MAILS + b"STARTTLS\r\n"):
            s.sendall(b"\x16\x03\x01\x00\x05")
    return s


def case_starttls_and_half_a_hello(m):
    s = socket.create_connection(("127.0.0.1", m.port), source_address=(ports.stranger(), 0))
    s.recv(200)
    for command in (b"EHLO x\r\n", b"STARTTLS\r\n"):
        s.sendall(command)
        s.recv(2000)
    s.sendall(b"\x16\x03\x01\x02\x00\x01")
    return s


def case_half_a_hello_and_an_end(m):
    s = case_starttls_and_half_a_hello(m)
    s.shutdown(socket.SHUT_WR)
    return s


def case_implicit_tls_and_nothing(m):
    return socket.create_connection(("127.0.0.1", m.implicit), source_address=(ports.stranger(), 0))


def case_a_handshake_whose_answer_is_not_read(m):
    s = narrow(m.implicit)
    hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    o = context.wrap_bio(hello, out)
    with contextlib.suppress(ssl.SSLWantReadError):
        o.do_handshake()
    s.sendall(out.read())
    s.sendall(b"\x16\x03\x03\x00\x05")
    return s


def proxied(m, octets, end=True):
    s = socket.create_connection(("127.0.0.1", m.behind), source_address=("127.0.0.1", 0))
    s.sendall(octets)
    if end:
        s.shutdown(socket.SHUT_WR)
    return s


def case_a_part_of_a_proxy_header_and_an_end(m):
    return proxied(m, b"PROXY TCP4 192.0.2.7")


def case_a_part_of_a_signature_and_an_end(m):
    return proxied(m, V2[:7])


def case_a_version_2_header_without_its_rest_and_an_end(m):
    return proxied(m, V2 + b"abc")


def case_a_part_of_a_proxy_header_and_no_more(m):
    return proxied(m, b"PROXY TCP4 192.0.2.7", end=False)


def case_commands_behind_unread_replies(m):
    return unread(m.port)


def case_commands_behind_unread_replies_and_an_end(m):
    s = unread(m.port)
    s.shutdown(socket.SHUT_WR)
    return s


def case_commands_behind_a_held_reply(m):
    s = socket.create_connection(("127.0.0.1", m.port), source_address=(ports.stranger(), 0))
    s.recv(200)
    s.sendall(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\n")
    s.recv(2000)
    fill(s, b"NOOP\r\n" * 1000)
    return s


def case_quit_behind_unread_replies(m):
    s = unread(m.port)
    with contextlib.suppress(socket.timeout):
        s.sendall(b"\r\nQUIT\r\nNOOP\r\n")
    return s


def case_data_without_an_end(m):
    s = socket.create_connection(("127.0.0.1", m.port), source_address=(ports.stranger(), 0))
    s.sendall(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % USER.encode())
    s.settimeout(PATIENCE)
    while b"354" not in s.recv(2000):
        pass
    s.sendall(b"Subject: x\r\n\r\n.")
    return s


CASES = [value for name, value in sorted(globals().items()) if name.startswith("case_")]


def used_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(m, seconds=1.0):
    """(events that moved nothing, processor seconds) of the worker while that time passes."""
    (worker,) = m.processes("worker")
    before, used = scrape.samples(m.web)["mired_loop_idle_total"], used_seconds(worker)
    time.sleep(seconds)
    return scrape.samples(m.web)["mired_loop_idle_total"] - before, used_seconds(worker) - used


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__[5:])
def test_a_connection_that_waits_costs_nothing(m, case):
    s = case(m)
    try:
        idle, used = spent(m)
        assert idle < 50, f"{idle} events moved nothing"
        # A loop that turns would use all of the second; under valgrind the look at it uses most.
        assert UNDER or used < 0.8, f"{used} s of processor"
        with Client(m.port) as other:
            assert other.say("NOOP").code == 250
    finally:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    assert "busy loop" not in m.log.text


def test_who_waits_for_a_descriptor_costs_nothing_and_is_served_when_there_is_one(m):
    (worker,) = m.processes("worker")
    taken = {int(n) for n in os.listdir(f"/proc/{worker}/fd")}
    open_files = next(n for n in itertools.count() if n not in taken)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_files, before[1]))
    waiting = [Client(m.port, greet=False) for _ in range(3)]
    idle, used = spent(m)
    assert idle < 50 and (UNDER or used < 0.8)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    for client in waiting:
        assert client.reply().code == 220
        client.close()
    assert processes.command(worker).startswith("mired: worker")
