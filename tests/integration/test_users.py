"""A user for each kind of process, where root starts mired and there are such users.

The users exist in a mount namespace of the test's own, by files that stand in place of /etc/passwd and /etc/group.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lib import power, processes, temporary
from lib.mired import SANITIZED, SOURCE, Mired
from lib.smtp import Client, deliver
from lib.waiting import until


def may_unshare():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not may_unshare(), reason="needs root and a mount namespace")

ALL = "tarp"
IDS = {name: 61000 + i for i, name in enumerate((ALL, f"{ALL}-worker", f"{ALL}-clerk", f"{ALL}-store", f"{ALL}-keeper"))}
OWN = {"worker": f"{ALL}-worker", "clerk": f"{ALL}-clerk", "store": f"{ALL}-store", "keeper": f"{ALL}-keeper"}


class Users:
    """/etc/passwd and /etc/group of the namespace."""

    def __init__(self):
        self.folder = temporary.folder("users-")
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", self.folder / name)
        self.add(ALL)

    def add(self, *names):
        for name in names:
            with (self.folder / "passwd").open("a") as f:
                f.write(f"{name}:x:{IDS[name]}:{IDS[name]}::/nonexistent:/usr/sbin/nologin\n")
            with (self.folder / "group").open("a") as f:
                f.write(f"{name}:x:{IDS[name]}:\n")

    def add_all(self):
        self.add(*OWN.values())

    @property
    def prefix(self):
        binds = " && ".join(f"mount --bind {self.folder}/{name} /etc/{name}" for name in ("passwd", "group"))
        return ["unshare", "-m", "sh", "-c", f'{binds} && exec "$@"', "sh"]


@pytest.fixture
def users():
    made = Users()
    yield made
    temporary.remove(made.folder)


@pytest.fixture
def mired(users):
    made = []

    def begin(start=True, **arguments):
        m = Mired(prefix=users.prefix, **arguments)
        m.file.write_text(m.file.read_text().replace('user = "root"', f'user = "{ALL}"'))
        for name in ("state", "run"):
            os.chown(m.folder / name, IDS[ALL], IDS[ALL])
        (m.folder / "state").chmod(0o750)
        made.append(m)
        return m.start() if start else m

    yield begin
    wrong = [line for m in made for line in m.stop()]
    assert not wrong


def who(m):
    """Role -> the names of the users that its processes run as."""
    names = {number: name for name, number in IDS.items()}
    roles = {}
    for pid in processes.children(m.pid):
        try:
            lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # of the earlier generation, and just gone
            continue
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        ids = {int(i) for i in status["Uid"].split()}
        assert len(ids) == 1 and {int(i) for i in status["Gid"].split()} == ids
        assert int(status["CapPrm"], 16) & ~(1 << 12 | 1 << 10) == 0
        role = processes.command(pid).removeprefix("mired: ").split()[0]
        roles.setdefault(role, set()).add(names.get(ids.pop()))
    return roles


def wait_rights(m, apart):
    """Until each process has exactly the rights that SECURITY.md gives its role."""

    def of(role):
        number = IDS[OWN.get(role, ALL) if apart else ALL]
        return number, number, {number}

    def wrong():
        return processes.rights_of_children(m.pid, of, confined=not SANITIZED)

    until(lambda: not wrong(), why=lambda: "\n".join(wrong()))
    master = processes.rights(m.pid)
    assert master["Uid"] == {0} and master["NoNewPrivs"] == 1 and master["core"] == ("0", "0") and master["reader"] == 0


def wait_who(m, **wanted):
    """Waits until each of these roles has processes of that user only: the earlier generation ends a moment later."""
    until(lambda: {role: who(m).get(role) for role in wanted} == {role: {name} for role, name in wanted.items()})


def owner(path):
    names = {number: name for name, number in IDS.items()}
    st = path.lstat()
    return names.get(st.st_uid, st.st_uid), st.st_mode & 0o7777


def passes(m, times=1):
    for _ in range(times):
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    with Client(m.port) as c:
        c.ehlo()
        assert c.envelope("a@b.test", ["nobody@example.test"])[0].code == 550
    with Client(m.submission) as c:
        c.ehlo()
        assert c.login("alice@example.test", "wonderland").code == 235


def test_each_process_runs_as_its_user(mired, users):
    users.add_all()
    m = mired(tarpit='time = 100ms freeze = "auto"', config='log_level = "debug"')
    m.log.wait("(not )?freezing connections")  # clients are served before there is a freezer
    passes(m)
    for role, names in who(m).items():
        assert names == {OWN.get(role, ALL)}, role
    wait_rights(m, apart=True)
    state = m.folder / "state"
    assert owner(state / "mail") == (OWN["store"], 0o700)
    assert owner(state / "spool") == (OWN["worker"], 0o770)
    assert owner(state / "lists") == (OWN["clerk"], 0o2770)
    assert owner(state)[0] == owner(state / "ledger")[0] == owner(state / "settled")[0] == ALL
    assert owner(state / "ledger")[1] == 0o600 and owner(state)[1] & 0o007 == 0o001
    assert owner(m.folder / "run" / "control")[0] == ALL
    mail = [path for path in (state / "mail").rglob("*") if path.is_file()]
    assert mail and {owner(path)[0] for path in mail} == {OWN["store"]}
    told = json.loads(m.control("status", "--json").stdout)["users"]
    assert told == {**OWN, "other": ALL}
    assert f"worker {ALL}-worker" in m.control("status").stdout
    assert m.control("reload").returncode == 0
    passes(m)
    assert m.control("upgrade").returncode == 0
    passes(m)
    wait_who(m, worker=OWN["worker"], store=OWN["store"])
    wait_rights(m, apart=True)


def test_workers_with_a_user_of_their_own_can_only_read_the_state(mired, users):
    users.add_all()
    m = mired()
    workers = m.processes("worker")
    assert workers
    for pid in workers:
        rights = {}
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            parts = line.split()
            if len(parts) > 5:
                rights.setdefault(pathlib.Path(parts[5]).name, set()).add(parts[1])
        for name in ("ledger", "settled"):
            assert rights[name] and not any("w" in right for right in rights[name]), (name, rights[name])
    assert "cannot be protected" not in m.log.text


@pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed")
@pytest.mark.skipif(SANITIZED, reason="LeakSanitizer does not work under strace")
@pytest.mark.parametrize("apart", [False, True], ids=["one user", "users of their own"])
def test_the_folder_of_all_mailboxes_is_on_the_disk_before_mail_comes(mired, users, tmp_path, apart):
    """It is made at the first start. Without its entry a power cut would take all mail with it."""
    if apart:
        users.add_all()
    calls = tmp_path / "calls"
    m = mired(start=False)
    m.prefix = [*m.prefix, power.PROGRAM, "-D", "-f", "-y", "-e", "trace=fsync", "-o", str(calls)]
    m.start()
    passes(m)
    flushed = re.findall(r"fsync\(\d+<([^>]*)>\) += 0", calls.read_text())
    first = next(n for n, path in enumerate(flushed) if "/mail/" in path)
    assert str(m.folder / "state") in flushed[:first]


def test_without_such_users_all_run_as_one(mired):
    m = mired(tarpit='time = 100ms freeze = "auto"')
    passes(m)
    assert {name for names in who(m).values() for name in names} == {ALL}
    assert f"all processes run as {ALL}" in m.control("status").stdout
    assert owner(m.folder / "state" / "spool") == (ALL, 0o700)
    wait_rights(m, apart=False)


def test_the_state_of_one_user_is_handed_over_and_nothing_is_lost(mired, users):
    m = mired(workers=1)
    passes(m, 3)
    with Client(m.port) as c:
        c.ehlo()
    assert m.control("penalise", "192.0.2.7", "--offences", "30").returncode == 0
    assert m.stop() == []
    state = m.folder / "state"
    secret = m.folder / "secret"  # not mired's: it stays as it is, whatever leads there
    secret.write_text("root's\n")
    (state / "mail" / "link").symlink_to(secret)
    os.link(secret, state / "mail" / "hard")
    before = {name: (state / name).stat().st_ino for name in ("ledger", "settled", "answers", "decoys")}
    users.add_all()
    m.start()
    assert "set-aside" not in m.log.text
    assert {name: (state / name).stat().st_ino for name in before} == before
    offences = json.loads(m.control("--json", "show", "192.0.2.7").stdout)["client"]["offences"]
    assert 20 < offences <= 30  # they expire slowly
    passes(m)
    mail = [path for path in (state / "mail").rglob("*") if path.is_file() and path.name not in ("link", "hard")]
    assert len(mail) >= 4 and {owner(path)[0] for path in mail} == {OWN["store"]}
    assert secret.stat().st_uid == 0 and secret.read_text() == "root's\n"


def test_a_file_that_only_one_user_can_read_keeps_that_user(mired, users):
    users.add_all()
    m = mired(start=False)
    os.chown(m.passwords, IDS[ALL], IDS[ALL])
    m.passwords.chmod(0o600)
    m.start()
    passes(m)
    wait_who(m, clerk=ALL, worker=OWN["worker"])
    sentence = f"{m.passwords} cannot be used by {OWN['clerk']}; clerks run as {ALL}"
    m.log.wait(sentence)
    checked = subprocess.run([*m.prefix, m.program, "-c", m.file, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0 and f"warning: {sentence}" in checked.stdout + checked.stderr
    m.passwords.chmod(0o644)
    assert m.control("reload").returncode == 0
    passes(m)
    wait_who(m, clerk=OWN["clerk"])


def test_an_upgrade_changes_no_owner_while_earlier_processes_serve(mired, users):
    m = mired()
    passes(m)
    users.add_all()
    assert m.control("upgrade").returncode == 0
    passes(m)
    assert who(m)["worker"] == who(m)["store"] == who(m)["clerk"] == {ALL}
    assert owner(m.folder / "state" / "mail")[0] == ALL
    assert m.stop() == []
    m.start()
    passes(m)
    wait_who(m, store=OWN["store"])


def run_beside(m, file):
    """Somebody starts mired by hand; it ends, and says why."""
    done = subprocess.run([*m.prefix, m.program, "-c", file], capture_output=True, text=True, timeout=120)
    return done.returncode, (done.stdout + done.stderr).replace("\\", "")


@pytest.mark.parametrize("own_run", [False, True], ids=["with the same run", "with a run of its own"])
def test_a_second_mired_by_mistake_takes_no_folder_from_the_one_that_runs(mired, users, own_run):
    """The unit has started mired as one user, and its administrator starts it by hand, as root, to see what it says."""
    m = mired(tarpit="time = 1s freeze = off")
    passes(m)
    users.add_all()
    state, file = m.folder / "state", m.file
    before = {path: owner(path) for path in state.rglob("*")}
    if own_run:
        file = m.folder / "other.conf"
        file.write_text(m.file.read_text().replace(f'run = "{m.folder}/run"', f'run = "{m.folder}/other"'))
        assert file.read_text() != m.file.read_text()
    code, said = run_beside(m, file)
    assert code == 1 and "another mired" in said
    assert {path: owner(path) for path in before} == before
    passes(m)


HOSTILE_CHOWN = """#!/bin/sh
cd /var/lib/mired/mail
[ -e gone ] || { mv example.test gone && ln -s /var/lib/secret example.test; }
exec /bin/chown "$@"
"""


def test_a_return_to_an_older_package_gives_nobody_files_of_root(tmp_path):
    """A store that was taken over puts a link in the place of a folder while the script runs."""
    users = {"mired": 61000, "mired-worker": 61001, "mired-clerk": 61002, "mired-store": 61003, "mired-keeper": 61004}
    for name, more in (("passwd", ":/nonexistent:/usr/sbin/nologin"), ("group", "")):
        shutil.copy(f"/etc/{name}", tmp_path / name)
        with (tmp_path / name).open("a") as f:
            for user, number in users.items():
                f.write(f"{user}:x:{number}:{number}:{more}\n" if name == "passwd" else f"{user}:x:{number}:\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("chown", HOSTILE_CHOWN), ("mired", "#!/bin/sh\necho mired 0.2.0\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    box = "example.test/alice/new"
    steps = f"""
        mount --bind {tmp_path}/passwd /etc/passwd && mount --bind {tmp_path}/group /etc/group
        mount -t tmpfs none /var/lib && cd /var/lib
        mkdir -p mired/mail/{box} secret/alice/new
        touch mired/mail/{box}/message secret/alice/new/message
        chown -R mired-store:mired-store mired/mail && chown mired:mired mired
        PATH={tools}:$PATH sh -e {SOURCE}/debian/mired.prerm upgrade 0.0.9
        find mired secret -printf '%u %p\\n'
    """
    done = subprocess.run(["unshare", "-m", "sh", "-ec", steps], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    owners = dict(reversed(line.split()) for line in done.stdout.splitlines())
    assert {name for path, name in owners.items() if path.startswith("secret")} == {"root"}
    assert owners["mired/mail/gone/alice/new/message"] == owners["mired/mail"] == "mired"


def test_mailboxes_that_are_elsewhere_stay_as_they_are(mired, users):
    m = mired()
    passes(m)
    assert m.stop() == []
    state = m.folder / "state"
    (state / "mail").rename(m.folder / "elsewhere")
    (state / "mail").symlink_to(m.folder / "elsewhere")
    users.add_all()
    m.start()
    passes(m)
    assert who(m)["store"] == {ALL} and who(m)["worker"] == {OWN["worker"]}
    assert owner(m.folder / "elsewhere")[0] == ALL


def test_a_backend_that_only_one_user_can_reach_keeps_workers_as_that_user(mired, users):
    users.add_all()
    m = mired(backend='backend "lmtp:/nonexistent/lmtp" { }')
    assert who(m)["worker"] == {ALL}
    m.log.wait("/nonexistent/lmtp cannot be used by")


def without(m, capability):
    """From the next start root lacks it, as in a container."""
    m.prefix = [*m.prefix, "setpriv", f"--bounding-set=-{capability}"]


@pytest.mark.parametrize("capability", ["chown", "dac_override", "fowner", "fsetid"])
def test_root_that_may_not_change_owners_says_why_and_serves_as_one_user(mired, users, capability):
    """Before there were such users mired started there, and it must go on to do so."""
    users.add_all()
    m = mired(start=False)
    may = m.prefix
    without(m, capability)
    m.start()
    passes(m)
    warning = f"root has no CAP_{capability.upper()} here"
    assert warning in m.log.text
    assert {who(m)[role].pop() for role in ("worker", "clerk", "store")} == {ALL}
    assert m.stop() == []
    m.prefix = may
    m.start()
    passes(m)
    assert {role: who(m)[role] for role in OWN} == {role: {name} for role, name in OWN.items()}
    assert owner(m.folder / "state" / "mail")[0] == OWN["store"]
    assert m.stop() == []
    without(m, capability)  # there is nothing left to change
    m.start()
    passes(m)
    assert {role: who(m)[role] for role in OWN} == {role: {name} for role, name in OWN.items()}
    assert warning not in m.log.text


@pytest.mark.parametrize("capability", ["setuid", "setgid"])
@pytest.mark.parametrize("apart", [False, True], ids=["one user", "users of their own"])
def test_root_that_cannot_become_a_user_says_why_it_does_not_start(mired, users, capability, apart):
    if apart:
        users.add_all()
    m = mired(start=False)
    without(m, capability)
    done = subprocess.run([*m.prefix, m.program, "-c", m.file], capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"root has no CAP_{capability.upper()} here" in said and f"start mired as {ALL}" in said
    assert "cannot make the folder" not in said


def test_a_start_with_an_unknown_user_says_so_and_ends(mired):
    m = mired(start=False)
    m.file.write_text(m.file.read_text().replace(f'user = "{ALL}"', 'user = "nobody-of-that-name"'))
    done = subprocess.run([*m.prefix, m.program, "-c", m.file], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and 'no user "nobody-of-that-name"' in (done.stdout + done.stderr).replace("\\", "")


def test_mailboxes_whose_owner_cannot_be_changed_keep_it(mired, users):
    """The kernel refuses root's chown of a folder that is only for adding, as NFS with root_squash does."""
    m = mired()
    passes(m)
    assert m.stop() == []
    mail = m.folder / "state" / "mail"
    if subprocess.run(["chattr", "+a", mail], capture_output=True).returncode != 0:
        pytest.skip("this file system has no attributes")
    try:
        users.add_all()
        m.start()
        passes(m)
        m.log.wait(rf"{mail}: root cannot change its owner .* so {OWN['store']} is not used")
        assert who(m)["store"] == {ALL} and who(m)["worker"] == {OWN["worker"]}
        assert m.stop() == []
    finally:
        subprocess.run(["chattr", "-a", mail], check=True)
    m.start()
    passes(m)
    wait_who(m, store=OWN["store"])
