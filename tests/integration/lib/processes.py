"""What /proc tells of processes: sessions, children, memory. Everything is ended by its id."""

import contextlib
import os
import signal
import time

from .waiting import PATIENCE


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
    except OSError:
        return None
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return {"pid": pid, "name": name, "state": rest[0], "parent": int(rest[1]), "session": int(rest[3])}


def _all():
    return [s for s in (_stat(int(p)) for p in os.listdir("/proc") if p.isdigit()) if s]


def in_session(session):
    """Ids of the living processes of a session."""
    return [s["pid"] for s in _all() if s["session"] == session and s["state"] != "Z"]


def children(parent, name=None):
    return [
        s["pid"]
        for s in _all()
        if s["parent"] == parent and s["state"] != "Z" and (name is None or s["name"] == name)
    ]


def alive(pid):
    s = _stat(pid)
    return s is not None and s["state"] != "Z"


def wait_gone(pids, seconds=PATIENCE):
    """Waits until all are gone; returns those that are not."""
    end = time.monotonic() + seconds
    pids = [p for p in pids if alive(p)]
    while pids and time.monotonic() < end:
        time.sleep(0.01)
        pids = [p for p in pids if alive(p)]
    return pids


def kill_all(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


@contextlib.contextmanager
def paused(pids):
    """They stand still meanwhile."""
    kill_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        kill_all(pids, signal.SIGCONT)


def kill_session(session):
    """Kills all processes of a session at once, and then those that one of them was just starting."""
    kill_all([session, *in_session(session)])
    while left := in_session(session):
        kill_all(left)
        time.sleep(0.005)


def status(pid, field):
    """A field of /proc/PID/status, as text."""
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()
    return None


FREEZES = 1 << 12 | 1 << 10  # CAP_NET_ADMIN, CAP_NET_BIND_SERVICE: what only a freezer keeps


def rights(pid):
    """What the kernel knows of a process's rights, all of it: each set of capabilities, ids, filters, and whether it
    leaves a core file or can be read by its own user (its files in /proc are then its own)."""
    found = {name: int(status(pid, name), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    found |= {name: int(status(pid, name)) for name in ("NoNewPrivs", "Seccomp")}
    found |= {name: {int(i) for i in status(pid, name).split()} for name in ("Uid", "Gid", "Groups")}
    with open(f"/proc/{pid}/limits") as f:
        found["core"] = next(tuple(line.split()[4:6]) for line in f if line.startswith("Max core file size"))
    found["reader"] = os.stat(f"/proc/{pid}/mem").st_uid
    return found


def rights_of_children(parent, of, bounding=0, freezes=FREEZES, confined=True):
    """Which children have other rights than SECURITY.md says, as sentences; of(role) has the user's and the group's id
    and the ids of its groups. A child that is just starting gets its rights a moment later, so use it with until()."""
    wrong = []
    for pid in children(parent):
        role = command(pid).removeprefix("mired: ").split()[0]
        uid, gid, groups = of(role)
        keeps = freezes if role == "freezer" else 0
        wanted = {"CapInh": 0, "CapPrm": keeps, "CapEff": keeps, "CapBnd": bounding, "CapAmb": 0, "NoNewPrivs": 1,
                  "Seccomp": 2 if confined else 0, "Uid": {uid}, "Gid": {gid}, "Groups": set(groups), "core": ("0", "0"),
                  "reader": 0}  # fmt: skip
        try:
            has = rights(pid)
        except (FileNotFoundError, ProcessLookupError):  # of an earlier generation, and just gone
            continue
        wrong += [f"{role}: {name} is {has[name]}, not {wanted[name]}" for name in wanted if has[name] != wanted[name]]
    return wrong


def command(pid):
    """Its command line, which processes of mired write anew. Under valgrind they can't, and have a name only."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            said = f.read().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""
    name = (_stat(pid) or {"name": ""})["name"] if "valgrind" in said.partition(" ")[0] else ""
    return name.replace("mired ", "mired: ", 1) if name.startswith("mired ") else said


def private_bytes(pid):
    """User memory that is this process's own: anonymous pages, its share of those that it still has in common with
    its parent. What is mapped from files (the ledger) is shared by all, whichever process has touched it, and not counted."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    raise OSError("smaps_rollup has no Pss_Anon")
