"""Routes: domains with directories, verifiers and backends of their own behind one mired."""

import contextlib
import json
import os
import re
import signal
import threading
import time

import pytest

from lib import ports, scrape
from lib.dovecot import Dovecot
from lib.mired import password_file
from lib.scripted import CLOSE, Scripted
from lib.smtp import Client, transaction, wait_offered
from lib.waiting import PATIENCE, until

ALICE, BOB, CAROL = "alice@a.test", "bob@b.test", "carol@shop.branches.test"
PEOPLE = (ALICE, BOB, CAROL)
DOMAINS = ("a.test", "b.test", ".branches.test")
MESSAGE = b"DKIM-Signature: v=1; d=sender.test; b=c2lnbmVk\r\nMessage-ID: <1@sender.test>\r\nSubject: one\r\n\r\nhello\r\n"
NETWORKS = [f"127.{n}.{n}.{n}" for n in range(60, 70)]


def block(backend, *domains, more=""):
    names = ", ".join(f'"{d}"' for d in domains)
    return backend.block.replace("{ }", f"{{ domains = {{ {names} }} {more} }}" if domains else f"{{ {more} }}")


def routed(mired, a, b, c, **options):
    """a.test on `a`, b.test on `b`, all else on `c`."""
    backends = "\n".join((block(a, "a.test"), block(b, "b.test"), block(c)))
    return mired(**{**dict(domains=DOMAINS, recipients=PEOPLE, backend=backends), **options})


@contextlib.contextmanager
def three(*answers, **options):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Scripted(*answers[i : i + 1], port=ports.free(), **options)) for i in range(3)]


def send(m, recipients, message=MESSAGE, source=None, parameters=""):
    """One transaction; {recipient: code} with the reply to the data for those that RCPT took, and that reply's text."""
    codes, reply = transaction(m.port, "a@sender.test", recipients, message, source, parameters)
    m.booked()  # the next try may come to another worker
    return codes, reply and reply.text


def send_until_told(m, recipients, message=MESSAGE, tries=12):
    """As a queue does, from another network each time, to those that were put off. {recipient: last code}"""
    final, left = {}, list(recipients)
    for network in (NETWORKS * 2)[:tries]:
        codes, _ = send(m, left, message, network)
        final |= codes
        left = [to for to in left if 400 <= codes[to] < 500]
        if not left:
            break
    return final


def copies(backends):
    return [backend.copies(to) for backend, to in zip(backends, PEOPLE)]


@pytest.mark.fast
def test_each_recipient_gets_its_mail_from_its_own_backend(mired):
    with three() as backends:
        m = routed(mired, *backends)
        for to in PEOPLE:
            assert send(m, [to])[0] == {to: 250}
        assert [sorted(b.mail) for b in backends] == [[ALICE], [BOB], [CAROL]]
        assert send(m, ["nobody@a.test", "x@elsewhere.test"])[0] == {"nobody@a.test": 550, "x@elsewhere.test": 550}


@pytest.mark.fast
def test_a_message_for_several_routes_goes_to_each_once(mired):
    with three() as backends:
        m = routed(mired, *backends, recipients=(*PEOPLE, "al@a.test"))
        assert send(m, [ALICE, BOB, CAROL, "al@a.test"])[0] == dict.fromkeys([ALICE, BOB, CAROL, "al@a.test"], 250)
        assert copies(backends) == [1, 1, 1] and backends[0].copies("al@a.test") == 1
        assert [sum(c.startswith("MAIL") for c in b.commands) for b in backends] == [1, 1, 1]
        line = m.log.wait(r"event=message .*result=passed")
        assert f"backend={','.join(f'smtp://127.0.0.1:{b.port}' for b in backends)} route=a.test,b.test,default" in line


def test_the_same_message_again_is_delivered_again(mired):
    """All have it and the client was told: the next one with the same octets is another one."""
    with three() as backends:
        m = routed(mired, *backends)
        for message in (MESSAGE, b"Subject: alarm\r\n\r\nno Message-ID\r\n"):
            for _ in range(2):
                assert set(send(m, PEOPLE, message)[0].values()) == {250}
        assert copies(backends) == [4, 4, 4]


@pytest.mark.fast
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("reply, code", [("552 5.2.2 over quota", 552), ("452 4.2.2 later", 452)])
def test_who_has_it_has_it_and_who_is_refused_is_told(mired, stage, reply, code):
    """Mixed answers of several backends are settled as those of one are; the retries come from other networks."""
    fails = {"on": True}

    def answer(verb, argument, session):
        return reply if verb == stage and fails["on"] else None

    with Scripted() as a, Scripted(answer) as b, Scripted() as c:
        m = routed(mired, a, b, c)
        codes, text = send(m, PEOPLE, source=NETWORKS[0])
        assert set(codes.values()) == {451} and "Recipients answered differently" in text
        assert [a.copies(ALICE), b.copies(BOB), c.copies(CAROL)] == [1, 0, 1]
        if code < 500:
            fails["on"] = False
        final = send_until_told(m, PEOPLE)
        assert final == {ALICE: 250, BOB: 250 if code < 500 else 552, CAROL: 250}
        assert [a.copies(ALICE), b.copies(BOB), c.copies(CAROL)] == [1, 1 if code < 500 else 0, 1]


@pytest.mark.fast
def test_all_refuse_is_a_refusal_and_all_put_off_is_a_delay(mired):
    with three(lambda v, a, s: "550 5.7.1 no" if v == "." else None, lambda v, a, s: "554 5.6.0 bad" if v == "." else None) as backends:
        m = routed(mired, *backends)
        codes, text = send(m, [ALICE, BOB])
        assert codes == {ALICE: 550, BOB: 550} and "5.7.1 no" in text
        for b in backends[:2]:
            b.answer = lambda v, a, s: "450 4.2.0 busy" if v == "." else None
        assert send(m, [ALICE, BOB])[0] == {ALICE: 450, BOB: 450}


@pytest.mark.parametrize("how", ["dies before the data", "dies behind the final dot", "is away"])
def test_a_backend_that_dies_costs_the_others_nothing(mired, how):
    """Law 1: a recipient gets one copy, and those of the dead backend do not lose the message."""

    def dies(verb, argument, session):
        return CLOSE if verb == ("DATA" if how == "dies before the data" else ".") else None

    with Scripted() as a, Scripted(dies, port=ports.free()) as b, Scripted() as c:
        m = routed(mired, a, b, c)
        port = b.port
        if how == "is away":
            b.stop()
        assert set(send(m, PEOPLE, source=NETWORKS[1])[0].values()) == {451}
        if how != "is away":
            b.stop()
        with Scripted(port=port) as b:
            final = send_until_told(m, PEOPLE)
            assert final == dict.fromkeys(PEOPLE, 250)
            assert [a.copies(ALICE), b.copies(BOB), c.copies(CAROL)] == [1, 1, 1]


def test_a_recipient_of_a_dead_route_is_put_off_apart_from_the_others(mired):
    """Its backend is known to be down: the message goes to the others at once, without a mixed answer."""
    with three() as backends:
        m = routed(mired, *backends)
        backends[1].stop()
        m.log.wait(rf"backend smtp://127.0.0.1:{backends[1].port} is down") if not down(m, backends[1]) else None
        codes, _ = send(m, [ALICE, BOB, CAROL])
        assert codes == {ALICE: 250, BOB: 452, CAROL: 250}
        assert send(m, [BOB])[0] == {BOB: 451}
        assert send(m, [BOB, ALICE])[0] == {BOB: 451, ALICE: 451}  # who comes first is not known to be late
        assert send_until_told(m, [ALICE]) == {ALICE: 250}
        assert backends[0].copies(ALICE) == 2


def down(m, backend):
    """Makes each worker find out: a message for it that is put off."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for _ in range(4):
            with Client(m.port) as c:
                c.ehlo()
                c.message("a@sender.test", BOB)
        if len(re.findall(rf"backend smtp://127.0.0.1:{backend.port} is down", m.log.text)) >= 2:
            return True
    return False


def test_a_worker_that_dies_between_leaves_no_second_copy(mired):
    """a.test's backend has taken it, b.test's has not answered yet, the worker is killed; another one gets the retry."""
    hangs, taken = threading.Event(), threading.Event()

    def slow(verb, argument, session):
        if verb == "." and not hangs.is_set():
            taken.set()
            hangs.wait(PATIENCE)
            return CLOSE
        return None

    with Scripted() as a, Scripted(slow) as b, Scripted() as c:
        web = ports.free()
        m = routed(mired, a, b, c, config=f'web {{ listen = "127.0.0.1:{web}" }}')
        m.deaths_expected = True
        with Client(m.port) as client:
            client.ehlo()
            client.envelope("a@sender.test", PEOPLE)
            client.must("DATA", 354)
            client.send(MESSAGE + b".\r\n")
            assert taken.wait(PATIENCE)
            settled(m, web, a, c)
            assert (a.copies(ALICE), c.copies(CAROL)) == (1, 1)
            for pid in m.processes("worker"):
                os.kill(pid, signal.SIGKILL)
        hangs.set()
        assert send_until_told(m, PEOPLE) == dict.fromkeys(PEOPLE, 250)
        assert [a.copies(ALICE), b.copies(BOB), c.copies(CAROL)] == [1, 1, 1]


def taken(web, backend):
    """How many messages a backend has taken: a worker counts one when it has read the reply, and records the copy."""
    return scrape.samples(web)[f'mired_route_messages_total{{backend="smtp://127.0.0.1:{backend.port}"}}']


def settled(m, web, *backends):
    """Each of them has taken a message, which is recorded."""
    until(lambda: all(taken(web, backend) for backend in backends))
    m.booked()


def test_a_client_that_hangs_up_amid_several_routes_comes_again(mired):
    release = threading.Event()

    def slow(verb, argument, session):
        if verb == "." and not release.is_set():
            release.wait(PATIENCE)
        return None

    with Scripted() as a, Scripted(slow) as b, Scripted() as c:
        web = ports.free()
        m = routed(mired, a, b, c, config=f'web {{ listen = "127.0.0.1:{web}" }}')
        with Client(m.port) as client:
            client.ehlo()
            client.envelope("a@sender.test", PEOPLE)
            client.must("DATA", 354)
            client.send(MESSAGE + b".\r\n")
            b.wait_said("DATA")
            client.will_reset()
        until(lambda: "ended" in m.control("connections", "--phase", "delivering").stdout)
        release.set()
        settled(m, web, a, b, c)
        assert copies((a, b, c)) == [1, 1, 1]
        assert send(m, PEOPLE, source=NETWORKS[2])[0] == dict.fromkeys(PEOPLE, 250)
        assert copies((a, b, c)) == [1, 1, 1]


# ---- one company's trouble is not the other's ----


def test_a_slow_backend_of_one_company_does_not_delay_anothers_mail(mired):
    release = threading.Event()

    def slow(verb, argument, session):
        if verb == ".":
            release.wait(PATIENCE)
        return None

    with Scripted() as a, Scripted(slow) as b, Scripted() as c:
        m = routed(mired, a, b, c)
        waiting = [threading.Thread(target=send, args=(m, [BOB]), daemon=True) for _ in range(20)]
        for thread in waiting:
            thread.start()
        b.wait_said("DATA", count=20)
        for _ in range(20):
            assert send(m, [ALICE])[0] == {ALICE: 250}
        assert all(thread.is_alive() for thread in waiting)
        release.set()
        for thread in waiting:
            thread.join()


def test_a_backend_that_hangs_does_not_fill_the_spool_of_the_others(mired):
    """Beyond half of the spool a backend gets no more of it than its share; its own senders try again."""
    release, codes = threading.Event(), []
    octets = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 1000  # 72 KB

    def hangs(verb, argument, session):
        if verb == ".":
            release.wait(PATIENCE)
        return None

    def one(number):
        codes.append(send(m, [BOB], octets, f"127.{100 + number}.1.1")[0][BOB])

    with Scripted() as a, Scripted(hangs) as b, Scripted() as c:
        m = routed(mired, a, b, c, config="spool_max = 1M")
        waiting = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(40)]
        for thread in waiting:
            thread.start()
        until(lambda: len(codes) >= 25, why=lambda: codes)
        for number in range(5):
            assert send(m, [ALICE], octets, f"127.{200 + number}.1.1")[0] == {ALICE: 250}
        release.set()
        for thread in waiting:
            thread.join()
        assert codes.count(250) >= 5 and set(codes) <= {250, 451, 452}


def test_a_slow_directory_of_one_company_does_not_delay_anothers_recipients(mired):
    """`recipients "backend"`: each company's own server is asked, and a slow one leaves lookups for the others."""
    release = threading.Event()

    def slow(verb, argument, session):
        if verb == "RCPT" and "b.test" in argument:
            release.wait(PATIENCE)
        return None

    with Scripted() as a, Scripted(slow) as b, Scripted() as c:
        m = routed(mired, a, b, c, recipients=None, config='recipients "backend" { }\nlookups = 8')

        def ask(i):
            while not release.is_set():  # a question that is given up is asked again
                send(m, [f"x{i}@b.test"], source=f"127.7.{i}.1")

        waiting = [threading.Thread(target=ask, args=(i,), daemon=True) for i in range(30)]
        for thread in waiting:
            thread.start()
        b.wait_said("RCPT", count=3)
        for i in range(10):
            assert send(m, [f"y{i}@a.test"], source="127.8.1.1")[0] == {f"y{i}@a.test": 250}
        assert all(thread.is_alive() for thread in waiting)
        assert not any("b.test" in command for command in a.commands)
        release.set()
        for thread in waiting:
            thread.join()


def test_a_dead_directory_of_one_company_is_its_own(mired):
    with three() as backends:
        m = routed(mired, *backends, recipients=None, config='recipients "backend" { }')
        backends[1].stop()
        assert send(m, ["new@b.test"])[0] == {"new@b.test": 451}
        for i in range(5):
            assert send(m, [f"y{i}@a.test"])[0] == {f"y{i}@a.test": 250}


# ---- directories ----


def test_a_recipient_is_asked_for_in_its_own_directory(mired, tmp_path):
    for name, people in {"a": "alice@a.test\nbob@b.test\n", "rest": "@b.test\nalice@a.test\n"}.items():
        (tmp_path / name).write_text(people)
    tmp_path.chmod(0o755)
    with Scripted() as a:
        m = mired(
            domains=("a.test", "b.test"),
            recipients=None,
            backend=a.block,
            config=f'recipients "file" {{ domains = {{ "a.test" }} path = "{tmp_path}/a" }}\nrecipients "file" {{ path = "{tmp_path}/rest" }}',
        )
        assert send(m, [ALICE, "al@a.test", "anyone@b.test"])[0] == {ALICE: 250, "al@a.test": 550, "anyone@b.test": 250}


# ---- what a route takes ----


def test_a_size_beyond_the_recipients_own_server_is_told_at_rcpt(mired):
    """The larger limit is offered: one company's small server takes nothing from another's."""
    with Scripted(hello=("SIZE 100000", "PIPELINING")) as a, Scripted(hello=("SIZE 1000", "PIPELINING")) as b, Scripted(
        hello=("SIZE 100000", "PIPELINING")
    ) as c:
        m = routed(mired, a, b, c)
        wait_offered(m.port, "SIZE 100000")
        with Client(m.port) as client:
            assert "SIZE 100000" in client.ehlo()
            replies = client.envelope("a@sender.test", [ALICE, BOB, CAROL], " SIZE=5000")
            assert [r.code for r in replies] == [250, 552, 250]
            assert "5.3.4" in replies[1]
            client.quit()
        assert "offences=0" in m.log.wait("event=session .*offences=")


def test_only_what_every_route_has_is_offered(mired):
    with Scripted() as a, Scripted(hello=("PIPELINING", "8BITMIME")) as b, Scripted() as c:
        m = routed(mired, a, b, c)
        wait_offered(m.port, "8BITMIME")
        with Client(m.port) as client:
            offered = client.ehlo().text
            assert "8BITMIME" in offered and "SMTPUTF8" not in offered and "DSN" not in offered


def test_what_a_route_has_lost_since_ehlo_is_told_at_rcpt_or_later_and_never_left_out(mired):
    """RFC 6152 3: 8-bit data never go to a server that does not have 8BITMIME."""
    with three() as backends:
        m = routed(mired, *backends, workers=1)
        wait_offered(m.port, "8BITMIME")
        with Client(m.port) as client:
            assert "8BITMIME" in client.ehlo()
            backends[1].hello = ("PIPELINING",)
            port = backends[1].port
            backends[1].stop()
            with Scripted(hello=("PIPELINING",), port=port) as b:
                assert send(m, [BOB])[0] in ({BOB: 250}, {BOB: 451})
                until(lambda: b.copies(BOB) or not send(m, [BOB]))
                replies = client.envelope("a@sender.test", [ALICE, BOB], " BODY=8BITMIME")
                assert [r.code for r in replies] == [250, 451] and "4.3.3" in replies[1]
                assert client.data("Subject: ä\r\n\r\nä\r\n".encode()).code == 250
                assert backends[0].copies(ALICE) == 1


# ---- domains that are not ours ----


def test_mail_of_those_who_log_in_goes_by_the_same_rules(mired):
    with three() as backends:
        a, b, c = backends
        m = mired(
            domains=("a.test",),
            recipients=(ALICE,),
            backend="\n".join((block(a, "a.test"), block(b, "partner.test"))),
        )
        with Client(m.submission) as client:
            client.ehlo()
            assert client.login("alice@example.test", "wonderland").code == 235
            replies = client.envelope(ALICE, [ALICE, "x@partner.test", "y@elsewhere.test"])
            assert [r.code for r in replies] == [250, 250, 550] and "5.4.4" in replies[2]
            assert client.data(MESSAGE).code == 250
        assert (a.copies(ALICE), b.copies("x@partner.test")) == (1, 1)
        assert send(m, ["x@partner.test"])[0] == {"x@partner.test": 550}  # a stranger: relaying


@pytest.mark.parametrize(
    "to, backend",
    [
        ("x@A.TEST", 0), ("x@a.test.", 0), ("x@branches.test", 2), ("x@deep.shop.branches.test", 2),
        ("x@b.test", 1), ("@a.test:x@b.test", 1),
    ],
)  # fmt: skip
def test_a_domain_is_the_same_however_it_is_written(mired, to, backend):
    with three() as backends:
        a, b, c = backends
        m = mired(domains=DOMAINS, recipients=None, backend="\n".join((block(a, "a.test"), block(b, "b.test"), block(c, ".branches.test"))))
        assert send(m, [to])[0] == {to: 250}
        assert [len(x.mail) for x in backends] == [int(i == backend) for i in range(3)]


@pytest.mark.parametrize("to", ["x@xa.test", "x@notbranches.test", "x@test", "x@[127.0.0.1]", "x@a.test.evil.test", "x@а.test"])
def test_what_only_looks_like_a_domain_of_ours_is_not(mired, to):
    with three() as backends:
        m = routed(mired, *backends, recipients=None)
        wait_offered(m.port, "SMTPUTF8")
        with Client(m.port) as client:
            client.ehlo()
            client.must("MAIL FROM:<a@sender.test> SMTPUTF8" if not to.isascii() else "MAIL FROM:<a@sender.test>", 250)
            client.send(f"RCPT TO:<{to}>\r\n".encode())
            assert client.reply().code == 550
        assert not any(b.mail for b in backends)


def test_one_message_for_very_many_routes_is_bounded_and_whole(mired):
    """Forty servers for one message: some at a time, each once."""
    with contextlib.ExitStack() as stack:
        backends = [stack.enter_context(Scripted()) for _ in range(40)]
        m = mired(
            domains=[f"d{i}.test" for i in range(40)],
            recipients=[f"x@d{i}.test" for i in range(40)],
            backend="\n".join(block(b, f"d{i}.test") for i, b in enumerate(backends)),
        )
        to = [f"x@d{i}.test" for i in range(40)]
        assert send(m, to)[0] == dict.fromkeys(to, 250)
        assert [b.copies(t) for b, t in zip(backends, to)] == [1] * 40


def test_many_backends_that_hang_do_not_keep_a_message_from_the_others(mired):
    """Sixteen routes at once: with as many servers that hang at DATA, those behind them got nothing, try after try."""
    release = threading.Event()

    def hangs(verb, argument, session):
        if verb == "DATA":
            release.wait(PATIENCE)
        return None

    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(Scripted(hangs)) for _ in range(17)]
        good = [stack.enter_context(Scripted()) for _ in range(3)]
        stack.callback(release.set)
        to = [f"x@d{i}.test" for i in range(20)]
        rules = "\n".join(block(b, f"d{i}.test") for i, b in enumerate((*hung, *good)))
        m = mired(domains=[t[2:] for t in to], recipients=to, backend=rules, tarpit="time = 0")
        tries = 0
        while not all(b.copies(t) for b, t in zip(good, to[17:])):
            tries += 1
            assert tries < 40, [b.copies(t) for b, t in zip(good, to[17:])]
            with Client(m.port) as client:
                client.ehlo()
                assert {r.code for r in client.envelope("a@sender.test", to)} == {250}
                client.must("DATA", 354)
                client.send(MESSAGE + b".\r\n")
                time.sleep(min(0.3 * 1.1**tries, 3))  # the patience of a client, with which a slow machine can do something
                client.will_reset()
            m.booked()
        assert [b.copies(t) for b, t in zip(good, to[17:])] == [1, 1, 1]


# ---- balance and fail-over within a route ----


def test_backends_of_one_domain_stand_in_for_each_other_and_for_nobody_else(mired):
    with three() as (one, two, other):
        m = mired(
            domains=("a.test", "b.test"),
            recipients=PEOPLE,
            backend="\n".join((block(one, "a.test"), block(two, "a.test"), block(other))),
            config='balance = "round_robin"',
            workers=1,
        )
        until(lambda: all(b["up"] for b in json.loads(m.control("status", "--json").stdout)["backends"]))
        for _ in range(4):
            assert send(m, [ALICE])[0] == {ALICE: 250}
        assert (one.copies(ALICE), two.copies(ALICE)) == (2, 2)
        one.stop()
        for _ in range(4):
            assert send(m, [ALICE])[0] == {ALICE: 250}
        two.stop()
        assert send(m, [ALICE])[0] == {ALICE: 451}
        assert send(m, [BOB])[0] == {BOB: 250}
        assert not other.copies(ALICE)


# ---- what an administrator sees ----


def test_mirectl_route_says_what_serves_an_address_and_why(mired):
    with three() as backends:
        a, b, c = backends
        m = routed(mired, *backends)
        assert send(m, PEOPLE)[0] == dict.fromkeys(PEOPLE, 250)
        until(lambda: all(b["up"] for b in json.loads(m.control("status", "--json").stdout)["backends"]))
        said = json.loads(m.control("route", "Alice@A.test", "--json").stdout)
        assert said["local"] and said["rule"] == "a.test"
        assert said["backends"] == {"rule": "a.test", "sections": [{"name": f"smtp://127.0.0.1:{a.port}", "up": True}]}
        assert said["recipients"]["rule"] == "" and said["recipients"]["sections"][0]["path"] == str(m.recipients)
        assert said["auth"]["sections"] == [{"name": "file", "path": str(m.passwords)}]
        said = json.loads(m.control("route", "x@deep.branches.test", "--json").stdout)
        assert (said["rule"], said["backends"]["sections"][0]["name"]) == (".branches.test", f"smtp://127.0.0.1:{c.port}")
        assert not json.loads(m.control("route", "x@elsewhere.test", "--json").stdout)["local"]
        shown = m.control("route", BOB).stdout
        assert re.search(rf"^backend +b\.test +smtp://127\.0\.0\.1:{b.port}: up$", shown, re.M), shown
        assert re.search(r"^auth +\(no domains\) +file ", shown, re.M), shown
        assert m.control("route", "nonsense").returncode == 2


def test_status_names_the_domain_whose_mail_waits(mired):
    """A balancer must not take mired away from all companies because one of their servers is down."""
    with three() as backends:
        m = routed(mired, *backends)
        assert down(m, backends[1]) if backends[1].stop() is None else None

        def status():
            return json.loads(m.control("status", "--json").stdout)

        until(lambda: status()["domain_waits"] == "b.test")
        said = status()
        assert [x["domains"] for x in said["backends"]] == ["a.test", "b.test", ""]
        assert said["mail_passes"] and m.control("status").returncode == 0  # other companies' mail passes
        assert "for b.test waits: all of its backends are down" in m.control("status").stdout
        until(lambda: f"backends          smtp://127.0.0.1:{backends[0].port} a.test: up" in m.control("status").stdout)


def test_messages_are_counted_by_backend_over_reloads(mired):
    port = ports.free()
    with three() as backends:
        m = routed(mired, *backends, config=f'web {{ listen = "127.0.0.1:{port}" }}')
        for to in ([ALICE, BOB], [ALICE], [CAROL, "nobody@a.test"]):
            send(m, to)
        assert m.control("reload").returncode == 0
        send(m, [ALICE])
        until(lambda: [taken(port, b) for b in backends] == [3, 1, 1])


# ---- reload ----


def test_a_reload_moves_a_domain_to_another_backend(mired):
    with three() as backends:
        a, b, c = backends
        m = routed(mired, *backends)
        assert send(m, [ALICE])[0] == {ALICE: 250}
        m.file.write_text(m.file.read_text().replace(block(a, "a.test"), block(a, "b.test")).replace(block(b, "b.test"), block(b, "a.test"), 1))
        assert m.control("reload").returncode == 0
        assert send(m, [ALICE, BOB])[0] == {ALICE: 250, BOB: 250}
        assert (a.copies(ALICE), b.copies(ALICE), a.copies(BOB)) == (1, 1, 1)


# ---- logins ----


@pytest.fixture
def two_verifiers(mired, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "a").write_text(password_file({"joe@a.test": "apple", "joe@b.test": "stolen", "joe": "stolen"}))
    (tmp_path / "rest").write_text(password_file({"joe@a.test": "wrong-house", "joe@b.test": "banana", "joe": "plain"}))
    for name in ("a", "rest"):
        (tmp_path / name).chmod(0o644)
    return mired(
        domains=("a.test", "b.test"),
        passwords=None,
        tarpit="time = 0",
        config=f'auth "file" {{ domains = {{ "a.test" }} path = "{tmp_path}/a" }}\nauth "file" {{ path = "{tmp_path}/rest" }}',
    )


@pytest.mark.parametrize(
    "user, password, right",
    [
        ("joe@a.test", "apple", True), ("joe@a.test", "wrong-house", False), ("joe@b.test", "banana", True),
        ("joe@b.test", "stolen", False), ("joe", "plain", True), ("joe", "stolen", False), ("JOE@A.test", "apple", True),
        ("x@b.test@a.test", "apple", False),
    ],
)  # fmt: skip
def test_a_login_is_checked_where_the_people_of_its_domain_are(two_verifiers, user, password, right):
    with Client(two_verifiers.submission) as c:
        c.ehlo()
        assert c.login(user, password).code == (235 if right else 535)


def test_a_name_of_a_domain_that_nobody_checks_is_wrong_like_any_other(mired, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "a").write_text(password_file({"joe@a.test": "apple", "joe": "apple", "joe@b.test": "apple"}))
    (tmp_path / "a").chmod(0o644)
    m = mired(
        domains=("a.test", "b.test"), passwords=None, tarpit="time = 0",
        config=f'auth "file" {{ domains = {{ "a.test" }} path = "{tmp_path}/a" }}',
    )  # fmt: skip
    with Client(m.submission) as c:
        c.ehlo()
        for user in ("joe", "joe@b.test", "joe@elsewhere.test"):
            assert c.login(user, "apple").code == 535
        assert c.login("joe@a.test", "apple").code == 235


def test_two_dovecots_may_call_two_people_by_one_name(mired):
    """The account in the log, and with it its offences and allowance, has the domain that chose the verifier."""
    with contextlib.ExitStack() as stack:
        dovecots = []
        for word in ("apple", "banana"):
            d = Dovecot(extra="auth_username_format = %Ln\n", users={"joe": "{PLAIN}" + word})
            stack.callback(d.remove)
            d.start()
            stack.callback(d.stop)
            dovecots.append(d)
        m = mired(
            domains=("a.test", "b.test"), passwords=None, tarpit="time = 0",
            config="\n".join(
                f'auth "dovecot" {{ domains = {{ "{domain}" }} path = "{d.auth}" }}' for domain, d in zip(("a.test", "b.test"), dovecots)
            ),
        )  # fmt: skip
        for user, password, right in (
            ("joe@a.test", "apple", True), ("joe@a.test", "banana", False),
            ("Joe@B.test", "banana", True), ("joe@b.test.", "banana", True), ("joe@b.test", "apple", False),
        ):  # fmt: skip
            with Client(m.submission) as c:
                c.ehlo()
                assert c.login(user, password).code == (235 if right else 535), user
                c.quit()
        until(lambda: m.log.text.count("event=session") == 5)
        users = [re.search(r" user=(\S+)", line)[1] for line in m.log.text.splitlines() if "event=session" in line and " user=" in line]
        assert sorted(users) == ["joe@a.test", "joe@b.test", "joe@b.test"]
