"""Never lose a message: whatever happens to the backend, what the client heard as 250 is there, once."""

import json
import os
import random
import re
import signal
import threading

import pytest

from lib import processes
from lib.proxy import STAGES
from lib.mired import UNDER
from lib.smtp import Client, deliver
from lib.waiting import until


def behind(mired, port, keys="", **options):
    return mired(tarpit="time = 0", backend=f'backend "smtp://127.0.0.1:{port}" {{ {keys} }}', **options)


def body(number):
    return b"Subject: x\r\nX-Number: %d\r\n\r\n" % number + b"line\r\n" * 2000


def wait_passed(m):
    """Delivers until it works again; how soon a backend is tried again is not what these tests are about."""

    def passes():
        reply = deliver(m.port, "a@b.test", "carol@example.test")
        assert reply.code == 250 or 400 <= reply.code < 500, reply
        return reply.code == 250

    until(passes, every=0.1)


def numbers(messages):
    return [int(re.search(rb"X-Number: (\d+)", m).group(1)) for m in messages]


def freeze(pids, seconds):
    """Stops processes and lets them go on a little later."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def thaw():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    threading.Timer(seconds, thaw).start()


def wait_there(backend, wanted):
    """Waits for the wanted numbers; some that were put off may be there too (the backend had them)."""

    def found():
        return numbers(backend.delivered("alice@example.test", 0, 0))

    until(lambda: set(wanted) <= set(found()), why="a message was lost", every=0.1)
    return found()


@pytest.mark.parametrize("chunking", ["false", "true"])
def test_what_was_told_250_is_there_once_whatever_breaks_at_whichever_stage(
    mired, postfix, fault_proxy, chunking
):
    """200 hand-overs, each with the backend killed, frozen or cut off at one of its stages. If BDAT has failed three times
    in a row, mired uses DATA; a reload brings BDAT back."""
    backend = postfix()
    proxy = fault_proxy(backend.port)
    m = behind(mired, proxy.port, f"chunking = {chunking}")
    dice = random.Random(42)

    def fault_cut():
        proxy.cut()

    def fault_kill():
        processes.kill_all(backend.servers("smtpd"))

    def fault_freeze():
        freeze(backend.servers("smtpd"), 0.3)

    taken, put_off, told = [], [], 0
    faults = (fault_cut, fault_cut, fault_kill, fault_freeze, fault_freeze)
    for number in range(200):
        stage = STAGES[number % len(STAGES)]
        if chunking == "true" and "repeatedly" in m.log.text[told:]:
            told = len(m.log.text)
            m.reload()
        proxy.arm(stage, dice.choice(faults))
        reply = deliver(m.port, "a@b.test", "alice@example.test", body(number))
        proxy.disarm()
        assert reply.code == 250 or 400 <= reply.code < 500, (number, stage, reply)
        (taken if reply.code == 250 else put_off).append(number)
        if reply.code != 250:
            wait_passed(m)
    print(f"{len(taken)} taken, {len(put_off)} put off, {proxy.hits} faults met")
    assert proxy.hits > 60
    found = wait_there(backend, taken)
    assert len(found) == len(set(found)), "a message came twice"
    whole = backend.delivered("alice@example.test", count=len(found))
    assert all(message.count(b"line\n") == 2000 for message in whole), "a message came in part"
    assert (" bdat=" in backend.log) == (chunking == "true")


@pytest.mark.parametrize("chunking", ["false", "true"])
@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_connection_that_breaks_before_the_data_is_tried_once_more(
    mired, postfix, fault_proxy, stage, chunking
):
    backend = postfix()
    proxy = fault_proxy(backend.port)
    m = behind(mired, proxy.port, f"chunking = {chunking}")
    if (stage, chunking) == ("DATA", "true"):
        # A worker for which BDAT has worked sends the data with the command. So this is the first message of both.
        until(lambda: all(b["up"] for b in json.loads(m.control("--json", "status").stdout)["backends"]))
    else:
        wait_passed(m)
    proxy.arm(stage)
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    assert len(backend.delivered("alice@example.test")) == 1


@pytest.mark.parametrize("chunking", ["false", "true"])
def test_a_connection_that_breaks_behind_the_final_dot_is_put_off(
    mired, postfix, fault_proxy, chunking
):
    """The backend may have the message: a duplicate is better than a loss."""
    backend = postfix()
    proxy = fault_proxy(backend.port)
    m = behind(mired, proxy.port, f"chunking = {chunking}")
    wait_passed(m)
    proxy.arm("answer")
    reply = deliver(m.port, "a@b.test", "alice@example.test")
    assert reply.code == 451
    assert len(backend.delivered("alice@example.test")) == 1


@pytest.mark.fast
def test_a_backend_that_is_not_there_puts_mail_off_and_is_noticed_when_it_comes(
    mired, postfix, fault_proxy
):
    proxy = fault_proxy(1)  # nobody listens on port 1: the proxy drops each connection
    m = behind(mired, proxy.port)
    reply = deliver(m.port, "a@b.test", "alice@example.test")
    assert 400 <= reply.code < 500
    backend = postfix()
    proxy.target = backend.port
    wait_passed(m)


def test_a_client_that_hangs_up_during_a_hand_over_disturbs_nothing(mired, postfix):
    backend = postfix()
    m = behind(mired, backend.port)
    for number in range(20):
        with Client(m.port) as c:
            c.ehlo()
            c.envelope("a@b.test", ["alice@example.test"])
            c.must("DATA", 354)
            c.send(body(number) + b".\r\n")
    wait_passed(m)
    found = numbers(backend.delivered("alice@example.test", 2, 20))
    assert len(found) == len(set(found))


@pytest.mark.skipif(UNDER, reason="a store starts more slowly there than it is killed")
def test_the_store_killed_under_load_loses_nothing_that_was_told_250(mired):
    m = mired(tarpit="time = 0")
    m.deaths_expected = True
    taken = []
    ended = threading.Event()

    def kill_now_and_then():
        while not ended.wait(0.3):
            processes.kill_all(m.processes("store"))

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        for number in range(150):
            reply = deliver(m.port, "a@b.test", "alice@example.test", body(number))
            assert reply.code == 250 or 400 <= reply.code < 500
            if reply.code == 250:
                taken.append(number)
    finally:
        ended.set()
        killer.join()
    wait_passed(m)
    found = numbers(m.delivered("alice@example.test", count=len(taken)))
    assert set(taken) <= set(found)
