"""R22: real mail servers and programs wait for a greeting that pauses; a client that talks first is an early talker."""

import json
import shutil
import socket
import subprocess
import time

import pytest

from lib import ports, scrape, senders
from lib.mired import BUILD
from lib.daemon import Daemon
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until


def show(m, address):
    return json.loads(m.control("show", address, "--json").stdout)["client"]


def seconds_to_be_greeted(port, source=None):
    begun = time.monotonic()
    with Client(port, source=source) as c:
        assert c.greeting.code == 220
        took = time.monotonic() - begun
        c.quit()
    return took


@pytest.fixture
def counted(mired):
    """As mired, and waits() can count the pauses."""

    def start(config="", **options):
        web = ports.free()
        m = mired(config=f'{config}\nweb {{ listen = "127.0.0.1:{web}" }}', **options)
        m.web = web
        return m

    return start


def waits(m, source=None):
    """Whether the greeting waits, as mired has decided; what it books is known to all workers then."""
    before = scrape.samples(m.web)["mired_greeting_pauses_total"]
    with Client(m.port, source=source) as c:
        assert c.greeting.code == 220
        c.quit()
    m.booked()
    return scrape.samples(m.web)["mired_greeting_pauses_total"] > before


def test_a_client_waits_once_and_its_neighbours_wait_too(counted):
    m = counted(tarpit="greet = 1s")
    source = ports.stranger()
    neighbour = source.rsplit(".", 1)[0] + ".201"
    assert seconds_to_be_greeted(m.port, source) >= 0.99
    m.booked()
    assert not waits(m, source)
    assert waits(m, neighbour)


def test_the_next_address_of_a_network_that_has_delivered_does_not_wait(counted):
    m = counted(tarpit="greet = 1s")
    source = ports.stranger()
    assert deliver(m.port, "a@pool.test", ["alice@example.test"], source=source).ok
    m.booked()
    for last in (201, 202):
        assert not waits(m, source.rsplit(".", 1)[0] + f".{last}")


def test_a_pass_survives_reload_and_restart_and_a_release(counted):
    m = counted(tarpit="greet = 1s")
    source = ports.stranger()
    assert waits(m, source)
    assert show(m, source)["passed_ms"] > 0
    assert "at once: it waited" in m.control("show", source).stdout
    assert m.control("reload").returncode == 0
    assert not waits(m, source)
    with Client(m.port, source=source) as c:
        c.send("NONSENSE\r\n")  # which is something to be released of
        c.close()
    m.log.wait("event=session .*offences=1")
    m.booked()
    assert m.control("release", source).returncode == 0
    assert not waits(m, source)
    assert m.stop() == []
    m.start()
    assert not waits(m, source)


def test_a_client_that_talks_first_is_an_offender(mired):
    m = mired(tarpit="time = 1s greet = 10s")
    source = ports.stranger()
    with Client(m.port, source=source, greet=False) as c:
        c.send("EHLO early.test\r\nMAIL FROM:<a@early.test>\r\n")
        reply = c.reply()
        assert reply.code == 554 and "5.5.0" in reply
        assert reply.seconds >= 0.99
        assert c.is_closed()
    m.booked()
    assert show(m, source)["offences"] > 0.9
    line = m.log.wait(f"event=session client={source}")
    assert "offences=1" in line


def test_it_costs_nobody_who_is_exempt_or_logs_in(counted):
    m = counted(tarpit="greet = 10s", config='exempt = { "127.0.0.0/8" }')
    assert not waits(m)
    m = counted(tarpit="greet = 10s")
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login("alice@example.test", "wonderland").code == 235


def test_a_release_ends_a_pause(mired):
    m = mired(tarpit="greet = 30s")
    source = ports.stranger()
    with Client(m.port, source=source, greet=False) as c:
        until(lambda: source in m.control("connections").stdout)
        assert m.control("release", source).returncode == 0
        assert c.reply().code == 220


def test_observed_it_is_counted_and_nobody_waits(counted):
    m = counted(tarpit="greet = 30s observe = true")
    source = ports.stranger()
    for _ in range(3):
        assert not waits(m, source)
    until(lambda: json.loads(m.control("observe", "--json").stdout)["rules"].get("R22") == 1)


def test_behind_a_balancer_only_its_clients_pause(counted):
    """PROXY's header comes first and is not talking early; a header of kind LOCAL has no pause."""
    m = counted(tarpit="greet = 1s")
    m.stop()
    m.file.write_text(m.file.read_text().replace(f':{m.port}" {{ }}', f':{m.port}" {{ proxy_protocol = {{ "127.0.0.0/8" }} }}'))
    m.start()
    client = b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n"
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    for header, pauses in ((local, 0), (client, 1), (client, 1), (local, 1)):
        with socket.create_connection(("127.0.0.1", m.port), timeout=PATIENCE) as s:
            s.sendall(header)
            assert s.recv(100).startswith(b"220 ")
        assert scrape.samples(m.web)["mired_greeting_pauses_total"] == pauses
        m.booked()
    assert show(m, "192.0.2.77")["offences"] == 0


# ---- real mail servers and programs ----

PAUSES = [2, *(pytest.param(s, marks=pytest.mark.soak) for s in (0, 5, 10))]


@pytest.mark.parametrize("seconds", PAUSES)
@pytest.mark.parametrize("name", senders.NAMES)
def test_mail_servers_wait_for_the_greeting(mired, name, seconds):
    m = mired(tarpit=f"greet = {seconds}s")
    box = "alice@example.test"
    _, took = senders.send(name, m.port, box, until=lambda: m.delivered(box, timeout=0))
    assert len(m.delivered(box)) == 1
    assert took >= seconds and offences(m) == 0
    print(f"{name}, greeted after {seconds} s: {took:.1f} s")


@pytest.mark.parametrize("seconds", PAUSES)
def test_postfix_waits_for_the_greeting(mired, postfix, seconds):
    m = mired(tarpit=f"greet = {seconds}s")
    p = postfix(domains="sender.test", boxes=(), extra=f"relayhost = [127.0.0.1]:{m.port}")
    begun = time.monotonic()
    assert deliver(p.port, "writer@sender.test", ["alice@example.test"]).ok
    assert len(m.delivered("alice@example.test", timeout=seconds + PATIENCE)) == 1
    assert time.monotonic() - begun >= seconds and offences(m) == 0


def offences(m):
    return sum(json.loads(line).get("offences", 0) for line in m.control("ledger", "dump").stdout.splitlines())


PROGRAMS = {
    "curl": "printf 'Subject: x\\r\\n\\r\\nhello\\r\\n' | curl -sS --url smtp://127.0.0.1:{port} --mail-from a@b.test "
            "--mail-rcpt alice@example.test --upload-file -",
    "swaks": "swaks --server 127.0.0.1:{port} --from a@b.test --to alice@example.test",
    "perl": "perl -MNet::SMTP -e '$s = Net::SMTP->new(\"127.0.0.1\", Port => {port}) or die; $s->mail(q(a@b.test)) and "
            "$s->to(q(alice@example.test)) and $s->data(\"Subject: x\\n\\nhello\\n\") or die; $s->quit'",
    "python3": "python3 -c 'import smtplib; s = smtplib.SMTP(\"127.0.0.1\", {port}); "
               "s.sendmail(\"a@b.test\", [\"alice@example.test\"], \"Subject: x\\n\\nhello\\n\"); s.quit()'",
}  # fmt: skip


@pytest.mark.parametrize("seconds", PAUSES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_wait_for_the_greeting(mired, name, seconds):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    m = mired(tarpit=f"greet = {seconds}s")
    begun = time.monotonic()
    done = subprocess.run(PROGRAMS[name].format(port=m.port), shell=True, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - begun >= seconds - 0.01
    assert len(m.delivered("alice@example.test")) == 1
    assert offences(m) == 0


# ---- what it costs good mail of clients that are known ----


@pytest.mark.alone
def test_known_clients_lose_nothing_while_a_thousand_others_pause(mired):
    """Good mail beside a thousand paused connections takes as long as it took before them."""
    port = ports.free()
    sink = Daemon([BUILD / "bench" / "sink", f"127.0.0.1:{port}"])
    sink.wait_listening(port)
    m = mired(tarpit="greet = 30s", backend=f'backend "smtp://127.0.0.1:{port}" {{ }}', config='log_level = "warn"')
    source, waiting = ports.stranger(), []
    assert m.control("exempt", source).returncode == 0
    assert deliver(m.port, "a@b.test", ["alice@example.test"], source=source).ok

    def messages(count):
        begun = time.monotonic()
        for _ in range(count):
            assert deliver(m.port, "a@b.test", ["alice@example.test"], source=source).ok
        return time.monotonic() - begun

    messages(50)
    alone = min(messages(100) for _ in range(3))
    for n in range(1000):
        s = socket.socket()
        s.bind((f"127.{100 + n // 250}.{n % 250}.7", 0))
        s.connect(("127.0.0.1", m.port))
        waiting.append(s)
    beside = min(messages(100) for _ in range(3))
    print(f"100 messages: {alone:.2f} s alone, {beside:.2f} s beside 1000 paused")
    for s in waiting:
        s.close()
    sink.stop()
    assert beside < alone * 1.5 + 2  # one message that waits like the others would take 30 s
