"""Processes: what dies is restarted and takes nothing with it, and the end is clean."""

import concurrent.futures
import getpass
import json
import os
import resource
import signal
import statistics
import subprocess
import time

import pytest

from lib import ports, processes
from lib.mired import PASSWORDS, SANITIZED, UNDER
from lib.smtp import Client, deliver
from lib.waiting import until


def wait_others(m, role, old):
    """Waits until as many processes of a role run as before, none of them an old one."""
    return until(lambda: len(now := m.processes(role)) >= len(old) and not set(now) & set(old) and now)


@pytest.mark.fast
def test_each_role_has_its_processes(mired):
    m = mired(workers=3, config="clerks = 2")
    assert len(m.processes("worker")) == 3
    assert len(m.processes("clerk")) == 2
    assert len(m.processes("store")) == 1
    assert len(m.processes("keeper")) == 1


def times_slept(pid):
    """How often it has gone to sleep, and so been woken."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))


def test_a_question_wakes_one_clerk(mired):
    m = mired(tarpit="time = 0", config="clerks = 8")
    clerks, questions = m.processes("clerk"), 300
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@sender.test>", 250)
        c.must("RCPT TO:<alice@example.test>", 250)
        before = sum(map(times_slept, clerks))
        for _ in range(questions):
            c.must("RCPT TO:<alice@example.test>", 250)
        woken = sum(map(times_slept, clerks)) - before
    # All that are idle would be 8 times. A clerk also wakes now and then by itself, and one that is still busy need not be woken.
    assert 0 < woken < 4 * questions


@pytest.mark.alone
def test_a_killed_worker_takes_only_its_own_sessions_and_new_ones_are_served_at_once(mired):
    m = mired(tarpit="time = 0", workers=4)
    m.deaths_expected = True
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        clients = list(pool.map(lambda _: Client(m.port), range(500)))
    for client in clients:
        client.ehlo()
    workers = m.processes("worker")
    os.kill(workers[0], signal.SIGKILL)
    seconds = []
    for _ in range(20):
        begun = time.monotonic()
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        seconds.append(time.monotonic() - begun)
    lost = 0
    for client in clients:
        try:
            lost += client.say("NOOP").code != 250
        except OSError:
            lost += 1
    print(f"{lost} of 500 sessions were the dead worker's; slowest new one {max(seconds):.3f} s")
    assert 0 < lost < 250  # a quarter, as the kernel deals them out
    assert statistics.median(seconds) < 2  # the others serve them, and nobody waits for its successor
    for client in clients:
        client.close()
    assert len(wait_others(m, "worker", [workers[0]])) == 4 or m.processes("worker")


def test_new_clients_are_never_refused_while_workers_die(mired):
    m = mired(tarpit="time = 0", workers=1)
    m.deaths_expected = True
    for _ in range(3):
        old = m.processes("worker")
        os.kill(old[0], signal.SIGKILL)
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        wait_others(m, "worker", old)


@pytest.mark.parametrize("role", ["clerk", "store", "keeper"])
def test_a_killed_helper_is_replaced_and_mail_goes_on(mired, role):
    m = mired(tarpit="time = 0")
    m.deaths_expected = True
    old = m.processes(role)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_others(m, role, old)


    def passes():
        reply = deliver(m.port, "a@b.test", "alice@example.test")
        assert reply.code == 250 or 400 <= reply.code < 500, reply
        return reply.code == 250

    until(passes)
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login("alice@example.test", "wonderland").code == 235


def test_what_is_booked_while_the_keeper_is_dead_is_booked_by_the_next(mired):
    m = mired(tarpit="time = 10ms growth = 1 pace = false")
    m.deaths_expected = True
    source, old = ports.stranger(), m.processes("keeper")
    os.kill(old[0], signal.SIGKILL)
    with Client(m.port, source=source) as c:
        c.ehlo()
        assert [r.code for r in c.envelope("a@b.test", [f"nobody{i}@example.test" for i in range(4)])] == [550] * 4
    wait_others(m, "keeper", old)
    until(lambda: json.loads(m.control("show", source, "--json").stdout).get("client", {}).get("offences", 0) >= 3.5)


@pytest.mark.fast
def test_the_end_comes_within_two_seconds_and_clients_are_told(mired):
    m = mired(tarpit="time = 90s")
    idle, held = Client(m.port), Client(m.port)
    idle.ehlo()
    held.ehlo()
    held.send("FROBNICATE\r\n")
    until(lambda: json.loads(m.control("--json", "status").stdout)["held"] == 1)
    m.daemon.signal(signal.SIGTERM)
    assert idle.reply().code == 421
    assert held.reply().code == 421
    m.daemon.process.wait(80)  # of 90 s
    assert m.daemon.process.returncode == 0


def test_the_second_of_the_same_on_one_port_says_so(mired):
    m = mired()
    again = type(m).__new__(type(m))
    again.__dict__.update(m.__dict__)
    from lib.daemon import Daemon
    from lib.mired import PROGRAM

    second = Daemon([PROGRAM, "-c", m.file])
    status, _, left = second.stop()
    assert not left
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    assert status != 0 or "event=" in second.output.text


def may_go_first():
    return subprocess.run(["nice", "-n", "-5", "true"], capture_output=True).stderr == b""


@pytest.mark.skipif(not may_go_first(), reason="needs leave to go before other processes")
def test_clerks_go_before_workers_also_after_a_password(mired):
    m = mired(tarpit="time = 0")
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    def all_stand():
        return all(
            os.getpriority(os.PRIO_PROCESS, pid) == max(ours - before, -20)
            for role, before in (("clerk", 5), ("worker", 0), ("store", 0), ("web", 0))
            for pid in m.processes(role)
        )

    until(all_stand)
    user, password = next(iter(PASSWORDS.items()))
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login(user, password).code == 235
    assert all_stand()
    for pid in m.processes("worker"):
        assert resource.prlimit(pid, resource.RLIMIT_NICE) == (0, 0)


def wait_rights(m, bounding, groups=(65534,)):
    """Until each process has exactly the rights that SECURITY.md gives its role, as nobody."""

    def wrong():
        return processes.rights_of_children(m.pid, lambda role: (65534, 65534, groups), bounding, confined=not SANITIZED)

    until(lambda: not wrong(), why=lambda: "\n".join(wrong()))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have something to drop")
def test_started_as_root_it_drops_to_its_user(mired):
    m = mired(tarpit="time = 0", user="nobody")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    wait_rights(m, bounding=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="this is root")
def test_started_as_anyone_else_it_runs_as_that_one(mired):
    m = mired(user="mired")
    assert getpass.getuser() != "mired"
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give capabilities")
@pytest.mark.skipif(UNDER, reason="that user cannot write what valgrind says")
def test_started_with_capabilities_only_who_needs_them_keeps_them(mired):
    """As systemd starts it: as its user, with three capabilities. No part of it is root."""
    names = "+net_bind_service,+net_admin,+sys_chroot"
    m = mired(
        tarpit="time = 1s",
        user="nobody",
        prefix=["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--no-new-privs",
                f"--inh-caps={names}", f"--ambient-caps={names}"],
    )  # fmt: skip
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    if not SANITIZED:
        for role, where in (("worker", "state/spool"), ("store", "state/mail"), ("keeper", "run/empty (deleted)")):
            until(lambda: os.readlink(f"/proc/{m.processes(role)[0]}/root") == f"{m.folder}/{where}", why=role)
    wait_rights(m, bounding=int(processes.status(os.getpid(), "CapBnd"), 16), groups=())
