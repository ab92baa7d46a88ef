"""What monitors, balancers' checks and certificate checkers do is no offence (docs/monitors.md): each real program
has one conversation, and the ledger has no offence afterwards. So once a minute for a day leads to no debt either;
tests/unit/worker/test_monitors.py lets the day pass in virtual time."""

import json
import os
import pathlib
import shlex
import shutil
import socket
import struct
import subprocess
import time
import urllib.request

import pytest

from lib import ports
from lib.certificates import Authority
from lib.haproxy import PROGRAM as HAPROXY
from lib.service import Service
from lib.smtp import Client
from lib.waiting import PATIENCE

PLUGINS = pathlib.Path("/usr/lib/nagios/plugins")


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def watched(mired, authority):
    """watched(tarpit=...): a mired with all kinds of listeners: .port, .submission, .implicit, .proxied."""

    def start(tarpit="", **options):
        certificate, key = authority.issue("mx.example.test", days=60)
        implicit, proxied = ports.free(), ports.free()
        config = (
            f'tls {{ certificate = "{certificate}" key = "{key}" }}\n'
            f'listen "127.0.0.1:{implicit}" {{ tls = "implicit" }}\n'
            f'listen "127.0.0.1:{proxied}" {{ proxy_protocol = {{ "127.0.0.0/8" }} }}\n'
        )
        m = mired(tarpit=tarpit, config=config, **options)
        m.implicit, m.proxied, m.authority = implicit, proxied, authority
        return m

    return start


def offenders(m):
    """The addresses that the ledger has offences of."""
    m.booked()
    entries = [json.loads(line) for line in m.control("ledger", "dump").stdout.splitlines()]
    return {e["address"]: e["offences"] for e in entries if e.get("offences")}


def run(command, timeout=PATIENCE, **options):
    done = subprocess.run(
        command, shell=isinstance(command, str), capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def need(program):
    if not shutil.which(str(program)):
        pytest.skip(f"{program} is not installed")
    return str(program)


# ---- Nagios, Icinga (monitoring-plugins, monitoring-plugins-contrib) ----

NAGIOS = {
    "check_smtp": "check_smtp -H 127.0.0.1 -p {port}",
    "check_smtp, a name": "check_smtp -H 127.0.0.1 -p {port} -F monitor -e 220",
    "check_smtp, MAIL": "check_smtp -H 127.0.0.1 -p {port} -f nagios@elsewhere.test",
    "check_smtp, STARTTLS": "check_smtp -H 127.0.0.1 -p {port} -S",
    "check_smtp, certificate": "check_smtp -H 127.0.0.1 -p {port} -S -D 14",
    "check_smtp, commands": "check_smtp -H 127.0.0.1 -p {port} -C NOOP -R 250",
    "check_tcp": "check_tcp -H 127.0.0.1 -p {port}",
    "check_tcp, greeting": "check_tcp -H 127.0.0.1 -p {port} -e 220 -q QUIT",
    "check_tcp, EHLO at once": r"check_tcp -H 127.0.0.1 -p {port} -E -s 'EHLO x\r\n' -e 220 -q 'QUIT\r\n'",
    "check_tcp, EHLO without an end": "check_tcp -H 127.0.0.1 -p {port} -s 'EHLO x' -e 220",
    "check_tcp, TLS port": "check_tcp -H 127.0.0.1 -p {implicit}",
    "check_tcp, over TLS": "check_tcp -H 127.0.0.1 -p {implicit} -S -e 220 -q QUIT",
    "check_tcp, certificate": "check_tcp -H 127.0.0.1 -p {implicit} -S -D 14",
    "check_ssmtp": "check_ssmtp -H 127.0.0.1 -p {implicit}",
    "check_ssl_cert": "check_ssl_cert -H 127.0.0.1 -p {port} -P smtp -s --ignore-host-cn",
    "check_ssl_cert, TLS port": "check_ssl_cert -H 127.0.0.1 -p {implicit} -s --ignore-host-cn",
}


@pytest.mark.parametrize("check", NAGIOS)
def test_nagios(watched, check):
    words = shlex.split(NAGIOS[check])
    need(PLUGINS / words[0])
    m = watched()
    command = [str(PLUGINS / words[0])] + [w.format(port=m.port, implicit=m.implicit) for w in words[1:]]
    status, said = run(command)
    if not check.startswith("check_ssl_cert"):  # its opinion on a test CA is its own
        assert status == 0, said
    assert offenders(m) == {}, said


# ---- Zabbix ----


@pytest.mark.parametrize("item", ["net.tcp.service[smtp,127.0.0.1,{port}]", "net.tcp.service.perf[smtp,127.0.0.1,{port}]",
                                  "net.tcp.port[127.0.0.1,{port}]", "net.tcp.port[127.0.0.1,{implicit}]"])  # fmt: skip
def test_zabbix(watched, item, tmp_path):
    agent = need("/usr/sbin/zabbix_agentd")
    m = watched()
    conf = tmp_path / "agent.conf"
    conf.write_text("Server=127.0.0.1\nHostname=test\nAllowRoot=1\n")
    _, said = run([agent, "-c", str(conf), "-t", item.format(port=m.port, implicit=m.implicit)])
    value = float(said.rsplit("|", 1)[1].rstrip(" ]\n"))
    assert value > 0, said
    assert offenders(m) == {}, said


# ---- Prometheus' blackbox_exporter ----

BLACKBOX = """
modules:
  tcp_connect: {prober: tcp, timeout: 60s}
  tls_connect: {prober: tcp, timeout: 60s, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}
  smtp_banner: &banner
    prober: tcp
    timeout: 60s
    tcp:
      query_response:
        - expect: "^220 .* ESMTP"
  smtp_banner_soon: {<<: *banner, timeout: 10s}
  smtp_starttls:
    prober: tcp
    timeout: 60s
    tcp:
      tls_config: {insecure_skip_verify: true}
      query_response:
        - expect: "^220 ([^ ]+) ESMTP (.+)$"
        - send: "EHLO prober\\r"
        - expect: "^250-STARTTLS"
        - send: "STARTTLS\\r"
        - expect: "^220"
        - starttls: true
        - send: "EHLO prober\\r"
        - expect: "^250-AUTH"
        - send: "QUIT\\r"
"""


class Blackbox(Service):
    def __init__(self):
        super().__init__("Blackbox", "/usr/bin/prometheus-blackbox-exporter")
        self.port = ports.free()
        self.file = self.folder / "blackbox.yml"
        self.file.write_text(BLACKBOX)

    def start(self):
        program = "/usr/bin/prometheus-blackbox-exporter"
        return self.run([program, f"--config.file={self.file}", f"--web.listen-address=127.0.0.1:{self.port}"],
                        self.port, greets=False)  # fmt: skip

    def probe(self, module, port):
        url = f"http://127.0.0.1:{self.port}/probe?module={module}&target=127.0.0.1:{port}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return "probe_success 1" in answer.read().decode()


@pytest.fixture
def blackbox():
    b = Blackbox()
    yield b.start()
    b.stop()
    b.remove()


def test_blackbox_exporter(watched, blackbox):
    m = watched()
    for module, port in (("tcp_connect", m.port), ("tcp_connect", m.implicit), ("tls_connect", m.implicit),
                         ("smtp_banner", m.port), ("smtp_starttls", m.port), ("smtp_starttls", m.submission)):  # fmt: skip
        # (an exporter that wants AUTH offered under TLS finds it on both listeners)
        assert blackbox.probe(module, port), module
        assert offenders(m) == {}, module
    blackbox.probe("smtp_banner_soon", m.implicit)  # waits for a greeting that the TLS port does not say
    assert offenders(m) == {}


# ---- HAProxy ----

HAPROXY_CONF = """
global
    stats socket {folder}/stats mode 600 level admin
defaults
    mode tcp
    timeout connect {patience}
    timeout client 60s
    timeout server 60s
    timeout check {patience}
    default-server inter 100ms fastinter 100ms downinter 100ms rise 2 fall 3
{backends}
"""

CHECKS = {  # a backend's options, its server's options, the listener
    "tcp": ("", "check", "port"),
    "tcp_tls_port": ("", "check", "implicit"),
    "helo": ("option smtpchk", "check", "port"),
    "ehlo": ("option smtpchk EHLO balancer.example.test", "check", "port"),
    "starttls_port_over_tls": ("option smtpchk", "check check-ssl verify none", "implicit"),
    "handshake_only": ("", "check check-ssl verify none", "implicit"),
    "send_proxy": ("option smtpchk", "check send-proxy", "proxied"),
    "send_proxy_v2": ("option smtpchk", "check send-proxy-v2 check-send-proxy", "proxied"),
    "send_proxy_and_leave": ("", "check send-proxy-v2 check-send-proxy", "proxied"),
}


class Checker(Service):
    """HAProxy that checks; `m` is the mired. Several backends of one each."""

    def __init__(self, m, checks, patience="2s"):
        super().__init__("HAProxy", HAPROXY)
        backends = "".join(
            f"backend {name}\n    {options}\n    server mired 127.0.0.1:{getattr(m, listener)} {how}\n"
            for name, (options, how, listener) in checks.items()
        )
        self.file = self.folder / "haproxy.cfg"
        self.file.write_text(HAPROXY_CONF.format(folder=self.folder, backends=backends, patience=patience))

    def start(self):
        return self.run([HAPROXY, "-db", "-f", self.file])

    def servers(self):
        """{backend: (its status, how many checks have failed, the last check's result)}"""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(f"{self.folder}/stats")
            s.sendall(b"show stat\n")
            text = b""
            while more := s.recv(65536):
                text += more
        head, *lines = text.decode().lstrip("# ").splitlines()
        names = head.split(",")
        rows = [dict(zip(names, line.split(","))) for line in lines if line]
        return {r["pxname"]: (r["status"], int(r["chkfail"]), r["check_status"])
                for r in rows if r["svname"] == "mired"}  # fmt: skip

    def wait_for(self, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if os.path.exists(f"{self.folder}/stats"):
                servers = self.servers()
                if servers and what(servers):
                    return servers
            time.sleep(0.05)
        raise AssertionError(f"{self.servers()}\n{self.daemon.output.text}")


@pytest.fixture
def checker():
    made = []

    def start(*arguments, **options):
        made.append(Checker(*arguments, **options))
        return made[-1].start()

    yield start
    for c in made:
        c.stop()
        c.remove()


def test_haproxy(watched, checker):
    """Each kind of check some dozen times."""
    m = watched()
    since = m.log.mark()
    haproxy = checker(m, CHECKS, patience="60s")  # a busy machine is not what is checked
    servers = haproxy.wait_for(lambda s: all(check.startswith("L") for _, _, check in s.values()))
    time.sleep(2)  # some twenty checks each: nothing else tells how many there were
    servers = haproxy.servers()
    assert {name: status for name, (status, _, _) in servers.items()} == {name: "UP" for name in CHECKS}, servers
    assert all(failed == 0 for _, failed, _ in servers.values()), servers
    assert offenders(m) == {}
    assert not [line for line in m.log.lines[since:] if "proxy_header" in line]


def test_haproxy_finds_a_server_that_pauses_its_greeting(watched, checker):
    """R22, R12: a check that gives up after 10 s is answered within 8 s the next time, and after that at once.
    The server stays up."""
    m = watched(tarpit="greet = 30s")
    haproxy = checker(m, {"helo": CHECKS["helo"]}, patience="10s")
    haproxy.wait_for(lambda s: s["helo"][1] >= 1)
    haproxy.wait_for(lambda s: s["helo"][0] == "UP" and s["helo"][2] == "L7OK")
    failed = haproxy.servers()["helo"][1]
    time.sleep(2)
    status, more, check = haproxy.servers()["helo"]
    assert (status, check.removeprefix("* ")) == ("UP", "L7OK") and more == failed <= 2  # "* ": while it checks
    assert offenders(m) == {}


# ---- probes of Docker and Kubernetes, and what people type ----

SHELL = {
    "nc -z": "nc -z 127.0.0.1 {port}",
    "nc -z, TLS port": "nc -z 127.0.0.1 {implicit}",
    "nc, nothing": "nc -w 1 127.0.0.1 {port} </dev/null",
    "nc, QUIT": "echo QUIT | nc -q 1 127.0.0.1 {port}",
    "nc, QUIT and end": "echo QUIT | nc -N 127.0.0.1 {port}",
    "nc, EHLO and QUIT": r"printf 'EHLO localhost\nQUIT\n' | nc -q 1 127.0.0.1 {port}",
    "nc, HELO and QUIT in CRLF": r"printf 'HELO x\r\nQUIT\r\n' | nc -q 1 127.0.0.1 {port}",
    "nc, slowly": r"(sleep 1; printf 'EHLO x\r\n'; sleep 1; printf 'QUIT\r\n') | nc -q 1 127.0.0.1 {port}",
    "nc, EHLO without a name": r"printf 'EHLO\r\nQUIT\r\n' | nc -q 1 127.0.0.1 {port}",
    "nc, an empty line": "echo | nc -q 1 127.0.0.1 {port}",
    "ncat": "echo QUIT | ncat 127.0.0.1 {port}",
    "ncat, TLS": "echo QUIT | ncat --ssl 127.0.0.1 {implicit}",
    "bash": "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; read -t 5 line <&3; echo QUIT >&3; cat <&3'",
    "swaks, EHLO": "swaks --server 127.0.0.1:{port} --quit-after EHLO",
    "swaks, TLS": "swaks --server 127.0.0.1:{port} --tls --quit-after EHLO",
    "swaks, MAIL": "swaks --server 127.0.0.1:{port} --from probe@elsewhere.test --to alice@example.test --quit-after MAIL",
    "swaks, RCPT": "swaks --server 127.0.0.1:{port} --from probe@elsewhere.test --to alice@example.test --quit-after RCPT",
    "curl": "curl -sv smtp://127.0.0.1:{port}/probe -X NOOP",
    "curl, HELP": "curl -sv smtp://127.0.0.1:{port}/probe",
    "curl, TLS": "curl -svk --ssl-reqd smtp://127.0.0.1:{port}/probe -X NOOP",
    "telnet port, a browser": "curl -s --http0.9 telnet://127.0.0.1:{port} -m 1 </dev/null",
    "Python": "python3 -c 'import smtplib; s = smtplib.SMTP(\"127.0.0.1\", {port}); s.noop(); s.quit()'",
    "Perl": "perl -MNet::SMTP -e 'Net::SMTP->new(\"127.0.0.1\", Port => {port})->quit'",
    "s_client": "openssl s_client -connect 127.0.0.1:{port} -starttls smtp </dev/null",
    "s_client, a line": "echo | openssl s_client -connect 127.0.0.1:{port} -starttls smtp",
    "s_client, QUIT": "(sleep 1; echo QUIT; sleep 1) | openssl s_client -quiet -connect 127.0.0.1:{port} -starttls smtp",
    "s_client, TLS port": "echo | openssl s_client -connect 127.0.0.1:{implicit}",
    "s_client, TLS 1.0": "echo | openssl s_client -tls1 -cipher DEFAULT@SECLEVEL=0 -connect 127.0.0.1:{port} -starttls smtp",
    "s_client, no common cipher": "echo | openssl s_client -tls1_2 -cipher AES128-SHA -connect 127.0.0.1:{implicit}",
    "s_client, does not trust us": "echo | openssl s_client -verify_return_error -connect 127.0.0.1:{port} -starttls smtp",
    "s_client, without STARTTLS": "echo | timeout 5 openssl s_client -connect 127.0.0.1:{port}",
    "s_client, the other port": "echo | timeout 5 openssl s_client -connect 127.0.0.1:{implicit} -starttls smtp",
    "nmap": "nmap -Pn -p {port} 127.0.0.1",
    "nmap, connect": "nmap -Pn -sT -p {implicit} 127.0.0.1",
}


@pytest.mark.parametrize("check", SHELL)
def test_probes_from_a_shell(watched, check):
    command = SHELL[check]
    for program in ("nc", "ncat", "swaks", "curl", "openssl", "nmap", "perl"):
        if program in command.split():
            need(program)
    m = watched()
    _, said = run(command.format(port=m.port, implicit=m.implicit))
    assert offenders(m) == {}, said


@pytest.mark.soak
def test_testssl_asks_for_protocols_and_ciphers(watched):
    """As a certificate checker does: a hundred handshakes that stop with our answer."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        pytest.skip("testssl.sh is not installed")
    m = watched()
    for port, how in ((m.port, ["-t", "smtp"]), (m.implicit, [])):
        run([program, "--quiet", "--warnings", "off", "--protocols", "--server-defaults", "--std", *how,
             f"127.0.0.1:{port}"], timeout=400)  # fmt: skip
        assert offenders(m) == {}


# ---- balancers of clouds: their octets ----


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def local(more=b""):
    """PROXY v2, LOCAL, with what cloud balancers put behind it."""
    return b"\r\n\r\n\0\r\nQUIT\n\x20\0" + struct.pack(">H", len(more)) + more


def test_balancers_of_clouds(watched):
    m = watched()
    tlvs = b"\xea\x00\x16\x01vpce-08d2bf15fac5001c9" + b"\x04\x00\x37" + b"\0" * 55
    ways = {
        "connect and FIN": b"", "LOCAL": local(), "LOCAL, TLVs": local(tlvs), "LOCAL, QUIT": local(tlvs) + b"QUIT\r\n",
        "UNKNOWN": b"PROXY UNKNOWN\r\n", "part of a header": b"PROXY TC",
    }  # fmt: skip
    for name, octets in ways.items():
        for port in (m.port, m.implicit, m.proxied):
            for end in (socket.socket.close, reset):
                if octets and port != m.proxied:
                    continue
                s = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                s.sendall(octets)
                end(s)
        assert offenders(m) == {}, name
    with socket.create_connection(("127.0.0.1", m.proxied), timeout=PATIENCE) as s:  # answered as any client
        s.sendall(local(tlvs))
        assert s.recv(100).startswith(b"220 ")
    with Client(m.port) as c:
        c.quit()
    assert offenders(m) == {}
