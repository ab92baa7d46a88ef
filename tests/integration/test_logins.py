"""AUTH: who may send anywhere, and that nobody learns a password here."""

import base64
import contextlib
import crypt
import socket
import statistics
import threading

import pytest

from lib.mired import PASSWORDS
from lib.scripted import HELLO, Scripted
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

USER, PASSWORD = "alice@example.test", "wonderland"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def token(user, password):
    """Of AUTH PLAIN."""
    return b64(f"\0{user}\0{password}")


@pytest.fixture
def m(mired):
    return mired(tarpit="time = 0")


@pytest.mark.fast
@pytest.mark.parametrize("user,password", PASSWORDS.items())
def test_plain_takes_the_right_password_and_no_other(m, user, password):
    with Client(m.submission) as c:
        assert "AUTH PLAIN LOGIN" in c.ehlo()
        reply = c.login(user, password + "x")
        assert reply.code == 535 and "5.7.8" in reply
        assert c.login(user, password).code == 235


def test_plain_may_be_asked_for_step_by_step(m):
    with Client(m.submission) as c:
        c.ehlo()
        c.must("AUTH PLAIN", 334)
        assert c.say(b64(f"\0{USER}\0{PASSWORD}")).code == 235


@pytest.mark.fast
def test_login_asks_for_name_and_password(m):
    with Client(m.submission) as c:
        c.ehlo()
        assert base64.b64decode(c.must("AUTH LOGIN", 334).lines[0][4:]).lower().startswith(b"username")
        assert base64.b64decode(c.must(b64(USER), 334).lines[0][4:]).lower().startswith(b"password")
        assert c.say(b64(PASSWORD)).code == 235


def test_auth_can_be_cancelled(m):
    with Client(m.submission) as c:
        c.ehlo()
        c.must("AUTH LOGIN", 334)
        assert c.say("*").code == 501
        assert c.login(USER, PASSWORD).code == 235


def test_a_second_login_and_one_within_a_transaction_are_out_of_order(m):
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        assert c.login(USER, PASSWORD).code == 503
        c.must("RSET")
        assert c.login(USER, PASSWORD).code == 235
        assert c.login(USER, PASSWORD).code == 503


def test_an_unknown_mechanism_and_bad_base64_are_refused(m):
    with Client(m.submission) as c:
        c.ehlo()
        assert c.say("AUTH CRAM-MD5").code == 504
        assert c.say("AUTH PLAIN !!!!").code == 501


def slow_to_check(passwords):
    """Hashes that cost so much that a check, and a missing one, can be seen on any machine."""
    salt = crypt.mksalt(crypt.METHOD_SHA256, rounds=100_000)
    return "".join(f"{user}:{crypt.crypt(word, salt)}\n" for user, word in passwords.items())


def test_an_unknown_user_takes_as_long_as_a_wrong_password(mired):
    m = mired(tarpit="time = 0", stored=slow_to_check)
    seconds = {"alice@example.test": [], "nobody@example.test": []}
    for _ in range(9):
        for user, took in seconds.items():
            with Client(m.submission) as c:
                c.ehlo()
                reply = c.login(user, "guess")
                assert reply.code == 535
                took.append(reply.seconds)
    known, unknown = (statistics.median(s) for s in seconds.values())
    assert max(known, unknown) < 4 * min(known, unknown)  # without a check the difference would be far larger


def test_a_submission_listener_takes_no_mail_without_a_login(m):
    with Client(m.submission) as c:
        c.ehlo()
        assert c.say("MAIL FROM:<a@b.test>").code == 530
        assert c.login(USER, PASSWORD).code == 235
        assert c.message(USER, "bob@example.test").code == 250
    assert len(m.delivered("bob@example.test")) == 1


def test_a_user_may_send_anywhere_the_backend_takes_it(mired, postfix):
    remote = postfix(domains="foreign.test", boxes=("someone@foreign.test",))
    m = mired(tarpit="time = 0", backend=f'backend "smtp://127.0.0.1:{remote.port}" {{ }}')
    assert deliver(m.port, "a@b.test", "someone@foreign.test").code == 550
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login(USER, PASSWORD).code == 235
        assert c.message(USER, "someone@foreign.test").code == 250
    assert len(remote.delivered("someone@foreign.test")) == 1


def test_the_store_cannot_send_abroad(m):
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login(USER, PASSWORD).code == 235
        reply = c.message(USER, "someone@foreign.test")
        assert reply.code == 550 and "5.1.2" in reply
    m.log.wait("event=session")
    assert "level=warn" not in m.log.text


def test_no_password_stands_in_the_log(mired):
    m = mired(tarpit="time = 0", config='log_level = "debug"')
    for password in (PASSWORD, "not-my-password"):
        with Client(m.submission) as c:
            c.ehlo()
            c.login(USER, password)
            c.quit()
    m.log.wait("event=session")
    log = m.log.text
    for secret in (PASSWORD, "not-my-password", b64(f"\0{USER}\0{PASSWORD}"), b64(PASSWORD)):
        assert secret not in log


def address_from_afar():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            return None


def test_a_password_is_not_taken_in_the_clear_from_afar(mired):
    address = address_from_afar()
    if not address or address.startswith("127."):
        pytest.skip("this machine has loopback addresses only")
    m = mired(tarpit="time = 0", host=address)
    with Client(m.submission, host=address, source=address) as c:
        assert "AUTH" not in c.ehlo()
        reply = c.login(USER, PASSWORD)
        assert reply.code == 538 and "5.7.11" in reply


# ---- a server behind that checks passwords, and hangs ----

SLOW = 12  # users whose logins the server behind never answers


class Hanging:
    """Answers AUTH by the user's name: "right" and "wrong" at once, "slow..." when the test lets it, "drip..." an octet
    at a time."""

    def __init__(self):
        self.release = threading.Event()
        self.asked = threading.Semaphore(0)

    def __call__(self, verb, argument, session):
        if verb != "AUTH":
            return None
        user = base64.b64decode(argument.split()[1]).split(b"\0")[1].decode()
        if user.startswith("slow"):
            self.asked.release()
            self.release.wait(PATIENCE)
        if user.startswith("drip"):
            self.asked.release()
            while not self.release.wait(0.5):
                session.connection.sendall(b"5")
        return "235 2.7.0 yes" if user == "right" else "535 5.7.8 no"


@pytest.mark.parametrize("kind", ["slow", "drip"])
def test_a_server_behind_that_hangs_on_logins_delays_nobody_else(mired, kind):
    hanging = Hanging()
    with Scripted(hanging, hello=(*HELLO, "AUTH PLAIN")) as backend, contextlib.ExitStack() as clients:
        m = mired(
            backend=backend.block, config='clerks = 1\nauth "backend" { }', passwords={"bob@example.test": "builder"}, tarpit="time = 0"
        )
        for n in range(SLOW):
            client = clients.enter_context(Client(m.submission))
            client.ehlo()
            client.send(f"AUTH PLAIN {token(f'{kind}{n}', 'x')}\r\n")
        for _ in range(SLOW):
            assert hanging.asked.acquire(timeout=PATIENCE)
        with Client(m.port) as client:
            client.ehlo()
            replies = client.envelope("a@b.test", ["alice@example.test", "nobody@example.test"])
            assert [r.code for r in replies] == [250, 550] and max(r.seconds for r in replies) < 30
        for user, code in (("right", 235), ("wrong", 535)):
            with Client(m.submission) as client:
                client.ehlo()
                reply = client.say(f"AUTH PLAIN {token(user, 'x')}")
                assert reply.code == code and reply.seconds < 30, (user, reply)
        # The next verifier is asked after this one's no.
        with Client(m.submission) as client:
            client.ehlo()
            reply = client.say(f"AUTH PLAIN {token('bob@example.test', 'builder')}")
            assert reply.code == 235 and reply.seconds < 30
        hanging.release.set()


DOVECOT_HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\nMECH\tLOGIN\nMECH\tSCRAM-SHA-256\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"


@contextlib.contextmanager
def silent_dovecot(path, greets):
    """A socket that takes connections and requests and answers none; the greeting only if `greets`."""
    taken = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(64)

        def greet():
            while True:
                try:
                    taken.append(listener.accept()[0])
                    taken[-1].sendall(DOVECOT_HELLO)
                except OSError:
                    return

        if greets:
            threading.Thread(target=greet, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


def offered(m):
    with Client(m.submission) as client:
        return client.ehlo().text


@pytest.mark.parametrize("greets", [False, True])
def test_a_dovecot_that_hangs_delays_no_recipients(mired, tmp_path, greets):
    """Whatever people's programs log in with, again and again. There is one clerk, which also knows the recipients."""
    first = f"AUTH SCRAM-SHA-256 {b64('n,,n=alice@example.test,r=abc')}" if greets else f"AUTH PLAIN {token(USER, PASSWORD)}"
    tmp_path.chmod(0o755)
    done = threading.Event()

    def log_in(m):
        while not done.is_set():
            with contextlib.suppress(OSError), Client(m.submission) as client:
                client.ehlo()
                codes.append(client.say(first).code)

    codes = []
    with silent_dovecot(tmp_path / "auth", greets):
        m = mired(tarpit="time = 0", passwords=None, config=f'clerks = 1\nauth "dovecot" {{ path = "{tmp_path}/auth" }}')
        wanted = "SCRAM-SHA-256" if greets else "PLAIN"
        until(lambda: wanted in offered(m))
        people = [threading.Thread(target=log_in, args=(m,), daemon=True) for _ in range(6)]
        for thread in people:
            thread.start()
        try:
            for n in range(20):
                with Client(m.port) as client:
                    client.ehlo()
                    replies = client.envelope("a@b.test", ["alice@example.test", f"nobody{n}@example.test"])
                    assert [r.code for r in replies] == [250, 550], n
        finally:
            done.set()
        for thread in people:
            thread.join(60)
    assert set(codes) == {454}


def test_more_logins_than_are_asked_at_once_wait_and_are_all_answered(mired):
    hanging = Hanging()
    many = 60
    with Scripted(hanging, hello=(*HELLO, "AUTH PLAIN")) as backend, contextlib.ExitStack() as stack:
        m = mired(backend=backend.block, config='clerks = 1\nauth "backend" { }', passwords=None, tarpit="time = 0")
        clients = [stack.enter_context(Client(m.submission)) for _ in range(many)]
        for n, client in enumerate(clients):
            client.ehlo()
            client.send(f"AUTH PLAIN {token(f'slow{n}', 'x')}\r\n")
        for _ in range(16):
            assert hanging.asked.acquire(timeout=PATIENCE)
        hanging.release.set()
        assert [client.reply().code for client in clients] == [535] * many


def test_a_server_behind_that_never_answers_a_login_is_454_in_time(mired):
    hanging = Hanging()
    with Scripted(hanging, hello=(*HELLO, "AUTH PLAIN")) as backend:
        m = mired(backend=backend.block, config='clerks = 1\nauth "backend" { }', passwords=None, tarpit="time = 0")
        with Client(m.submission) as client:
            client.ehlo()
            reply = client.say(f"AUTH PLAIN {token('slow', 'x')}")
            assert reply.code == 454 and reply.seconds < 100
            # A stop does not wait for the thread either.
            assert m.stop() == []
        hanging.release.set()
