"""Directories are asked many questions at once, and in a fair order (field notes 2 and 26)."""

import collections
import concurrent.futures
import socket
import socketserver
import statistics
import threading
import time

import pytest

from lib import ports
from lib.mired import PEOPLE
from lib.openldap import ADMIN, BASE, OpenLDAP
from lib.smtp import Client, Hung
from lib.waiting import PATIENCE

FLAT = "growth = 1 drip = 0 patience_offences = 0 "


class Botnet:
    """Asks for made-up people from `addresses` addresses, with `each` connections from each, while in its context."""

    def __init__(self, port, addresses, each, networks=True):
        sources = [ports.stranger() for _ in range(addresses)]
        if not networks:
            sources = [f"127.9.9.{1 + n}" for n in range(addresses)]
        self.port, self.sources, self.each = port, sources, each
        self.codes, self.lock, self.over = collections.Counter(), threading.Lock(), threading.Event()
        self.asking, self.answers = threading.Semaphore(0), threading.Semaphore(0)

    def harvest(self, source, n):
        try:
            with Client(self.port, source=source) as c:
                c.say("EHLO x.test")
                c.say("MAIL FROM:<a@b.test>")
                for k in range(1000):
                    if self.over.is_set():
                        return
                    c.send(f"RCPT TO:<u{n}.{k}.{source}@example.test>\r\n")
                    self.asking.release()
                    code = c.reply().code
                    with self.lock:
                        self.codes[code] += 1
                    self.answers.release()
        except (Hung, OSError):
            pass

    def wait_for(self, answers, timeout=2):
        """So many more, or till time is up: the tarpit may keep all of them."""
        end = time.monotonic() + timeout
        for _ in range(answers):
            if not self.answers.acquire(timeout=max(0, end - time.monotonic())):
                return

    def __enter__(self):
        for source in self.sources:
            for n in range(self.each):
                threading.Thread(target=self.harvest, args=(source, n), daemon=True).start()
        for _ in self.sources:  # it has begun
            assert self.asking.acquire(timeout=PATIENCE)
        return self

    def __exit__(self, *_):
        self.over.set()


def ask(port, recipient, source=None):
    """The code of a good sender's RCPT, and how long it took."""
    with Client(port, source=source or ports.stranger()) as c:
        c.ehlo()
        c.must("MAIL FROM:<good@sender.test>")
        begun = time.monotonic()
        code = c.say(f"RCPT TO:<{recipient}>").code
        return code, time.monotonic() - begun


@pytest.mark.alone
@pytest.mark.parametrize(
    "setting, most",
    [
        ("smtpd_error_sleep_time = 1s", 15),
        ("smtpd_error_sleep_time = 1s\nsmtpd_soft_error_limit = 1", 18),  # waits after a single error already
        ("smtpd_error_sleep_time = 0", 12),
    ],
)
def test_good_mail_to_people_not_asked_for_lately_beside_a_botnet(mired, postfix, setting, most):
    people = [f"person{n}@example.test" for n in range(20)]
    backend = postfix(extra=setting, boxes=[*PEOPLE, *people])
    m = mired(
        tarpit="time = 1s " + FLAT,
        backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}',
        config='recipients "backend" { }',
        recipients=None,
    )
    with Botnet(m.port, 40, 5) as botnet:
        took = []
        for person in people:
            took.append(ask(m.port, person))
            botnet.wait_for(5)
    seconds = sorted(s for _, s in took)
    print(f"{[f'{s:.2f}' for _, s in took]}\nmedian {statistics.median(seconds):.3f} s, most {seconds[-1]:.3f} s; the botnet: {dict(botnet.codes)}")
    assert [code for code, _ in took] == [250] * len(people)
    assert seconds[-1] < most  # the botnet has 200 questions under way
    assert m.log.text.count("is down") == 0


class Slow(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Speaks socketmap, each answer after `delay` seconds; serves `most` connections and closes all others. `peak`: how
    many questions were under way at once, `open` how many connections there are. The first answers wait for a peak of
    `together`. A question for `breaks` breaks the connection."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, delay, most=10**6, people=(), together=0, breaks=None):
        self.delay, self.most, self.people, self.together, self.breaks = delay, most, people, together, breaks
        self.lock, self.open, self.under_way, self.peak = threading.Condition(), 0, 0, 0
        super().__init__(("127.0.0.1", ports.free()), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            with self.server.lock:
                if self.server.open >= self.server.most:
                    return
                self.server.open += 1
            try:
                while True:
                    length = b""
                    while not length.endswith(b":"):
                        octet = self.rfile.read(1)
                        if not octet:
                            return
                        length += octet
                    question = self.rfile.read(int(length[:-1]) + 1)[:-1].decode()
                    if self.server.breaks and question.endswith(self.server.breaks):
                        return
                    self.server.wait(+1)
                    time.sleep(self.server.delay)
                    self.server.wait(-1)  # before the other side can know the answer
                    answer = b"OK 1" if question.split(" ", 1)[1] in self.server.people else b"NOTFOUND "
                    self.wfile.write(b"%d:%s," % (len(answer), answer))
            finally:
                with self.server.lock:
                    self.server.open -= 1

    def wait(self, more):
        """A question has come (+1), or is answered."""
        with self.lock:
            self.under_way += more
            self.peak = max(self.peak, self.under_way)
            self.lock.notify_all()
            if more > 0:
                self.lock.wait_for(lambda: self.peak >= self.together, PATIENCE)


@pytest.fixture
def slow():
    made = []

    def start(*arguments, **options):
        server = Slow(*arguments, **options)
        made.append(server)
        return server

    yield start
    for server in made:
        server.shutdown()
        server.server_close()


def socketmap(server, more=""):
    return f'recipients "socketmap" {{ path = "inet:127.0.0.1:{server.server_address[1]}" map = "users" }} {more}'


@pytest.mark.alone
@pytest.mark.parametrize("addresses, each, networks", [(1, 300, True), (60, 4, False), (30, 4, True)])
def test_a_flood_of_questions_does_not_keep_good_ones_waiting(mired, slow, addresses, each, networks):
    """From one address, from one network, from many networks; the directory takes half a second for each."""
    people = [f"person{n}@example.test" for n in range(6)]
    directory = slow(0.5, people=people)
    m = mired(tarpit="time = 1s " + FLAT, recipients=None, config=socketmap(directory))
    with Botnet(m.port, addresses, each, networks) as botnet:
        took = [ask(m.port, person) for person in people]
    print(f"{[f'{s:.2f}' for _, s in took]} s; the flood: {dict(botnet.codes)}; {directory.peak} connections")
    assert [code for code, _ in took] == [250] * len(people)
    assert max(s for _, s in took) < 15
    assert directory.peak <= 32


def ask_together(m, recipients):
    with concurrent.futures.ThreadPoolExecutor(len(recipients)) as pool:
        return list(pool.map(lambda r: ask(m.port, r), recipients))


@pytest.mark.parametrize("lookups", [32, 4])
def test_so_many_lookups_are_made_at_once_as_are_configured(mired, slow, lookups):
    people = [f"person{n}@example.test" for n in range(24)]
    directory = slow(0.2, people=people, together=min(lookups, len(people)))
    # One clerk: two share the number, and one of them may have taken more queries than it can ask at once.
    m = mired(tarpit="time = 0", recipients=None, config=socketmap(directory, f"lookups = {lookups}\nclerks = 1"))
    took = ask_together(m, people)
    assert [code for code, _ in took] == [250] * len(people)
    assert directory.peak == min(lookups, len(people))


@pytest.mark.parametrize("clerks", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_directory_that_takes_few_connections_is_asked_over_those(mired, slow, most, clerks):
    """A connection that is refused while others are answered, of this clerk or another, is no directory that is down."""
    people = [f"person{n}@example.test" for n in range(120)]
    directory = slow(0.02, most, people)
    m = mired(tarpit="time = 0", recipients=None, config=socketmap(directory, f"clerks = {clerks}"))
    for first in range(0, len(people), 24):
        codes = [code for code, _ in ask_together(m, people[first : first + 24])]
        assert codes == [250] * len(codes), codes
    assert directory.peak <= most
    assert "is down" not in m.log.text


def test_a_clerk_that_needs_its_connections_no_more_gives_them_up(mired, slow):
    """The directory's only connection is kept by the clerk that asked last; other networks are asked for by the other."""
    people = [f"person{n}@example.test" for n in range(12)]
    directory = slow(0, 1, people)
    m = mired(tarpit="time = 0", recipients=None, config=socketmap(directory, "clerks = 2"))
    took = [ask(m.port, person) for person in people]  # each from another network
    print([f"{s:.2f}" for _, s in took])
    assert [code for code, _ in took] == [250] * len(people)
    assert "is down" not in m.log.text


def test_a_question_that_breaks_the_connection_delays_no_other(mired, slow):
    """A directory that fails at certain addresses is no directory that is crowded or down."""
    people = [f"person{n}@example.test" for n in range(160)]
    directory = slow(0.02, people=people, breaks="poison@example.test")
    m = mired(tarpit="time = 0", recipients=None, config=socketmap(directory))
    end, codes = threading.Event(), []

    def harvest():
        while not end.is_set():
            codes.append(ask(m.port, "poison@example.test")[0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        poisoners = [pool.submit(harvest) for _ in range(4)]
        try:
            for first in range(0, len(people), 16):
                took = ask_together(m, people[first : first + 16])
                assert [code for code, _ in took] == [250] * 16, took
        finally:
            end.set()
    assert all(p.result() is None for p in poisoners) and set(codes) == {451}
    assert "is down" not in m.log.text


def test_ldap_is_asked_many_questions_at_once(mired):
    """No answer passes before eight questions have been asked."""
    people = [f"person{n}" for n in range(24)]
    server = OpenLDAP()
    server.fill([(p, [f"smtp:{p}@example.test"], 512) for p in people]).start()
    listener = socket.create_server(("127.0.0.1", ports.free()), backlog=64)
    target = server.url.rsplit(":", 1)[1].strip("/")

    asked, many, lock = [], threading.Event(), threading.Lock()

    def back(from_server, to_client, searching):
        while octets := from_server.recv(65536):
            if searching.is_set() and not many.wait(PATIENCE):
                return
            to_client.sendall(octets)

    def forward(client):
        searching = threading.Event()  # before that it is the answer to its bind
        with socket.create_connection(("127.0.0.1", int(target))) as s:
            threading.Thread(target=back, args=(s, client, searching), daemon=True).start()
            try:
                while octets := client.recv(65536):
                    if questions := octets.count(b"proxyAddresses"):
                        searching.set()
                        with lock:
                            asked.extend([s] * questions)
                            if len(asked) >= 8:
                                many.set()
                    s.sendall(octets)
            except OSError:
                pass

    def accept():
        for client in ports.accepted(listener):
            threading.Thread(target=forward, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        m = mired(
            tarpit="time = 0", recipients=None,
            config=f'recipients "ldap" {{ url = "ldap://127.0.0.1:{listener.getsockname()[1]}" base = "{BASE}" '
            f'bind_dn = "{ADMIN}" password_file = "{server.secret}" filter = "(proxyAddresses=smtp:%s)" }}',
        )  # fmt: skip
        took = ask_together(m, [f"{p}@example.test" for p in people])
        assert many.is_set()
        assert [code for code, _ in took] == [250] * len(people)
    finally:
        listener.close()
        server.stop()
        server.remove()
