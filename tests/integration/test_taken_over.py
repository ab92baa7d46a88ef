"""Hostile code in a running process of each role (tests/door/puppet.c): what it can do, that it gives no command, and
that mail flows while it does it and after it has died.

What each role's sandbox forbids is tried call by call, in a process of the test's own, in tests/unit/master/test_sandbox.c.
What a worker or a clerk does to the others, as by floods and shut sockets, is in test_sandbox.py.
"""

import os
import pathlib
import re
import signal

import pytest

from lib import netns, ports
from lib.frozen import ask, frozen_in, source, told
from lib.mired import BUILD, SANITIZED, Mired
from lib.redis import Redis
from lib.smtp import Client
from lib.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs")

DOOR = BUILD / "tests" / "door" / "mired-door"
OTHERS = ("keeper", "store", "freezer", "web", "fleet")
ROLES = (*OTHERS, "worker", "clerk")
ROOT = os.geteuid() == 0  # then the keeper, the store and workers have root directories of their own
SCRIPT_SIZE = 16384


class Puppets:
    """The processes of a mired, which do what the test says."""

    def __init__(self, mired, script):
        self.mired, self.script, self.count = mired, script, 0

    def pid(self, role):
        return until(lambda: self.mired.processes(role))[0]

    def begin(self, role, *lines):
        """Lets a process of that role do these lines; returns their numbers."""
        first = self.count + 1
        self.count += len(lines)
        text = "".join(f"{first + i} {line}\n" for i, line in enumerate(lines)).encode()
        assert len(text) < SCRIPT_SIZE
        with self.script.open("r+b") as f:  # in place: the processes have mapped it
            f.write(text.ljust(SCRIPT_SIZE, b"\0"))
        os.kill(self.pid(role), signal.SIGRTMIN + 11)
        return range(first, self.count + 1)

    def do(self, role, *lines):
        """Line -> what came of it."""
        numbers = self.begin(role, *lines)
        return {line: self.mired.log.wait(rf'door: {n} = (\S+)"').split(" = ")[1].split('"')[0] for n, line in zip(numbers, lines)}


@pytest.fixture
def puppets(monkeypatch, tmp_path):
    """puppets(...) starts a mired with a process of each role."""
    made = []

    def start(config="", redis=True, tarpit="time = 1s freeze = \"auto\"", **options):
        script = tmp_path / "script"
        script.write_bytes(b"\0" * SCRIPT_SIZE)
        monkeypatch.setenv("MIRED_DOOR_SCRIPT", str(script))
        if redis:
            server = Redis()
            made.append(server)
            server.start()
            config += f'\nfleet {{ redis = {{ "{server.url}" }} name = "mx" member = "mx1" }}\n'
        config += f'\nlog_level = "debug"\nweb {{ listen = {{ "127.0.0.1:{ports.free()}" }} }}\n'
        mired = Mired(program=DOOR, tarpit=tarpit, config=config, **options)
        mired.deaths_expected = mired.lies_expected = True
        made.append(mired)
        mired.start()
        mired.log.wait("(not )?freezing connections")
        until(lambda: all(mired.processes(role) for role in ROLES if redis or role != "fleet"))
        return Puppets(mired, script)

    yield start
    wrong = []
    for one in reversed(made):
        if isinstance(one, Mired):
            print(one.log.text[-20000:])
        # what such a process does to itself, when its loop has no descriptor any more
        wrong += [line for line in one.stop() or [] if "wait_for: Assertion" not in line]
        one.remove()
    assert not wrong


# By the filter of system calls; by Landlock; by a root directory of its own, which has no such path.
K, D, N = "killed", "EACCES", "ENOENT" if ROOT else "EACCES"


def acts_of(p, people):
    """Line -> what a process of each of ROLES gets for it. {sibling} is another process of mired; `people` is the folder
    that has the files of recipients and passwords, and nothing else.

    The worker is one whose only backend is the built-in store, so it may connect to nothing."""
    m = p.mired
    state, other = m.folder / "state", "{sibling}"
    none = (K, N, D, D, D, N, D)  # the keeper opens nothing
    acts = {}
    for path in (m.file, m.passwords, m.folder / "key.pem", state / "ledger", state / "history", state / "lists",
                 state / "spool", "/proc/{sibling}/mem", "/proc/{master}/mem", "/proc/{sibling}/environ"):  # fmt: skip
        acts[f"open {path} read"] = none
    acts[f"open {state}/lists read"] = acts[f"open {people}/recipients read"] = (*none[:-1], "0")  # what clerks need
    # The C library looks up hosts, and settings are replaced by others: what its user may read of /etc
    shadow = "0" if ROOT else D
    acts["open /etc/shadow read"] = (K, N, D, D, shadow, N, shadow)
    for name in ("ledger", "settled", "orders", "answers", "observed", "history", "new"):
        acts[f"open {state / name} make"] = none
    acts[f"open {state}/lists/new make"] = (*none[:-1], "0")
    acts[f"open {state}/frozen write"] = (K, N, "0", D, D, N, D)
    acts[f"open {state}/mail/example.test/alice/new read"] = none
    # The store's own, in its root directory, and a file with a name in the worker's
    acts["open /example.test/alice/new read"] = (K, "0" if ROOT else "ENOENT", *["ENOENT"] * 5)
    acts["open /a-file-of-mireds-tests make"] = (K, made := "0" if ROOT else D, D, D, D, made, D)
    acts[f"remove {state}/ledger"] = none
    acts[f"move {state}/settled {state}/ledger"] = (K, N, K, K, K, K, D)
    acts[f"tcp {m.port}"] = (K, K, "0", K, "0", K, "0")  # any port, as SECURITY.md says of these three
    acts[f"udp {m.port}"] = (K, K, K, K, "0", K, "0")
    acts[f"unix {m.folder}/run/control"] = (D, D, D, D, "0", D, "0")  # which is not to be answered: see below
    acts["exec /bin/true"] = acts["fork"] = (K,) * 7
    for who in (other, "{master}"):
        for verb in ("trace", "read-memory", "write-memory", "signal", "signal-thread", "signal-queue", "pidfd", "limit",
                     "affinity", "priority", "scheduling", "io-priority", "migrate", "compare"):  # fmt: skip
            acts[f"{verb} {who}"] = (K,) * 7
    acts["pidfd-signal"] = acts["pidfd-take"] = acts["advise"] = (K,) * 7
    acts["become 0"] = acts["capabilities"] = (K,) * 7
    return acts


def test_what_a_running_process_that_was_taken_over_can_do(puppets, tmp_path):
    people = tmp_path / "people"  # of its own, because a clerk may read all of the folders that its files are in
    people.mkdir()
    (people / "recipients").write_text("alice@example.test\n")
    (people / "passwd").write_text("")
    p = puppets(
        recipients=None,
        passwords=None,
        config=f'recipients "file" {{ path = "{people}/recipients" }}\nauth "file" {{ path = "{people}/passwd" }}\n',
    )
    m = p.mired
    (m.folder / "key.pem").write_text("secret")
    deliver(m)
    acts = acts_of(p, people)
    wrong = []
    for n, role in enumerate(ROLES):
        pid = p.pid(role)
        ids = {"sibling": p.pid("store" if role == "clerk" else "clerk"), "master": m.pid}
        lines = {line.format(**ids): line for line in acts}
        for line, came in p.do(role, *lines).items():
            if came != acts[lines[line]][n]:
                wrong.append(f"{role}: {line}: {came}, not {acts[lines[line]][n]}")
        assert p.pid(role) == pid
        deliver(m)
    assert not wrong, "\n".join(wrong)


def test_a_worker_with_backends_elsewhere_reaches_their_ports_and_no_others(puppets):
    elsewhere = ports.free()
    p = puppets(
        domains=("example.test", "example.org"),
        config=f'backend "smtp://127.0.0.1:{elsewhere}" {{ domains = {{ "example.org" }} }}\n',
    )
    m = p.mired
    deliver(m)
    acts = {f"tcp {elsewhere}": "ECONNREFUSED", f"tcp {m.port}": D, f"udp {elsewhere}": K, f"unix {m.folder}/run/control": D}
    assert p.do("worker", *acts) == acts
    deliver(m)


# ---- commands ----

RELOAD, RELEASE, SHUTDOWN, UPGRADE = 4, 6, 7, 8  # query/notes.h
# Who may open unix sockets at all: the kernel refuses the others, and mired these.
CONNECTS = ("fleet", "worker", "clerk")


@pytest.mark.parametrize("role", ROLES)
def test_a_process_that_was_taken_over_gives_no_command(puppets, role):
    """Neither over the control socket, where mired asks the kernel who it is, nor by the notes of its channel, of which
    the master knows what each role may send. The web process commands by notes, as SECURITY.md says of it: that is the
    next test."""
    p = puppets(
        domains=("example.test", "example.org"),
        # with a backend on a unix socket workers can open such sockets
        config='backend "lmtp:/nonexistent/lmtp" { domains = { "example.org" } }\n',
    )
    m = p.mired
    deliver(m)
    before = sorted(m.processes(""))
    command = f"command {m.folder}/run/control"
    refused = "of mired itself tried to give a command; it is refused"
    assert p.do(role, command) == {command: "EPERM" if role in CONNECTS else "EACCES"}
    if role in CONNECTS:
        m.log.wait(f"process {p.pid(role)} {refused}")
    if role != "web":
        p.do(role, f"note {RELOAD} x", f"note {RELEASE} 0.0.0.0/0", f"note {SHUTDOWN} x", f"note {UPGRADE} x")
        m.log.wait(rf'{role} \d sent a note of kind {UPGRADE}: unexpected from this process \(4 so far\)')
    deliver(m)
    assert m.control("status").returncode == 0
    assert sorted(m.processes("")) == before
    assert m.log.text.count(refused) == (role in CONNECTS)
    for done in ("command=stop", "generation 2", "event=stop"):
        assert done not in m.log.text


def test_a_web_process_that_was_taken_over_commands_by_notes(puppets):
    """What SECURITY.md grants it; and these notes are such that a master that took them from others would obey."""
    p = puppets()
    m = p.mired
    p.begin("web", f"note {RELOAD} x")
    m.log.wait("generation 2 serves")
    deliver(m)
    p.begin("web", f"note {SHUTDOWN} x")
    assert m.daemon.process.wait(PATIENCE) == 0


# Below the state folder, as /proc tells: what it has mapped, and how. Anything else it has not.
MAPS = {
    "keeper": {"ledger": "rw-s", "settled": "rw-s"},
    "store": {},
    "freezer": {"frozen": "rw-s"},
    "web": {"ledger": "rw-s", "observed": "rw-s", "tried": "rw-s", "history": "rw-s"},
    "fleet": {"ledger": "rw-s", "settled": "rw-s", "orders": "rw-s"},
    "clerk": {"answers": "rw-s", "decoys": "rw-s"},
    "worker": {"ledger": "r--s", "settled": "r--s", "observed": "rw-s", "tried": "rw-s", "retries": "rw-s"},
}


def maps_of(mired, pid):
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        where = line.split(maxsplit=5)
        if len(where) == 6 and where[5].startswith(f"{mired.folder}/state/"):
            found.setdefault(where[5].rsplit("/", 1)[1], set()).add(where[1])
    return {name: "".join(sorted(how)) for name, how in found.items()}


def test_each_process_has_mapped_what_its_role_needs(puppets):
    p = puppets()
    deliver(p.mired)
    assert {role: maps_of(p.mired, p.pid(role)) for role in MAPS} == MAPS


def deliver(mired, codes=(250,)):
    """A message of a stranger passes, and nothing that it hears is a 5xx."""
    with Client(mired.port) as client:
        heard = [client.greeting, client.say("EHLO a.test"), client.say("MAIL FROM:<a@b.test>"),
                 client.say("RCPT TO:<alice@example.test>")]  # fmt: skip
        assert all(reply.code < 500 for reply in heard), heard
        last = client.data(b"Subject: x\r\n\r\nhello\r\n") if heard[-1].code == 250 else heard[-1]
    assert last.code in codes, last
    return last


def dies_and_comes_back(p, role, pid):
    """It is killed, if it has not ended yet; mired starts another one, and a message passes. No reply is a 5xx."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    until(lambda: (now := p.mired.processes(role)) and pid not in now)
    until(lambda: deliver(p.mired, TEMPORARY).code == 250)


TEMPORARY = (250, 421, 450, 451)  # what a message may hear while a process is away: the sender comes again


@pytest.mark.parametrize("role", OTHERS)
def test_a_process_that_floods_its_channels_leaves_the_others_their_work(puppets, role):
    """Packets of any kind and length, with descriptors, as fast as it can; its own service stands still meanwhile."""
    p = puppets()
    others = [pid for pid in (p.mired.pid, *p.mired.processes("")) if pid != p.pid(role)]
    before = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in others}
    pid = p.pid(role)
    p.begin(role, "flood")
    p.mired.log.wait("door: floods pairs")
    wanted = TEMPORARY if role == "store" else (250,)  # it is the store that should take the message
    for _ in range(20):
        deliver(p.mired, wanted)
    for other, had in before.items():
        if role != "web" and os.path.exists(f"/proc/{other}"):  # a web process may have the master reload
            assert len(os.listdir(f"/proc/{other}/fd")) < had + 40
    assert len(p.mired.log.text.splitlines()) < 1500
    dies_and_comes_back(p, role, pid)


@pytest.mark.parametrize("kind, text", [(4, ""), (6, "0.0.0.0/0"), (12, "0.0.0.0/0"), (19, "0.0.0.0/0_-"), (21, "192.0.2.1"), (23, "x")])
def test_a_web_process_that_asks_without_end_stops_nobody(puppets, kind, text):
    """For a reload, releases, counts, lists of connections and numbers of each client; the fleet process for its state."""
    p = puppets()
    pid = p.pid("web")
    p.begin("web", f"notes {kind} {text}")
    p.mired.log.wait("door: floods pairs")
    for _ in range(20):
        deliver(p.mired)
    os.kill(p.mired.pid, signal.SIGHUP)  # this ends that web process, too
    p.mired.log.wait(r"generation [2-9] serves")
    deliver(p.mired)
    assert len(p.mired.log.text.splitlines()) < 1500  # of which a message writes nine
    dies_and_comes_back(p, "web", pid)


def test_what_a_web_process_asks_leaves_room_for_what_the_master_says(puppets):
    """A worker that is late hears the end of its time although it was asked without end meanwhile."""
    p = puppets(workers=1)
    m = p.mired
    (old,) = m.processes("worker")
    os.kill(old, signal.SIGSTOP)
    p.begin("web", "notes 19 0.0.0.0/0_-")
    m.log.wait("door: notes to each pair")
    os.kill(m.pid, signal.SIGHUP)
    until(lambda: len(m.processes("worker")) == 2)
    os.kill(old, signal.SIGCONT)
    m.log.wait("generation 2 serves")
    until(lambda: old not in m.processes("worker"))  # it has heard that it should end
    assert "child=worker" not in m.log.text  # and none died
    deliver(m)


# The filter of a keeper does not allow it to shut down sockets.
ENDS = [(role, how) for role in OTHERS for how in ("close", "shut", "breach") if (role, how) != ("keeper", "shut")]


@pytest.mark.parametrize("role, how", ENDS)
def test_a_process_that_ends_its_channels_or_itself_is_replaced(puppets, monkeypatch, role, how):
    """`breach`: it makes a call that its filter does not allow. `shut`: its successor gets other sockets."""
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")  # the master looks each 2 s
    p = puppets()
    pid = p.pid(role)
    p.begin(role, how)
    for _ in range(5):
        deliver(p.mired, TEMPORARY if role in ("store", "freezer") else (250,))
    until(lambda: pid not in p.mired.processes(role))
    until(lambda: p.mired.control("status").returncode == 0)
    if how == "shut" and role in ("store", "web"):
        p.mired.log.wait(f"{role} 0 has shut down the sockets of its role")
    if how == "breach":
        assert re.search(r"system call execve \(59\) is not allowed .* role=" + role, p.mired.log.text)
    dies_and_comes_back(p, role, pid)


@pytest.mark.parametrize("role, name", [(role, name) for role, names in MAPS.items() for name, how in names.items()
                                        if role in OTHERS and how == "rw-s" and name != "frozen"])  # fmt: skip
def test_any_octets_in_shared_memory_refuse_no_message_for_good(puppets, role, name):
    """Not while that process runs, and not after a restart of all with what it has left."""
    p = puppets(tarpit="time = 1s max = 1s freeze = \"auto\"")
    pid = p.pid(role)
    assert p.do(role, f"scribble {name}") == {f"scribble {name}": "0"}
    for _ in range(20):
        deliver(p.mired, TEMPORARY)
    assert not [line for line in p.mired.log.text.splitlines() if "child_died" in line]
    dies_and_comes_back(p, role, pid)
    assert p.mired.stop() == []
    p.mired.start()
    until(lambda: deliver(p.mired, TEMPORARY).code == 250)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_freezer_that_lies_about_connections_hurts_only_their_clients(frozen, cable, monkeypatch, tmp_path):
    """It gives connections back that nobody has frozen, the same ones again, and as those of other clients."""
    script = tmp_path / "script"
    script.write_bytes(b"\0" * SCRIPT_SIZE)
    monkeypatch.setenv("MIRED_DOOR_SCRIPT", str(script))
    m = frozen(time=3, program=DOOR)
    p = Puppets(m, script)
    m.deaths_expected = True
    liar = ask(m.port, 1)
    until(lambda: frozen_in(m) == 1)
    told(liar)
    waits = ask(m.port, 2)  # an honest one, beside it all
    p.do("freezer", "again", "again", "as 127.0.0.1", "as 10.78.0.77", "invent pair 200", "invent file 200")
    told(waits)
    for n in range(10):
        with Client(m.port, host=netns.SERVER, source=source(100 + n)) as client:
            client.ehlo()
            assert client.message("a@b.test", ["alice@example.test"]).code == 250
    assert "child_died" not in m.log.text
    pid = p.pid("freezer")
    os.kill(pid, signal.SIGKILL)
    until(lambda: (now := m.processes("freezer")) and pid not in now)
    later = ask(m.port, 3)
    until(lambda: frozen_in(m) == 1)
    told(later)
