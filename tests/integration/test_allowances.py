"""R23: what an account may send, and a stolen password that gets nowhere."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from lib import ports, scrape, strange
from lib.dovecot import Dovecot
from lib.mired import PROGRAM, password_file
from lib.scram import Login, password_file as scram_file
from lib.scripted import Scripted
from lib.smtp import Client
from lib.waiting import until

USER, PASSWORD = "alice@example.test", "wonderland"
HERE = "bob@example.test"  # the recipient of everything
HOUR = 3600


def allowed(hour, day, more=""):
    return f"allowance {{ recipients_per_hour = {hour}  recipients_per_day = {day} {more} }}"


def network(n):
    """An address in the n-th of many networks (/24) that no other test uses."""
    return f"127.{100 + n // 200}.{n % 200}.{1 + n % 250}"


def log_in(client, mechanism="PLAIN", user=USER, password=PASSWORD):
    client.ehlo()
    if mechanism == "PLAIN":
        return client.login(user, password)
    if mechanism == "LOGIN":
        from base64 import b64encode

        client.must("AUTH LOGIN", 334)
        client.must(b64encode(user.encode()).decode(), 334)
        return client.say(b64encode(password.encode()).decode())
    return Login(client, user, password).log_in()


@contextlib.contextmanager
def session(m, source, **options):
    with Client(m.submission, source=source) as client:
        reply = log_in(client, **options)
        assert reply.code == 235, reply.text
        yield client


def send(client, recipients=1):
    """One message; the reply that decided. RCPTs go to one mailbox: sub-addresses."""
    reply = client.message(USER, [HERE.replace("@", f"+{i}@") for i in range(recipients)])
    if reply.code == 450:
        client.must("RSET")
    return reply


def sends_until_refused(m, source, most=10000, **options):
    """Messages to one recipient each, and the reply that ended it."""
    m.booked()
    with session(m, source, **options) as client:
        for n in range(most):
            reply = send(client)
            if reply.code != 250:
                return n, reply
    return most, reply


# ---- what a person sees ----


def test_beyond_the_allowance_a_person_hears_in_words_when_it_goes_on(mired):
    m = mired(config=allowed(30, 0))
    n, reply = sends_until_refused(m, "127.90.1.1")
    assert n == 30
    assert reply.code == 450 and re.match(
        r"450 4\.7\.1 Your account may write to 30 recipients an hour\. It goes on at \d\d:\d\d [A-Z+0-9-]+, in 2 minutes$",
        reply.text,
    ), reply.text
    m.booked()
    with session(m, "127.90.1.1") as client:  # the transaction, not the connection, is refused
        assert send(client).code == 450
        assert client.say("NOOP").code == 250
    assert not re.search(r"offences=[1-9]", m.log.text)
    line = m.log.wait(r"event=allowance .*")
    assert f"account={USER}" in line and "why=hour" in line and "allowance=30" in line


def test_the_recipients_that_fit_are_taken_and_the_others_put_off(mired):
    m = mired(config=allowed(10, 0))
    with session(m, "127.90.2.1") as client:
        codes = [r.code for r in client.envelope(USER, [HERE.replace("@", f"+{i}@") for i in range(14)])]
        assert codes == [250] * 10 + [450] * 4
        assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250
        assert send(client).code == 450


def test_a_transaction_that_comes_to_nothing_costs_nothing(mired):
    m = mired(config=allowed(10, 0))
    with session(m, "127.90.3.1") as client:
        for _ in range(5):
            assert all(r.code == 250 for r in client.envelope(USER, [HERE] * 10))
            client.must("RSET")
            client.envelope(USER, [HERE] * 10)
            client.must("DATA", 354)
            client.send(b"a bare\nline\r\n.\r\n")
            assert client.reply().code == 554
        client.envelope(USER, [HERE] * 10)
    m.booked()
    with session(m, "127.90.3.1") as client:
        assert send(client, 10).code == 250


def test_a_message_that_the_backend_refuses_is_given_back(mired, postfix):
    p = postfix(extra="smtpd_end_of_data_restrictions = check_sender_access inline:{ { full@a.test = 552 5.2.2 full } }")
    m = mired(backend=f'backend "smtp://127.0.0.1:{p.port}" {{ }}', config=allowed(6, 0))
    with session(m, "127.90.4.1") as client:
        for _ in range(4):
            assert client.message("full@a.test", [HERE] * 2 + ["alice@example.test"] * 2).code == 552
        assert send(client, 6).code == 250
        assert send(client).code == 450


def test_a_recipient_of_a_mixed_answer_counts_once(mired):
    """The message is put off although two have it. The client sends it again, until all have it."""
    busy = []

    def answer(verb, argument, session):
        if verb == "RCPT" and "carol" in argument and not busy:
            busy.append(argument)
            return "450 4.2.0 busy"
        return None

    message = b"Message-ID: <1@example.test>\r\nSubject: x\r\n\r\nhello\r\n"
    people = [HERE, "alice@example.test", "carol@example.test"]
    with Scripted(answer) as backend:
        m = mired(backend=backend.block, config=allowed(20, 0), tarpit="time = 0")

        def used():
            m.booked()
            about = json.loads(m.control("--json", "show", USER).stdout)["account"]
            return round(about["per_hour"]["used"])

        with session(m, "127.90.10.1") as client:
            assert client.message(USER, people, message).code == 451
            assert used() == 2
            left = people
            for _ in range(4):  # as a mail server does: to those that were put off
                if not left:
                    break
                codes = [reply.code for reply in client.envelope(USER, left)]
                taken = client.data(message).code == 250
                left = [to for to, code in zip(left, codes) if code != 250 or not taken]
            assert not left and used() == 3
        assert [backend.copies(to) for to in people] == [1, 1, 1]


def write(path, text):
    """As an editor does: a new file in the place of the old one."""
    part = path.with_suffix(".part")
    part.write_text(text)
    os.rename(part, path)


def with_file(m, text, hour):
    """Gives a running mired allowances and a file of exceptions."""
    path = m.folder / "allowances"
    write(path, text)
    with m.file.open("a") as f:
        f.write(allowed(hour, 0, f'file = "{path}"') + "\n")
    done = m.control("reload")
    assert done.returncode == 0, done.stderr
    return path


def wait_kept(m, kept):
    """What mirectl says of the file: the web process looks at it in its own time, as each worker does."""
    until(lambda: json.loads(m.control("--json", "status").stdout)["allowance"]["kept"] is kept)


BOB = {"user": "bob@example.test", "password": "builder"}


@pytest.mark.long
def test_a_mailing_list_has_its_own_allowance_and_the_file_is_reread(mired):
    m = mired()
    path = with_file(m, "bob@example.test 40 0\n", 5)
    assert sends_until_refused(m, "127.90.5.1", **BOB)[0] == 40
    assert sends_until_refused(m, "127.90.5.1")[0] == 5

    def change(text, line):
        """Each worker takes it, or does not, and says so."""
        mark = m.log.mark()
        write(path, text)
        for worker in (0, 1):
            m.log.wait(rf'{line}.*role="worker {worker}"', since=mark)

    def bobs():
        """As mirectl says: the web process rereads the file, too."""
        return json.loads(m.control("--json", "show", "bob@example.test").stdout)["account"]["per_hour"]["allowed"]

    assert bobs() == 40
    change("BOB@example.test\t100 0\nalice@example.test 0 20\n", "allowances has changed: 2 allowances")
    until(lambda: bobs() == 100)
    assert 60 <= sends_until_refused(m, "127.90.5.1", **BOB)[0] <= 63  # one comes back each 36 s
    change(
        "alice@example.test many\nbob@example.test 1 1\n",
        "allowances:1: .*is not an allowance.*keeping the previous version",
    )
    assert sends_until_refused(m, "127.90.5.1")[0] == 20  # the day begins to count when it is limited
    wait_kept(m, True)
    change("alice@example.test 0 30\nbob@example.test 100 0\n", "allowances has changed: 2 allowances")
    assert sends_until_refused(m, "127.90.5.1")[0] == 10


@pytest.mark.parametrize("kind", strange.KINDS)
def test_what_is_no_file_changes_no_allowance_and_stops_no_worker(mired, kind):
    """Workers read the file themselves: a pipe would make each wait for a writer, and all clients with it."""
    m = mired()
    path = with_file(m, "alice@example.test 7 0\n", 3)
    until(lambda: len(m.processes("worker")) == 2)
    workers = m.processes("worker")
    since = m.log.mark()
    strange.replace(path, kind)
    for worker in (0, 1):
        m.log.wait(rf'keeping the previous version.*role="worker {worker}"', since=since)
    assert sends_until_refused(m, "127.90.7.1")[0] == 7
    wait_kept(m, True)
    if kind != "an unreadable file":  # the master may be root
        assert m.control("reload").returncode != 0
    assert m.processes("worker") == workers
    strange.remove(path)
    since = m.log.mark()
    write(path, "alice@example.test 9 0\n")
    for worker in (0, 1):
        m.log.wait(rf'allowances has changed: 1 allowances.*role="worker {worker}"', since=since)
    assert sends_until_refused(m, "127.90.7.1")[0] == 2
    wait_kept(m, False)


@pytest.mark.parametrize("line", ["alice", "alice 5", "alice five 5", "5 5", "alice 5 -5", "alice 5 9000000"])
def test_each_wrong_line_is_named_before_it_can_do_harm(mired, line):
    m = mired()
    path = with_file(m, "alice@example.test 5 50\n", 2)
    write(path, f"alice@example.test 500 5000\n{line}\nlist@example.test 0 0\n{line}\n")
    checked = subprocess.run([PROGRAM, "-c", m.file, "-t"], capture_output=True, text=True)
    assert checked.returncode == 1
    for number in (2, 4):
        assert f'{path}:{number}: "{line}" is not an allowance; expected' in checked.stdout + checked.stderr
    assert m.control("reload").returncode != 0
    assert sends_until_refused(m, "127.90.6.1")[0] == 5


# ---- whose allowance it is ----


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM"])
@pytest.mark.parametrize("verifier", ["file", "dovecot"])
def test_other_spellings_and_mechanisms_have_the_same_allowance(mired, verifier, mechanism):
    d = None
    if verifier == "dovecot":
        d = Dovecot(mechanisms="plain login scram-sha-256", extra="auth_username_format = %Lu\n")
        d.start()
        m = mired(config=allowed(12, 0) + f'\nauth "dovecot" {{ path = "{d.auth}" }}', passwords=None)
    else:
        stored = scram_file if mechanism == "SCRAM" else password_file
        m = mired(config=allowed(12, 0), stored=stored)
    try:
        spellings = [USER, USER.upper(), USER.title()] if verifier == "dovecot" else [USER]
        sent = [sends_until_refused(m, "127.90.7.1", user=u, mechanism=mechanism)[0] for u in spellings]
        assert sent == [12] + [0] * (len(spellings) - 1)
        assert sends_until_refused(m, "127.90.7.1")[0] == 0  # PLAIN
    finally:
        if d:
            d.stop()
            d.remove()


def test_spellings_that_a_backend_takes_have_the_same_allowance(mired, postfix):
    d = Dovecot(extra="auth_username_format = %Ln\n", users={"alice": "{PLAIN}wonderland"})
    d.start()
    try:
        backend = postfix(
            extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {d.auth}\n"
            "smtpd_sasl_local_domain = example.test"
        )
        m = mired(
            config=allowed(12, 0) + '\nauth "backend" { }',
            passwords=None,
            backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}',
        )
        spellings = ["alice", "ALICE", "alice@example.test", "Alice@Example.Test"]
        sent = [sends_until_refused(m, "127.90.8.1", user=u)[0] for u in spellings]
        assert sent == [12, 0, 0, 0]
    finally:
        d.stop()
        d.remove()


def test_workers_and_connections_together_do_not_exceed_it(mired):
    m = mired(config=allowed(100, 0), workers=2)
    with session(m, "127.90.9.1"):
        pass
    m.booked()
    begun = time.monotonic()

    def one(_):
        with session(m, "127.90.9.1") as client:
            sent = 0
            while send(client).code == 250:
                sent += 1
            return sent

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        sent = sum(pool.map(one, range(40)))
    assert 100 <= sent <= 101 + (time.monotonic() - begun) / 36  # a recipient comes back every 36 s


# ---- a stolen password ----


class Thieves:
    """A password from many networks at once: connections that log in and send until they are refused, again and
    again, until stopped."""

    def __init__(self, m, connections, networks, begin, recipients=3, mechanism="PLAIN"):
        self.m, self.networks, self.begin_at, self.recipients = m, networks, begin, recipients
        self.mechanism = mechanism
        self.over = threading.Event()
        self.codes = {}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(connections)]

    def count(self, code):
        with self.lock:
            self.codes[code] = self.codes.get(code, 0) + 1

    def run(self, n):
        while not self.over.is_set():
            try:
                with Client(self.m.submission, source=network(self.begin_at + n % self.networks)) as client:
                    reply = log_in(client, self.mechanism)
                    self.count(f"login {reply.code}")
                    for _ in range(4 if reply.code == 235 else 0):
                        self.count(f"message {send(client, self.recipients).code}")
            except (AssertionError, OSError):
                pass
            self.over.wait(0.3)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


NUMBERS = [(200, 1000, 200, 100), (90, 120, 60, 30)]


@pytest.mark.parametrize("stolen", ["tell", "refuse"])
@pytest.mark.parametrize("hour, day, connections, networks", NUMBERS)
@pytest.mark.long
def test_a_stolen_password_gets_nowhere(mired, stolen, hour, day, connections, networks):
    web = ports.free()
    m = mired(
        config=allowed(hour, day, f'stolen = "{stolen}"') + f'\nweb {{ listen = "127.0.0.1:{web}" }}',
        tarpit="time = 0",
    )
    home, tenth = "127.91.1.1", (hour + 9) // 10
    with session(m, home) as client:
        assert send(client).code == 250
    begun = time.monotonic()
    with Thieves(m, connections, networks, begin=0):
        m.log.wait(rf'event=allowance .*account={USER} .*why="looks stolen"')
        until(lambda: scrape.samples(web)["mired_allowance_stolen_total"] == 1)  # alerts.yml asks for it
        owner = 1
        for trouble in ("none", "reload", "kill", "restart"):
            if trouble == "reload":
                assert m.control("reload").returncode == 0
            elif trouble == "kill":
                m.deaths_expected = True
                for worker in m.processes("worker"):
                    os.kill(worker, signal.SIGKILL)
            elif trouble == "restart":
                m.kill_all()
                thief = m.log.text
                m.start()
            for _ in range(3):
                owner += sends_at_home(m, home)
    seconds = time.monotonic() - begun
    reached_all = reached_in(thief) + reached_in(m.log.text)
    most = tenth + tenth * seconds / HOUR + 1
    # A worker that is killed has counted what it was handing over, and has no line of it.
    assert owner <= reached_all <= owner + most, (owner, reached_all, most)
    assert owner == 13
    told = scrape.samples(web)["mired_allowance_stolen_total"]
    assert told == 0, "it is told once"
    shown = m.control("show", USER).stdout
    assert "looks stolen" in shown
    # The owner has what an hour allows, as if there were no thief.
    sent, reply = sends_until_refused(m, home, most=hour)
    leaked = hour * (time.monotonic() - begun) / HOUR
    assert hour <= owner + sent <= hour + leaked + 1, (owner, sent, reply.text)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM"])
@pytest.mark.parametrize("verifier", ["file", "dovecot"])
def test_a_stolen_password_gets_nowhere_by_any_verifier(mired, verifier, mechanism):
    d = None
    if verifier == "dovecot":
        d = Dovecot(mechanisms="plain login scram-sha-256")
        d.start()
    auth = f'\nauth "dovecot" {{ path = "{d.auth}" }}' if d else ""
    try:
        m = mired(
            config=allowed(50, 300, 'stolen = "refuse"') + auth,
            tarpit="time = 0",
            passwords=None if d else {USER: PASSWORD},
            stored=scram_file if mechanism == "SCRAM" else password_file,
        )
        with session(m, "127.98.1.1", mechanism=mechanism) as client:
            assert send(client).code == 250
        with Thieves(m, 30, 15, begin=600, recipients=1, mechanism=mechanism) as thieves:
            m.log.wait('event=allowance .*why="looks stolen"')
            for _ in range(5):
                assert sends_at_home(m, "127.98.1.1")
        until(lambda: reached_in(m.log.text) >= thieves.codes.get("message 250", 0) + 6)  # the last lines come a moment later
        assert 6 < reached_in(m.log.text) <= 6 + 5 + 1, thieves.codes
        # They are refused now, by whatever mechanism, and the owner is not.
        with Client(m.submission, source=network(700)) as client:
            assert log_in(client, mechanism).code == 535
        with session(m, "127.98.1.1", mechanism=mechanism) as client:
            assert send(client).code == 250
    finally:
        if d:
            d.stop()
            d.remove()


def sends_at_home(m, home):
    """One message, as a mail program sends it: again, when the server has just been restarted."""


    def sent():
        try:
            with session(m, home) as client:
                reply = send(client)
                assert reply.code == 250, reply.text
                return 1
        except OSError:
            return 0
        except AssertionError as error:
            if "450" in str(error) or "535" in str(error):
                raise
            return 0

    return until(sent, why="the owner could not send", every=0.1)


def reached_in(text):
    return sum(int(n) for n in re.findall(r"event=message .*? recipients=(\d+) .*?result=passed", text))


def test_refused_networks_hear_what_a_wrong_password_hears_and_known_ones_go_on(mired):
    m = mired(config=allowed(20, 0, 'stolen = "refuse"'), tarpit="time = 0")
    with session(m, "127.92.1.1") as client:
        assert send(client).code == 250
        for n in range(5):
            m.booked()
            with Client(m.submission, source=network(300 + n)) as thief:
                if log_in(thief).code == 235:
                    assert 450 in [send(thief).code for _ in range(3)]
    assert m.log.wait('why="looks stolen"')
    m.booked()
    with Client(m.submission, source=network(310)) as client:
        right = log_in(client)
    with Client(m.submission, source=network(311)) as client:
        wrong = log_in(client, password="wrong")
    assert right.text == wrong.text and right.code == 535
    with session(m, "127.92.1.1") as client:
        assert send(client).code == 250
    done = m.control("release", USER)
    assert done.returncode == 0, done.stderr
    m.booked()
    with session(m, network(312)) as client:  # the person's own telephone, after the password was changed
        assert [send(client).code for _ in range(3)] == [250, 250, 450]


def test_wrong_passwords_make_no_account_look_stolen(mired):
    m = mired(config=allowed(20, 0, 'stolen = "refuse"'), tarpit="time = 0")
    with session(m, "127.93.1.1"):
        pass
    for n in range(40):
        with Client(m.submission, source=network(400 + n)) as client:
            assert log_in(client, password="wrong").code == 535
    m.booked()
    shown = json.loads(m.control("--json", "show", USER).stdout)
    assert shown["account"]["stolen"] is False and shown["account"]["guesses"] > 10
    with session(m, network(450)) as client:
        assert send(client).code == 250


def test_networks_of_exempt_and_relay_are_known_to_every_account(mired):
    m = mired(config=allowed(20, 0) + '\nexempt = { "127.94.2.0/24" }\nrelay = { "127.94.3.0/24" }', tarpit="time = 0")
    with session(m, "127.94.1.1"):
        pass
    assert sends_until_refused(m, "127.94.4.1")[0] == 2
    assert sends_until_refused(m, "127.94.2.1", most=10)[0] == 10
    assert sends_until_refused(m, "127.94.3.1", most=20)[0] == 10


def test_behind_a_balancer_it_is_the_clients_network_that_counts(mired):
    front = ports.free()
    m = mired(
        config=allowed(20, 0)
        + f'\nlisten "127.0.0.1:{front}" {{ submission = true  proxy_protocol = {{ "127.95.0.1" }} }}',
        tarpit="time = 0",
    )

    def sends(address):
        m.booked()
        with Client(front, source="127.95.0.1", greet=False) as client:
            client.send(f"PROXY TCP4 {address} 192.0.2.1 4000 587\r\n")
            client.reply()
            assert log_in(client).code == 235
            return [send(client).code for _ in range(21)].count(250)

    assert sends("127.97.1.7") == 20
    assert sends("127.97.2.7") == 2
    assert sends("127.97.2.8") == 0


# ---- what the administrator sees ----


def test_show_and_release_an_account(mired):
    m = mired(config=allowed(20, 100), tarpit="time = 0")
    nothing = m.control("show", "carol@example.test")
    assert nothing.returncode != 0 and "nothing is known of" in nothing.stderr
    with session(m, "127.96.1.1") as client:
        assert send(client, 7).code == 250
    assert sends_until_refused(m, "127.96.2.1")[0] == 2
    with Client(m.submission, source="127.96.9.1") as client:
        assert log_in(client, password="wrong").code == 535
    m.booked()
    shown = m.control("show", USER).stdout
    assert "7 of 20" in shown and "2 of 2" in shown and "127.96.1.0/24" in shown and "127.96.2.0/24" in shown
    about = json.loads(m.control("--json", "show", USER.upper()).stdout)["account"]
    assert about["per_hour"]["allowed"] == 20 and 6 < about["per_hour"]["used"] <= 7
    assert about["guesses"] == 1
    new = {n["network"]: n["new"] for n in about["networks"]}
    assert new == {"127.96.1.0/24": False, "127.96.2.0/24": True}
    assert m.control("release", USER).returncode == 0
    about = json.loads(m.control("--json", "show", USER).stdout)["account"]
    assert about["per_hour"]["used"] == 0 and about["guesses"] == 0
    assert [n["network"] for n in about["networks"]] == ["127.96.1.0/24"]
    assert sends_until_refused(m, "127.96.1.1", most=20)[0] == 20
    assert m.log.wait(r'event=control .*release.*alice@example\.test')
