"""Fixtures: each hands out things that are stopped and checked when the test ends."""

import os
import zlib

import pytest

from lib import netns, temporary
from lib.frozen import FROZEN
from lib.mired import Mired, PROGRAM
from lib.postfix import Postfix
from lib.proxy import FaultProxy
from lib.unbound import Unbound


def pytest_sessionstart(session):
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is not there; run `make build`", returncode=3)


def a_part(items, part):
    """The tests of one of several parts, as "2/10": each test is in one of them, the same one each time."""
    which, of = map(int, part.split("/"))
    assert 1 <= which <= of, f"PART={part}"
    return [item for item in items if zlib.crc32(item.nodeid.encode()) % of == which - 1]


@pytest.hookimpl(trylast=True)  # behind what -m and -k take away
def pytest_collection_modifyitems(items):
    """With PART, a part of the tests.

    Side by side, the tests marked `long` begin first: one that begins last is waited for by all other workers.

    pytest-xdist first gives each worker a quarter of its share, of tests that follow each other. So each of these
    chunks begins with as many of the long ones. All workers come to the same order."""
    if part := os.environ.get("PART"):
        items[:] = a_part(items, part)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
    if workers < 2:
        return
    chunk = max(len(items) // workers // 4, 2)
    long = [item for item in items if item.get_closest_marker("long")][: chunk * workers]
    first = set(long)
    rest = [item for item in items if item not in first]
    ordered = []
    for n in range(workers):
        mine = long[n::workers]
        ordered += mine + rest[: chunk - len(mine)]
        del rest[: chunk - len(mine)]
    items[:] = ordered + rest


@pytest.fixture(autouse=True)
def folders():
    """What a test made is removed behind it, whoever of its fixtures ended early."""
    before = temporary.there()
    yield
    for made in temporary.there() - before:
        temporary.remove(made)


def pytest_sessionfinish():
    for made in temporary.there():
        temporary.remove(made)


@pytest.fixture
def mired():
    """mired(...) starts one (see lib.mired.Mired). At the end it is stopped, and the test fails if it did not end
    well, a child died unexpectedly, a sanitizer had something to say or a process was left."""
    started = []

    def start(*arguments, **options):
        m = Mired(*arguments, **options)
        started.append(m)
        return m.start()

    yield start
    wrong = []
    for m in started:
        output = m.daemon.output if m.daemon else None
        wrong += m.stop()
        if output:
            print(f"--- log of the mired on port {m.port}\n{output.text[-20000:]}")
        m.remove()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def postfix():
    """postfix(...) starts a real one (see lib.postfix.Postfix)."""
    started = []

    def start(*arguments, **options):
        p = Postfix(*arguments, **options)
        started.append(p)
        return p.start()

    yield start
    for p in started:
        p.stop()
        print(f"--- log of the Postfix on port {p.port}\n{p.log[-20000:]}")
        p.remove()


@pytest.fixture
def unbound():
    """unbound() makes a DNS server (see lib.unbound), which the test gives its zones and starts."""
    started = []

    def make():
        started.append(Unbound())
        return started[-1]

    yield make
    for u in started:
        u.stop()
        u.remove()


@pytest.fixture
def cable():
    """Two network namespaces with a cable between them (see lib.netns)."""
    made = netns.Cable()
    yield made
    made.close()


@pytest.fixture
def frozen(mired, cable):
    """frozen(time=4) starts a mired on the far side of the cable that freezes every hold."""

    def start(time=6, host="0.0.0.0", config="", tarpit="", **options):
        config = f'log_level = "debug"\n{config}'
        tarpit = f"{FROZEN.format(time=time)} {tarpit}"
        m = cable.at_server(lambda: mired(tarpit=tarpit, host=host, config=config, **options))
        m.log.wait("(not )?freezing connections")  # clients are served before there is a freezer
        return m

    return start


@pytest.fixture
def others():
    """Starts what has start(), stop() and remove(), and ends it."""
    started = []

    def start(server):
        started.append(server)
        return server.start()

    yield start
    for server in reversed(started):
        server.stop()
        server.remove()


@pytest.fixture
def fault_proxy():
    """fault_proxy(port) stands before a real backend and breaks conversations (see lib.proxy)."""
    made = []

    def make(target):
        made.append(FaultProxy(target))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()
