"""AUTH SCRAM-SHA-256 and -PLUS: with a file and with Dovecot, by real clients, and what it must not tell."""

import hashlib
import re
import shutil
import ssl
import subprocess
import time

import pytest

from lib import ports, processes, temporary
from lib.certificates import Authority
from lib.dovecot import Dovecot
from lib.mired import PASSWORDS, password_file
from lib.scram import Login, password_file as scram_file, stored
from lib.smtp import Client
from lib.waiting import PATIENCE, until

USER, PASSWORD = "alice@example.test", "wonderland"
NOBODY = "nobody@example.test"


@pytest.fixture(scope="module")
def tls():
    """(the authority's file, lines for mired.conf)"""
    folder = temporary.folder("scram-")
    authority = Authority(folder)
    certificate, key = authority.issue("localhost")
    yield authority.file, f'tls {{ certificate = "{certificate}" key = "{key}" }}\n'
    temporary.remove(folder)


@pytest.fixture
def dovecot():
    started = []

    def start(**options):
        started.append(Dovecot(mechanisms="plain login scram-sha-256", **options))
        return started[-1].start()

    yield start
    for d in started:
        d.stop()
        print(f"--- Dovecot's log\n{d.log[-5000:]}")
        d.remove()


@pytest.fixture
def m(mired, tls):
    """A mired whose file of passwords is all SCRAM's; no holds."""
    return mired(tarpit="time = 0", config=tls[1], stored=scram_file)


def ready(m, mechanism="SCRAM-SHA-256"):
    """A client that is offered it (Dovecot may have to be asked first)."""


    def offered():
        client = Client(m.submission)
        if mechanism in client.ehlo().text.split():
            return client
        client.close()
        return None

    return until(offered, every=0.05)


def gsasl(m, authority, mechanism, user=USER, password=PASSWORD):
    """GNU SASL's own client over STARTTLS; true when it is in and trusts the server."""
    done = subprocess.run(
        ["gsasl", "--smtp", "--connect", f"localhost:{m.submission}", "-m", mechanism, "-a", user, "-p", password,
         "--x509-ca-file", authority, *([] if "PLUS" in mechanism else ["--no-cb"])],
        input="", capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    print(done.stdout[-600:], done.stderr[-300:])
    return done.returncode == 0 and "235 " in done.stdout


def test_gnu_sasl_logs_in_with_scram_and_bound_to_tls(m, tls):
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN"):
        assert gsasl(m, tls[0], mechanism), mechanism
        assert not gsasl(m, tls[0], mechanism, password="guess"), mechanism
    assert not gsasl(m, tls[0], "SCRAM-SHA-256", user=NOBODY)


@pytest.mark.fast
def test_what_dovecots_tool_writes_is_taken_by_every_mechanism(mired):
    if not shutil.which("doveadm"):
        pytest.skip("Dovecot is not installed")
    written = subprocess.run(
        ["doveadm", "pw", "-s", "SCRAM-SHA-256", "-p", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    m = mired(tarpit="time = 0", stored=lambda _: f"{USER}:{written}\n")
    with ready(m) as client:
        assert Login(client, USER, PASSWORD + "x").log_in().code == 535
        assert client.login(USER, PASSWORD + "x").code == 535
        assert Login(client, USER, PASSWORD).log_in().code == 235
        client.must(f"MAIL FROM:<{USER}>")
    with ready(m) as client:
        assert client.login(USER, PASSWORD).code == 235


@pytest.mark.fast
def test_who_does_not_exist_is_not_told_from_a_wrong_password(mired, m):
    seen = {}
    for _ in range(2):
        for user in (USER, NOBODY):
            with ready(m) as client:
                login = Login(client, user, "guess")
                assert login.begin().code == 334
                shape = (len(login.salt), login.iterations, len(login.whole) - len(login.nonce))
                seen.setdefault(user, set()).add((login.salt, shape))
                reply = login.prove()
                assert reply.code == 535 and "5.7.8" in reply
    assert all(len(answers) == 1 for answers in seen.values()), seen  # the same salt each time
    (known,), (unknown,) = seen[USER], seen[NOBODY]
    assert known[0] != unknown[0] and known[1] == unknown[1]
    m.stop()
    m.start()  # and after a restart
    with ready(m) as client:
        login = Login(client, NOBODY, "guess")
        login.begin()
        assert login.salt == unknown[0]


def test_it_is_offered_when_every_line_has_it_and_follows_the_file(mired):
    # One of each: others look at the file, or hear of it, in their own time.
    m = mired(tarpit="time = 0", stored=scram_file, workers=1, config="clerks = 1")
    with ready(m):
        pass
    m.passwords.write_text(scram_file(PASSWORDS) + password_file({"carol@example.test": "carol"}))

    def offered():
        with Client(m.submission) as client:
            return "SCRAM-SHA-256" in client.ehlo()

    until(lambda: not offered())
    with Client(m.submission) as client:
        client.ehlo()
        assert Login(client, USER, PASSWORD).begin().code == 504
        assert client.login("carol@example.test", "carol").code == 235
    m.passwords.write_text(scram_file(PASSWORDS))
    until(offered)


def test_a_failed_scram_is_held_and_booked_on_client_and_account(mired):
    m = mired(tarpit="time = 1s growth = 1 pace_after = 2", stored=scram_file, config='log_level = "debug"')
    with ready(m) as client:
        login = Login(client, USER, "guess")
        assert login.begin().code == 334 and "event=hold" not in m.log.text  # tells nothing, so it does not wait
        reply = login.prove()
        assert reply.code == 535 and reply.seconds >= 0.99
        m.booked()
        shown = m.control("show", client.source).stdout
        assert "offences" in shown and "1.0" in shown, shown
    for _ in range(3):  # from anywhere: the account is slow for who has not logged in from there
        with ready(m) as guesser:
            assert not Login(guesser, USER, "guess").log_in().ok
        m.booked()
    with ready(m) as client:
        login = Login(client, USER, PASSWORD)
        login.begin()
        assert login.prove().code == 334
        # The verdict, good or bad, waits for its turn: a second after that on the last guess, which was held for one.
        assert time.monotonic() - guesser.begun >= 1.9
        assert client.say("").code == 235


def test_a_login_that_is_dropped_half_way_harms_nobody(m):
    dropped = [ready(m) for _ in range(20)]
    for i, client in enumerate(dropped):
        Login(client, USER, PASSWORD).begin()
        if i % 2:
            assert client.say("*").code == 501
            assert client.login(USER, PASSWORD).code == 235
        client.close()
    with ready(m) as client:
        assert Login(client, USER, PASSWORD).log_in().code == 235


def test_a_clerk_that_dies_between_the_messages_makes_it_later(mired):
    m = mired(tarpit="time = 20s", stored=scram_file)
    m.deaths_expected = True
    with ready(m) as client:
        login = Login(client, USER, PASSWORD)
        login.begin()
        processes.kill_all(m.processes("clerk"))
        reply = login.prove()
        assert reply.code == 454 and "4.7.0" in reply and reply.seconds < 19
        assert Login(client, USER, PASSWORD).log_in().code == 235


def test_many_logins_at_once_each_find_their_own_clerk(mired):
    m = mired(tarpit="time = 0", config="clerks = 4", stored=scram_file)
    clients = [ready(m) for _ in range(60)]
    logins = [Login(c, USER, PASSWORD if i % 3 else "guess") for i, c in enumerate(clients)]
    for login in logins:
        assert login.begin().code == 334
    for i, login in enumerate(logins):
        assert login.prove().code == (334 if i % 3 else 535)
        if i % 3:
            assert login.client.say("").code == 235
    for client in clients:
        client.close()


def test_dovecot_logs_in_by_every_mechanism_that_it_offers(mired, dovecot, tls):
    d = dovecot(users={USER: stored(PASSWORD), "bob@example.test": "{PLAIN}builder"})
    m = mired(tarpit="time = 0", config=f'{tls[1]}auth "dovecot" {{ path = "{d.auth}" }}', passwords=None)
    with Client(m.submission) as client:
        words = client.ehlo().text.split()
        assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(words) and "SCRAM-SHA-256-PLUS" not in words
    for mechanism in ("SCRAM-SHA-256", "PLAIN", "LOGIN"):
        for user, password in ((USER, PASSWORD), ("bob@example.test", "builder")):
            assert gsasl(m, tls[0], mechanism, user, password), (mechanism, user)
            assert not gsasl(m, tls[0], mechanism, user, password + "x"), (mechanism, user)
    until(lambda: "scram-sha-256(alice@example.test,127.0.0.1): Password mismatch" in d.log)


def test_whom_dovecot_does_not_let_in_here_is_not_let_in(mired, dovecot):
    """Dovecot says OK for them, with a field: to a suspended account's password, and to any password before a proxy."""
    d = dovecot(users={"gone@example.test": stored("pw"), "moved@example.test": stored("pw"), "any@example.test": "{PLAIN}"},
                fields={"gone@example.test": "nologin=y reason=Unpaid", "moved@example.test": "proxy=y host=127.0.0.9",
                        "any@example.test": "nopassword=y proxy=y host=127.0.0.9"})
    m = mired(tarpit="time = 0", config=f'auth "dovecot" {{ path = "{d.auth}" }}', passwords=None)
    for user, right, wrong in (("gone@example.test", 535, 535), ("moved@example.test", 454, 535), ("any@example.test", 454, 454)):
        for password, code in (("pw", right), ("pws", wrong)):
            with Client(m.submission) as client:
                client.ehlo()
                assert client.login(user, password).code == code, (user, password)
    for user, code in (("gone@example.test", 535), ("moved@example.test", 454)):
        with ready(m) as client:
            assert Login(client, user, "pw").log_in().code == code
    assert m.log.text.count("may not log in (`nologin`): Unpaid") == 1
    assert m.log.text.count("passes logins of") == 1
    with ready(m) as client:
        assert client.login("bob@example.test", "builder").code == 235


def test_dovecots_word_on_who_exists_is_kept_back(mired, dovecot):
    d = dovecot(users={USER: stored(PASSWORD)})
    m = mired(tarpit="time = 0", config=f'auth "dovecot" {{ path = "{d.auth}" }}', passwords=None)
    shapes = set()
    for user in (USER, NOBODY):
        salts = set()
        for _ in range(2):
            with ready(m) as client:
                login = Login(client, user, "guess")
                assert login.begin().code == 334
                salts.add(login.salt)
                shapes.add((len(login.salt), login.iterations, len(login.whole) - len(login.nonce)))
                assert login.prove().code == 535
        assert len(salts) == 1
    assert len(shapes) == 1, shapes


def test_dovecot_down_is_later_and_its_mechanisms_follow_its_restart(mired, dovecot):
    d = dovecot(users={USER: stored(PASSWORD)})
    m = mired(tarpit="time = 20s", config=f'auth "dovecot" {{ path = "{d.auth}" }}', passwords=None)
    with ready(m) as client:
        login = Login(client, USER, PASSWORD)
        login.begin()
        d.stop()
        reply = login.prove()
        assert reply.code == 454 and reply.seconds < 15
        reply = Login(client, USER, PASSWORD).begin()
        assert reply.code == 454 and "4.7.0" in reply and reply.seconds < 15
    d.file.write_text(d.file.read_text().replace("plain login scram-sha-256", "plain"))
    d.start()

    def offers(words):
        with Client(m.submission) as client:
            return f"250-AUTH {words}" in client.ehlo().lines

    until(lambda: offers("PLAIN"))


def test_scram_is_not_offered_beside_a_verifier_that_has_none(mired, dovecot):
    d = dovecot(users={USER: stored(PASSWORD)})
    m = mired(
        tarpit="time = 0",
        config=f'auth "dovecot" {{ path = "{d.auth}" }}\nauth "backend" {{ }}',
        backend=f'backend "smtp://127.0.0.1:{ports.free()}" {{ }}',
        stored=scram_file,
    )
    with Client(m.submission) as client:
        assert "250-AUTH PLAIN LOGIN" in client.ehlo().lines
        assert client.login(USER, PASSWORD).code == 235


@pytest.mark.fast
def test_a_login_bound_to_another_connection_is_refused(m):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plus = dict(header="p=tls-exporter,,", mechanism="SCRAM-SHA-256-PLUS")
    with Client(m.submission) as client:
        client.ehlo()
        client.must("STARTTLS", 220)
        client.socket = context.wrap_socket(client.socket)
        assert "SCRAM-SHA-256-PLUS" in client.ehlo()
        assert Login(client, USER, PASSWORD, binding=b"\0" * 32, **plus).log_in().code == 535
        assert Login(client, USER, PASSWORD, header="y,,").begin().code == 535  # somebody has hidden -PLUS
        assert Login(client, USER, PASSWORD).log_in().code == 235
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Client(m.submission) as client:
        client.ehlo()
        client.must("STARTTLS", 220)
        client.socket = context.wrap_socket(client.socket)
        assert "SCRAM-SHA-256-PLUS" not in client.ehlo()
        assert Login(client, USER, PASSWORD, header="y,,").log_in().code == 235


@pytest.mark.fast
def test_the_certificates_hash_binds_too(m):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Client(m.submission) as client:
        client.ehlo()
        client.must("STARTTLS", 220)
        client.socket = context.wrap_socket(client.socket)
        client.ehlo()
        shown = hashlib.sha256(client.socket.getpeercert(binary_form=True)).digest()
        login = Login(
            client, USER, PASSWORD, header="p=tls-server-end-point,,", binding=shown,
            mechanism="SCRAM-SHA-256-PLUS",
        )  # fmt: skip
        assert login.log_in().code == 235


def distance(a, b):
    """Kolmogorov and Smirnov: how far two samples' distribution functions are apart."""
    points = sorted([*a, *b])
    return max(abs(sum(x <= p for x in a) / len(a) - sum(x <= p for x in b) / len(b)) for p in points)


@pytest.mark.long
def test_dovecots_first_answer_tells_neither_by_time_nor_by_iterations_who_exists(mired, dovecot):
    """Field notes G8: its users have 10,000 iterations, and it keeps "no such user" back for half a second."""
    d = dovecot(users={USER: stored(PASSWORD, iterations=10000)})
    m = mired(tarpit="time = 0", passwords=None, config=f'auth "dovecot" {{ path = "{d.auth}" }}')
    with ready(m) as client:  # somebody logs in
        assert Login(client, USER, PASSWORD).log_in().code == 235


    def apart():
        """How far the times of the two are apart, by twelve answers each."""
        seen, seconds = {USER: set(), NOBODY: set()}, {USER: [], NOBODY: []}
        for _ in range(12):
            for user in (USER, NOBODY):
                with ready(m) as client:
                    login = Login(client, user, "guess")
                    reply = login.begin()
                    assert reply.code == 334
                    seconds[user].append(reply.seconds)
                    seen[user].add((login.iterations, len(login.salt)))
        assert seen[USER] == seen[NOBODY] == {(10000, 24)}, seen
        print(seconds)
        return distance(seconds[USER], seconds[NOBODY])

    # 1.95 sqrt(2 / 12): chance alone leads beyond it once in a thousand samples, and twice running once in a million.
    # Half a second, which every answer about the one has and none about the other, leads beyond it each time.
    assert apart() <= 0.8 or apart() <= 0.8
    m.stop()
    m.start()  # what the answers looked like is remembered
    with ready(m) as client:
        login = Login(client, NOBODY, "guess")
        assert login.begin().code == 334 and login.iterations == 10000


def test_who_asks_for_names_and_leaves_has_guessed(mired):
    """Field notes G8: fifty names in 0.04 s, without an offence."""
    m = mired(tarpit="time = 500ms max = 2s growth = 1", stored=scram_file)
    source, home = ports.stranger(), ports.stranger()
    with Client(m.submission, source=home) as client:
        client.ehlo()
        assert Login(client, USER, PASSWORD).log_in().code == 235
    m.booked()
    begun = time.monotonic()
    for i in range(8):
        mark = m.log.mark()
        with Client(m.submission, source=source) as client:
            client.ehlo()
            before = time.monotonic()  # its turn comes later
            assert Login(client, f"name{i}@example.test", "guess").begin().code in (334, 454)
        m.log.wait(rf"event=session client={source} " + (".*offences=1" if i == 0 else ""), since=mark)
        m.booked()
    assert time.monotonic() - begun > 2  # five of them waited for a turn
    with Client(m.submission, source=source) as client:  # giving it up by "*" is no better
        client.ehlo()
        login = Login(client, "other@example.test", "guess")
        mark = m.log.mark()
        if login.begin().code == 334:
            client.say("*")
            assert time.monotonic() - before > 0.48
            client.quit()
            assert m.held(source, since=mark) > 0
    # From where the account is known it is no guess.
    for _ in range(3):
        with Client(m.submission, source=home) as client:
            client.ehlo()
            assert Login(client, USER, PASSWORD).begin().code == 334
    with Client(m.submission, source=home) as client:
        client.ehlo()
        client.say("QUIT")
    assert not re.search(rf"event=session client={home} .*offences=[1-9]", m.log.text)
