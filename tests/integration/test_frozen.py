"""Frozen holds on the real kernel, between two network namespaces of the test's own: no mock, no loopback."""

import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

from lib import netns, ports, processes
from lib.certificates import Authority
from lib.daemon import Daemon
from lib.frozen import FROZEN, ask, frozen_in, source, told, wait_frozen
from lib.mired import BUILD, SANITIZED
from lib.smtp import Client
from lib.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")


def crowd(frozen, cable, count, hold):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 500)), hard))
    m = frozen(time=hold)
    clients = [ask(m.port, n) for n in range(count)]
    asked = [c.begun for c in clients]
    wait_frozen(cable, 100)
    late = 0
    for client, begun in zip(clients, asked):
        told(client)
        late = max(late, time.monotonic() - begun - hold)
        client.close()
    assert late < 15, f"an answer was {late:.1f} s late"  # of which most is the time that it takes to read them all
    print(f"{count} held with at most 100 sockets, the latest answer {late:.2f} s late")
    return m


@pytest.mark.alone
def test_a_thousand_clients_wait_without_sockets(frozen, cable):
    crowd(frozen, cable, 1000, 20)


@pytest.mark.long
def test_what_one_client_has_frozen_takes_no_room_when_it_thaws(frozen, cable):
    """While they are frozen they count in no limit; when they come back, they are let in like new connections."""
    m = frozen(time=240, workers=1, config="connections_max = 60")
    clients = []
    for n in range(12):
        clients += [ask(m.port, origin=source(7)) for _ in range(10)]
        until(lambda: frozen_in(m) == len(clients))
    assert m.control("release", source(7)).returncode == 0
    for client in clients:
        told(client)  # each hears its verdict
    gone = sum(b"421" in client.buffer for client in clients)  # in one piece with its verdict
    still = json.loads(m.control("--json", "status").stdout)["open"]
    assert still <= 30 and gone == len(clients) - still, (still, gone)
    for n in range(5):
        with Client(m.port, host=netns.SERVER, source=source(1000 + n)) as stranger:
            stranger.ehlo()
            assert stranger.message("a@b.test", ["alice@example.test"]).code == 250


@pytest.mark.soak
def test_ten_thousand_clients_wait_with_fewer_than_a_hundred_sockets(frozen, cable):
    crowd(frozen, cable, 10_000, 60)


@pytest.mark.parametrize("host", [netns.SERVER, netns.SERVER6])
def test_the_conversation_goes_on_after_the_thaw(frozen, cable, host):
    m = frozen(host="::" if ":" in host else "0.0.0.0")
    client = ask(m.port, host=host)
    wait_frozen(cable, 4)
    assert told(client).seconds > 5.9
    client.must("RCPT TO:<alice@example.test>", 250)
    assert client.data(b"Subject: x\r\n\r\n" + b"still here\r\n" * 20000).code == 250
    assert client.quit().code == 221
    line = m.log.wait("event=session")
    session = re.search(r" id=(\w+) ", line).group(1)  # field notes 15: the same before, during and after
    assert f" id={session} " in m.log.wait("event=refused") and f" id={session}-" in m.log.wait("event=message")
    assert "messages=1" in line and float(re.search(r"open=([\d.]+)s", line).group(1)) >= 6


def test_what_is_sent_to_a_frozen_connection_is_read_after_the_thaw_and_in_order(frozen, cable):
    m = frozen()
    client = ask(m.port)
    wait_frozen(cable, 4)
    client.send("NOOP\r\nRCPT TO:<alice@example.test>\r\nRSET\r\n")
    told(client)
    assert [client.reply().code for _ in range(3)] == [250, 250, 250]
    assert client.quit().code == 221


def test_a_frozen_connection_cannot_even_be_hung_up(frozen, cable):
    """The FIN is answered when the connection is thawed; until then nothing comes back, no RST either."""
    m = frozen()
    client = ask(m.port)
    wait_frozen(cable, 4)
    client.socket.shutdown(socket.SHUT_WR)
    told(client)
    assert client.is_closed()
    m.log.wait("event=session")


def test_keep_alives_of_a_frozen_connection_are_not_answered_by_a_reset(frozen, cable):
    m = frozen(time=7)
    client = ask(m.port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9)
    wait_frozen(cable, 4)
    told(client)


def test_who_comes_back_from_the_same_port_is_served(frozen, cable):
    m = frozen(time=6)
    first = ask(m.port)
    where = first.socket.getsockname()
    wait_frozen(cable, 4)
    first.will_reset()
    first.close()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.settimeout(PATIENCE)
        again.bind(where)
        again.connect((netns.SERVER, m.port))
        assert again.recv(100).startswith(b"220")
        time.sleep(6)  # the frozen one's time comes and goes
        again.sendall(b"QUIT\r\n")
        assert again.recv(100).startswith(b"221")


@pytest.mark.long
def test_holds_survive_the_freezers_death(frozen, cable):
    m = frozen(time=12)
    m.deaths_expected = True
    clients = [ask(m.port, n) for n in range(50)]
    wait_frozen(cable, 4)


    def shown():
        told = json.loads(m.control("--json", "show", f"{source(0).rsplit('.', 1)[0]}.0/24").stdout)
        return told["held"], told["frozen"], told["unanswered"]

    until(lambda: shown() == (0, 50, 0), why=shown)  # a process on a busy machine may be too late for one count
    processes.kill_all(m.processes("freezer"))
    for client in clients:
        told(client)


@pytest.mark.long
def test_holds_survive_a_workers_death(frozen, cable):
    m = frozen(time=12)
    m.deaths_expected = True
    clients = [ask(m.port, n) for n in range(50)]
    wait_frozen(cable, 4)
    processes.kill_all(m.processes("worker"))
    for client in clients:
        told(client)


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.long
def test_holds_survive_a_stop_and_a_kill_of_everything(frozen, cable, end):
    m = frozen(time=12)
    clients = [ask(m.port, n) for n in range(50)]
    wait_frozen(cable, 4)
    if end == "kill":
        processes.kill_session(m.pid)
        m.daemon.process.wait()
    else:
        assert m.stop() == []
    cable.at_server(m.start)
    for client in clients:
        told(client)


@pytest.mark.long
def test_holds_survive_an_upgrade(frozen, cable):
    m = frozen(time=12)
    clients = [ask(m.port, n) for n in range(50)]
    wait_frozen(cable, 4)
    done = m.control("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_frozen(cable, 4)
    for client in clients:
        assert told(client).seconds > 11.9


@pytest.fixture
def secure(frozen, tmp_path):
    """secure(time=4) starts a mired with STARTTLS on .port and implicit TLS on .implicit; .client(n, how) is one."""

    def start(**options):
        authority = Authority(tmp_path)
        certificate, key = authority.issue("mx.example.test")
        implicit = ports.free()
        m = frozen(
            config=f'tls {{ certificate = "{certificate}" key = "{key}" }}\n'
            f'listen "0.0.0.0:{implicit}" {{ tls = implicit }}',
            **options,
        )
        context = ssl.create_default_context(cafile=authority.file)

        def client(n=0, how="starttls"):
            c = Client(
                implicit if how == "implicit" else m.port, host=netns.SERVER, source=source(n), greet=how == "starttls"
            )
            if how == "starttls":
                c.ehlo()
                c.must("STARTTLS", 220)
            c.socket = context.wrap_socket(c.socket, server_hostname="mx.example.test")
            if how == "implicit":
                assert c.reply().code == 220
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            c.send("RCPT TO:<nobody@example.test>\r\n")
            return c

        m.client = client
        return m

    return start


@pytest.mark.parametrize("how", ["starttls", "implicit"])
@pytest.mark.long
def test_under_tls_the_socket_goes_and_the_conversation_goes_on(secure, cable, how):
    m = secure(time=12)
    clients = [m.client(n, how) for n in range(20)]
    wait_frozen(cable, 6)
    clients[0].send("NOOP\r\n")
    for client in clients:
        assert told(client).seconds > 11.9 or client is clients[0]
    assert clients[0].reply().code == 250
    for client in clients:
        client.must("RCPT TO:<alice@example.test>", 250)
        assert client.data(b"Subject: x\r\n\r\n" + b"still here\r\n" * 2000).code == 250
        assert client.quit().code == 221
    assert len(list((m.mail / "example.test" / "alice" / "new").iterdir())) == 20


@pytest.mark.long
def test_holds_under_tls_survive_the_freezers_death(secure, cable):
    m = secure(time=10)
    m.deaths_expected = True
    clients = [m.client(n) for n in range(10)]
    wait_frozen(cable, 6)
    processes.kill_all(m.processes("freezer"))
    for client in clients:
        told(client)


@pytest.mark.long
def test_no_more_tls_states_are_kept_than_held_connections(secure, cable):
    """A frozen hold under TLS costs its worker the TLS state, which is most of a connection's memory."""
    m = secure(time=12, workers=1, tarpit="held_max = 3")
    clients = []
    for n in range(5):
        clients.append(m.client(n))
        until(lambda: frozen_in(m) >= min(n + 1, 2))
    most = []
    until(lambda: most.append(frozen_in(m)) or most[-1] < most[0])
    assert max(most) == 2
    for client in clients:
        told(client)


@pytest.mark.parametrize("change", ["reload", "upgrade"])
@pytest.mark.long
def test_holds_under_tls_keep_their_worker_until_they_are_answered(secure, cable, change):
    m = secure(time=10)
    old = set(m.processes("worker"))
    clients = [m.client(n) for n in range(10)]
    wait_frozen(cable, 6)
    assert m.control(change).returncode == 0
    plain = ask(m.port, 50)
    for client in clients:
        assert told(client).seconds > 9.9
        assert client.quit().code == 221
    told(plain)
    assert processes.wait_gone(old) == [], "a worker did not end after its last connection"


def test_a_hold_under_tls_ends_with_its_worker(secure, cable):
    """Its keys are gone: at the time of the answer the connection is closed, not left hanging."""
    m = secure(time=6)
    m.deaths_expected = True
    client = m.client()
    wait_frozen(cable, 6)
    processes.kill_all(m.processes("worker"))
    assert client.reply().code == 0


def behind_balancer(port, n):
    """Client 192.0.2.n, who waits."""
    client = Client(port, host=netns.SERVER, source=source(0), greet=False)
    client.send(f"PROXY TCP4 192.0.2.{n} 192.0.2.250 40000 25\r\n")
    assert client.reply().code == 220
    client.ehlo()
    client.must("MAIL FROM:<a@b.test>")
    client.send("RCPT TO:<nobody@example.test>\r\n")
    return client


def test_who_is_behind_a_balancer_is_remembered(frozen, cable):
    behind = ports.free()
    m = frozen(config=f'listen "0.0.0.0:{behind}" {{ proxy_protocol = {{ "10.78.0.0/16" }} }}')
    client = behind_balancer(behind, 77)
    wait_frozen(cable, 6)
    told(client)
    client.quit()
    assert "client=192.0.2.77" in m.log.wait("event=session")


def test_who_is_behind_a_balancer_is_shown_and_released_by_his_own_address(frozen, cable):
    behind = ports.free()
    m = frozen(time=60, config=f'listen "0.0.0.0:{behind}" {{ proxy_protocol = {{ "10.78.0.0/16" }} }}')
    clients = [behind_balancer(behind, n) for n in (1, 2)]
    wait_frozen(cable, 6)
    m.booked()
    for address, frozen_ones in (("192.0.2.1", 1), ("192.0.2.0/24", 2)):
        until(lambda: json.loads(m.control("--json", "show", address).stdout)["frozen"] == frozen_ones)
    assert m.control("show", source(0)).returncode == 1, "the balancer is no client"
    assert m.control("release", "192.0.2.2").returncode == 0
    assert told(clients[1]).seconds < 50
    until(lambda: json.loads(m.control("--json", "status").stdout)["frozen"] == 1)
    assert m.control("release", "192.0.2.1").returncode == 0
    assert told(clients[0]).seconds < 50


def test_the_rule_is_there_once_and_gone_after_the_stop(frozen, cable):
    m = frozen()
    m.deaths_expected = True
    until(lambda: "table inet mired" in cable.ruleset())
    before = cable.ruleset()
    freezer = m.processes("freezer")
    processes.kill_all(freezer)
    until(lambda: m.processes("freezer") not in ([], freezer))
    until(lambda: cable.ruleset() == before)
    assert before.count("goto") == 1
    assert m.stop() == []
    assert "mired" not in cable.ruleset()


def test_resets_of_others_and_of_live_sockets_pass(frozen, cable):
    m = frozen()
    client = ask(m.port)
    wait_frozen(cable, 4)
    with pytest.raises(ConnectionRefusedError):  # a port that nobody listens on
        socket.create_connection((netns.SERVER, m.port - 1 if m.port % 2 else m.port + 7), timeout=PATIENCE)
    live = Client(m.port, host=netns.SERVER, source=source(9))
    end = time.monotonic() + PATIENCE
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # or it would be told nothing and time out
        live.send("QUIT\r\n" + "NOOP\r\n" * 50000)  # unread input makes the kernel reset on close
        while time.monotonic() < end:
            live.socket.sendall(b"NOOP\r\n" * 1000)
    told(client)


def test_resets_of_others_at_other_addresses_pass(frozen, cable):
    """field notes 30: the same port, another address, another server or none."""
    m = frozen(host=netns.SERVER)
    client = ask(m.port)
    wait_frozen(cable, 4)
    rules = cable.ruleset()
    assert f"{netns.SERVER} . {m.port}" in rules and rules.count("goto") == 1
    cable.at_server(lambda: subprocess.run(["ip", "address", "add", "10.77.0.9/24", "dev", "server"], check=True))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("10.77.0.9", m.port), timeout=PATIENCE)
    other = cable.at_server(lambda: socket.create_server(("10.77.0.9", m.port)))
    to_other = socket.create_connection(("10.77.0.9", m.port), timeout=PATIENCE)
    taken, _ = other.accept()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    taken.close()
    with pytest.raises(ConnectionResetError):
        to_other.recv(1)
    told(client)


@pytest.mark.parametrize("listen", ["", 'listen "[::]:@PORT@" { }', f'listen "[{netns.SERVER6}]:@PORT@" {{ }}'])
def test_the_rule_names_what_is_listened_at(frozen, cable, listen):
    """field notes 30"""
    port = ports.free()
    m = frozen(config=listen.replace("@PORT@", str(port)))
    until(lambda: "table inet mired" in cable.ruleset())
    rules = cable.ruleset()
    assert re.search(rf"set any4 {{\s+type inet_service\s+elements = {{[^}}]*\b{m.port}\b", rules), rules
    assert ("set any6" in rules) == ("[::]" in listen)
    assert ("set own6" in rules) == (netns.SERVER6 in listen) and "set own4" not in rules
    if "[::]" in listen:
        assert re.search(rf"set any6 {{\s+type inet_service\s+elements = {{ {port} }}", rules), rules
    if netns.SERVER6 in listen:
        assert f"{netns.SERVER6} . {port}" in rules


def test_a_link_local_client_is_answered(frozen, cable):
    """field notes 30: its address is of one link, which the kernel wants to know again."""
    m = frozen(time=12, host="::")  # time enough to be seen frozen twice
    show = ["ip", "-6", "-o", "address", "show", "dev", "server", "scope", "link"]
    until(lambda: "tentative" not in cable.at_server(lambda: subprocess.check_output(show, text=True)))
    address = cable.at_server(lambda: subprocess.check_output(show, text=True)).split()[3].split("/")[0]
    until(lambda: "tentative" not in subprocess.check_output([*show[:6], "clients", *show[7:]], text=True))
    client = ask(m.port, host=f"{address}%clients")
    until(lambda: json.loads(m.control("--json", "status").stdout)["frozen"] == 1)
    m.booked()
    own = client.socket.getsockname()[0].split("%")[0]
    until(lambda: json.loads(m.control("--json", "show", own).stdout)["frozen"] == 1)
    assert told(client).seconds > 11.9
    client.must("RCPT TO:<alice@example.test>", 250)
    assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
    assert f"[IPv6:{own}]".encode() in m.delivered("alice@example.test")[0]


@pytest.mark.parametrize("address", ["64:ff9b::198.51.100.7", "64:ff9b::198.51.100.8"])
def test_a_client_behind_nat64_is_its_ipv4_address_frozen_too(frozen, cable, address):
    """field notes 30"""
    inner = address.rsplit(":", 1)[1]
    subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "clients", "nodad"], check=True)
    cable.at_server(lambda: subprocess.run(["ip", "route", "add", "64:ff9b::/96", "dev", "server"], check=True))
    m = frozen(time=60, host="::")
    client = ask(m.port, host=netns.SERVER6, origin=address)
    until(lambda: json.loads(m.control("--json", "status").stdout)["frozen"] == 1)
    m.booked()
    for spelling in (inner, address):
        shown = until(lambda: (now := json.loads(m.control("--json", "show", spelling).stdout))["frozen"] == 1 and now)
        assert shown["client"]["address"] == inner
    assert m.control("release", inner).returncode == 0
    assert told(client).seconds < 50
    client.must("RCPT TO:<alice@example.test>", 250)
    assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
    assert f"[{inner}]".encode() in m.delivered("alice@example.test")[0]
    client.close()
    m.log.wait(rf"event=session client={re.escape(inner)} ")


@pytest.mark.parametrize(
    "tunnel", ["2001:0:4136:e378:8000:63bf:39cc:9bf8", "2002:c633:6407::1", "2002:c633:6407:9::77"]
)
def test_who_comes_through_a_tunnel_is_one_client_with_its_ipv4_address(frozen, cable, tunnel):
    """field notes 30: 198.51.100.7 by Teredo and 6to4; its own address stays what is logged."""
    subprocess.run(["ip", "address", "add", f"{tunnel}/128", "dev", "clients", "nodad"], check=True)
    cable.at_server(lambda: subprocess.run(["ip", "route", "add", "2001::/16", "dev", "server"], check=True))
    cable.at_server(lambda: subprocess.run(["ip", "route", "add", "2002::/16", "dev", "server"], check=True))
    m = frozen(time=60, host="::")
    client = ask(m.port, host=netns.SERVER6, origin=tunnel)
    until(lambda: json.loads(m.control("--json", "status").stdout)["frozen"] == 1)
    m.booked()
    shown = until(lambda: (now := json.loads(m.control("--json", "show", "198.51.100.7").stdout))["frozen"] == 1 and now)
    assert shown["client"]["offences"] > 0.5
    assert m.control("release", "198.51.100.7").returncode == 0
    assert told(client).seconds < 50
    client.close()
    m.log.wait(rf"event=session client={re.escape(tunnel)} ")


def segments(pcap):
    """(from the server?, flags, seq, ack, window, timestamp, length) of each TCP segment in a capture."""
    at, found = 24, []
    while at + 16 <= len(pcap):
        size = struct.unpack_from("=I", pcap, at + 8)[0]
        packet, at = pcap[at + 16 + 14 : at + 16 + size], at + 16 + size
        head = (packet[0] & 15) * 4
        if packet[9] != 6:
            continue
        tcp, total = packet[head:], struct.unpack_from("!H", packet, 2)[0]
        seq, ack = struct.unpack_from("!II", tcp, 4)
        offset, window = (tcp[12] >> 4) * 4, struct.unpack_from("!H", tcp, 14)[0]
        options, stamp, i = tcp[20:offset], None, 0
        while i < len(options):
            if options[i] == 8:
                stamp = struct.unpack_from("!I", options, i + 2)[0]
            i += 1 if options[i] in (0, 1) else options[i + 1]
        found.append(
            (packet[12:16] == socket.inet_aton(netns.SERVER), tcp[13], seq, ack, window, stamp, total - head - offset)
        )
    return found


def test_the_segments_go_on_where_they_left_off(frozen, cable, tmp_path):
    """Sequence numbers, window and time stamps of the reply are those of an unbroken connection; no RST is seen."""
    m = frozen()
    capture = tmp_path / "capture"
    dump = Daemon(["tcpdump", "-U", "-i", "clients", "-w", capture, "tcp"])
    dump.output.wait("listening on")
    client = ask(m.port)
    wait_frozen(cable, 4)
    told(client)
    client.quit()
    until(lambda: capture.exists() and sum(1 for s in segments(capture.read_bytes()) if s[0] and s[1] & 1))
    dump.signal(signal.SIGINT)
    dump.process.wait()
    seen = segments(capture.read_bytes())
    assert not [s for s in seen if s[1] & 4], "a reset was seen"
    server = [s for s in seen if s[0]]
    expected, window, stamp = (server[0][2] + 1) & 0xFFFFFFFF, None, 0
    for _, flags, seq, _, size, when, length in server[1:]:
        assert seq == expected, "the sequence numbers have a gap"
        expected = (seq + length + (flags & 1)) & 0xFFFFFFFF
        assert when >= stamp, "the clock went back"
        assert window is None or abs(size - window) <= window // 2, "the window has changed"
        stamp, window = when, size
    assert server[-1][5] - server[0][5] >= 5900, "the clock stood still while it was frozen"


def test_without_the_right_there_is_one_warning_and_holds_are_ordinary(mired, cable):
    rightless = ["setpriv", "--bounding-set=-net_admin"]
    m = cable.at_server(lambda: mired(tarpit=FROZEN.format(time=2), host="0.0.0.0", prefix=rightless))
    client = ask(m.port)
    told(client)
    m.log.wait("not freezing connections")
    assert m.log.text.count("not freezing connections") == 1


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs")
@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.long
def test_the_pair_to_the_freezer_that_a_worker_has_shut_is_renewed_when_it_ends(frozen, cable, monkeypatch, earlier):
    """Workers of all generations share it. Until then the holds of its slot keep their sockets."""
    monkeypatch.setenv("MIRED_DOOR", "mired worker")
    m = frozen(time=10, program=BUILD / "tests" / "door" / "mired-door", workers=1)
    m.lies_expected = m.deaths_expected = True
    (bad,) = m.processes("worker")
    with Client(m.port, host=netns.SERVER, source=source(1)):  # so an earlier worker does not end before its time
        if earlier:
            assert m.control("reload", timeout=60).returncode == 0
        os.kill(bad, signal.SIGRTMIN + 1)
        m.log.wait(r"door: \d+ sockets are shut")
        os.kill(bad, signal.SIGKILL)
        m.log.wait("or another process, has shut down its sockets to other processes")
        m.log.wait(f"generation {3 if earlier else 2} serves")
    client = ask(m.port)
    wait_frozen(cable, 2)
    assert told(client).seconds > 9.9
    client.close()
