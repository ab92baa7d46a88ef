"""The log: what became of a message is found by its sender, recipient, client or id. Field notes 15, 16, 31."""

import json
import re
import subprocess
import time

from lib import ports
from lib.mired import CONTROL
from lib.smtp import Client, deliver
from lib.waiting import until


def log(m, *words):
    done = m.control("log", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_mirectl_log_shows_the_lines_of_one_address(mired):
    """field notes 15"""
    m = mired()
    for name in ("alice", "bob"):
        assert deliver(m.port, f"{name}.sender@elsewhere.test", [f"{name}@example.test"]).ok
    for name in ("alice", "bob"):
        m.log.wait(f"event=message .*to={name}@example.test")
    until(lambda: sum("event=session" in line for line in log(m)) == 2)  # mirectl has a line a moment later than the log
    lines = log(m)
    assert any("event=start" in line for line in lines) and any("event=ready" in line for line in lines)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} event=", lines[0])
    for wanted in ("alice@example.test", "ALICE.sender@elsewhere.test", "<alice@example.test>"):
        found = log(m, wanted)
        assert [line for line in found if "event=message" in line and "from=alice.sender@elsewhere.test" in line]
        assert not [line for line in found if "bob" in line]
    assert len(log(m, "example.test", "--limit", "1")) == 1
    done = m.control("log", "nobody@example.test")
    assert done.returncode == 0 and not done.stdout and "no match in" in done.stderr
    parts = [json.loads(line) for line in m.control("--json", "log", "bob@example.test").stdout.splitlines()]
    assert parts and all(p["level"] == "info" and p["time_ms"] > 1.6e12 for p in parts), parts
    assert "bob@example.test" in parts[0]["line"]


def test_mirectl_log_knows_lines_that_the_level_keeps_out_of_the_log(mired):
    m = mired(config='log_level = "warn"')
    assert deliver(m.port, "a@elsewhere.test", ["alice@example.test"]).ok
    until(lambda: [line for line in log(m, "alice@example.test") if "event=message" in line])
    assert "event=message" not in m.log.text


def test_mirectl_log_follows_over_a_reload(mired):
    m = mired()
    with subprocess.Popen(
        [CONTROL, "-s", m.folder / "run" / "control", "log", "--follow", "alice@example.test"],
        stdout=subprocess.PIPE,
        text=True,
    ) as follow:
        try:
            for sender in ("first@elsewhere.test", "second@elsewhere.test"):
                assert deliver(m.port, sender, ["alice@example.test"]).ok
                for line in follow.stdout:
                    if "event=message" in line:
                        break
                assert f"from={sender}" in line
                assert m.control("reload").returncode == 0
        finally:
            follow.terminate()


def test_mirectl_log_stays_over_an_upgrade(mired):
    m = mired()
    assert deliver(m.port, "a@elsewhere.test", ["alice@example.test"]).ok
    until(lambda: [line for line in log(m, "alice@example.test") if "event=message" in line])
    assert m.control("upgrade").returncode == 0
    until(lambda: [line for line in log(m, "alice@example.test") if "event=message" in line])


# ---- what a line says ----


def fields(line):
    """A line's fields; values of client octets stay as they are written."""
    return {key: value.strip('"') for key, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)}


def line_of(m, event, pattern="", since=0):
    return fields(m.log.wait(f"event={event} .*{pattern}", since=since))


def test_a_message_is_followed_from_the_client_to_the_backend_s_queue(mired, postfix):
    """field notes 15: user=, id= (in Received: too), backend_id="""
    p = postfix(domains=("example.test",)) if "domains" in postfix.__code__.co_varnames else postfix()
    m = mired(backend=f'backend "smtp://127.0.0.1:{p.port}" {{ }}')
    with Client(m.submission) as client:
        client.ehlo("desk.example.test")
        client.login("bob@example.test", "builder")
        assert client.message("bob@example.test", ["alice@example.test", "carol@example.test"]).ok
        client.quit()
    message, session = line_of(m, "message"), line_of(m, "session")
    assert message["user"] == session["user"] == "bob@example.test"
    assert re.fullmatch(r"[0-9a-z]{10}-[0-9a-z]{7}", message["id"])
    assert message["id"].split("-")[0] == session["id"]
    assert (message["to"], message["also"], message["recipients"]) == ("alice@example.test", "carol@example.test", "2")
    p.wait_log(rf"\b{message['backend_id']}: ")

    def of_the_session():
        """The queue's id leads to it."""
        lines = log(m, message["backend_id"])
        return lines if any("event=session" in line and "auth=yes" in line for line in lines) else None

    shown = until(of_the_session)  # mirectl has a line a moment later than the log
    assert all(session["id"] in line for line in shown)


def test_the_id_is_in_the_received_line(mired):
    m = mired()
    assert deliver(m.port, "a@elsewhere.test", ["alice@example.test"]).ok
    ident = line_of(m, "message")["id"]
    (message,) = [f for f in m.mail.rglob("new/*") if f.is_file()]
    assert f"id {ident}" in message.read_text()


def test_each_refused_or_masked_recipient_has_a_line(mired):
    """field notes 15: sender, recipient, why, and for how long it was held"""
    m = mired(tarpit="time = 1s max = 2s")
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<sender@elsewhere.test>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
        assert client.say("RCPT TO:<x@relay.test>").code == 550
        client.quit()
    unknown, relay = line_of(m, "refused", "why=unknown"), line_of(m, "refused", "why=relay")
    assert (unknown["from"], unknown["to"], unknown["code"]) == ("sender@elsewhere.test", "nobody@example.test", "550")
    assert unknown["hold"] == "1.0s" and re.fullmatch(r"R\d+", unknown["rule"]) and unknown["id"] == relay["id"] == line_of(m, "session")["id"]
    assert relay["to"] == "x@relay.test"
    until(lambda: [line for line in log(m, "nobody@example.test") if "event=session" in line])


def test_masked_recipients_have_lines_too(mired):
    m = mired(tarpit="time = 2s max = 2s")
    source = ports.stranger()
    clients = [Client(m.port, source=source) for _ in range(6)]
    for client in clients:
        client.ehlo()
        client.must("MAIL FROM:<sender@elsewhere.test>")
    m.booked()
    assert m.control("penalise", source, "--offences", "8").returncode == 0
    for i, client in enumerate(clients):
        client.send(f"RCPT TO:<guess{i}@example.test>\r\n".encode())
    masked = line_of(m, "refused", "code=450")
    assert masked["why"] in ("masked", "shield") and masked["to"].startswith("guess")
    for client in clients:
        client.close()


def test_an_unknown_directory_is_not_taken_for_a_refusal(mired):
    m = mired(recipients=None, config='recipients "socketmap" { path = "/nonexistent" map = "x" }')
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<sender@elsewhere.test>")
        assert client.say("RCPT TO:<alice@example.test>").code == 451
    assert line_of(m, "refused")["why"] == "later"


# ---- who is named ----


def test_sessions_of_exempt_clients_say_no_offences(mired):
    """field notes 16: the shipped fail2ban filter bans by that number"""
    m = mired(config='exempt = { "127.0.0.0/8" }')
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<sender@elsewhere.test>")
        for i in range(6):
            assert client.say(f"RCPT TO:<guess{i}@example.test>").code == 550
        client.quit()
    assert line_of(m, "session")["offences"] == "0"


def test_sessions_of_clients_that_the_ledger_exempts_say_none_either(mired):
    m, source = mired(), ports.stranger()
    assert m.control("exempt", source).returncode == 0
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.must("MAIL FROM:<sender@elsewhere.test>")
        for i in range(6):
            assert client.say(f"RCPT TO:<guess{i}@example.test>").code == 550
        client.quit()
    assert line_of(m, "session")["offences"] == "0"


def test_health_checks_that_say_nothing_are_debug_lines(mired):
    """field notes 16: what monitors do (PEERS: connect and leave, EHLO and QUIT, QUIT)"""
    m = mired()
    checks = ("", "QUIT", "EHLO x\nQUIT", "EHLO x", "HELO x\nNOOP\nQUIT", "EHLO x\nRSET\nQUIT")
    for check in checks:
        with Client(m.port) as client:
            for word in check.split("\n") if check else ():
                client.say(word)
    with Client(m.port) as client:  # a client that tries something has a line
        client.ehlo()
        client.must("MAIL FROM:<a@elsewhere.test>")
        client.must("RCPT TO:<alice@example.test>")
        client.quit()
    assert line_of(m, "session")["code"] == "250"
    assert m.log.text.count("event=session") == 1, m.log.text


def test_debug_shows_health_checks(mired):
    m = mired(config='log_level = "debug"')
    with Client(m.port) as client:
        client.say("QUIT")
    assert line_of(m, "session")["level"] == "debug"


# ---- floods ----


def test_a_flood_is_told_in_sums_and_good_mail_in_full(mired):
    """field notes 31"""
    m = mired(tarpit="time = 0 pace = false", workers=1)
    flooder, begun = ports.stranger(), time.monotonic()
    for _ in range(60):
        with Client(m.port, source=flooder) as client:
            client.ehlo()
            client.must("MAIL FROM:<a@elsewhere.test>")
            for i in range(3):
                assert client.say(f"RCPT TO:<guess{i}@example.test>").code == 550
            client.quit()
    for _ in range(30):
        assert deliver(m.port, "good@elsewhere.test", ["alice@example.test"]).ok
    took = time.monotonic() - begun
    summed = line_of(m, "summary")
    assert summed["client"] == flooder

    def written(event):
        return [fields(line) for line in m.log.text.splitlines() if f"event={event} " in line and f"client={flooder}" in line]

    def told():
        """How many sessions, lines of their own and in sums."""
        return len(written("session")) + sum(int(f["sessions"]) for f in written("summary"))

    until(lambda: told() == 60)  # a slow machine has more than one sum
    sessions, refused, sums = map(written, ("session", "refused", "summary"))
    assert len(sessions) + len(refused) <= 20 + 2 * (took + 1)  # worker/ration.h: at once, and then each second
    assert len(refused) + sum(int(f["refused"]) for f in sums) == 180
    assert sum(int(f["offences"]) for f in sessions + sums) == 180
    until(lambda: m.log.text.count("event=message") == 30)


def test_the_log_names_the_correspondent_that_lets_a_client_in_debt_pass(mired):
    """R21: `correspondent=` of a message and of a refused recipient."""
    people = [f"p{n}@example.test" for n in range(40)]
    m = mired(recipients=people, tarpit="time = 50ms max = 100ms")
    for person in people:
        assert deliver(m.port, "writer@acme.test", [person], source="127.0.0.1").ok
    m.booked()
    assert not [line for line in log(m) if "correspondent=" in line]
    assert m.control("penalise", "127.0.0.1", "--offences", "20").returncode == 0
    assert deliver(m.port, "writer@acme.test", [people[0]], source="127.0.0.1").ok
    assert deliver(m.port, "writer@acme.test", ["nobody@example.test"], source="127.0.0.1").code == 550

    def told():
        lines = [line for line in log(m) if "correspondent=acme.test" in line]
        return lines if len(lines) >= 2 else None

    found = until(told)
    assert ["event=message" in line for line in found] == [True, False], found
    assert "event=refused" in found[1] and "rule=R21" in found[1]
