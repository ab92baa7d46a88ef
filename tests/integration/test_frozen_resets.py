"""Which resets the rule for frozen connections drops, and which pass, when nothing listens."""

import socket

import pytest

from lib import netns, processes
from lib.frozen import ask, frozen_in, told
from lib.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")

# What is listened at, and where a client connects to.
LISTENERS = [
    ("0.0.0.0", netns.SERVER),
    (netns.SERVER, netns.SERVER),
    ("::", netns.SERVER6),
    (netns.SERVER6, netns.SERVER6),
]


def release(mired, client):
    address = client.socket.getsockname()[0].removeprefix("::ffff:")
    assert mired.control("release", address).returncode == 0


@pytest.mark.parametrize(("listen", "at"), LISTENERS)
def test_after_a_kill_what_a_client_sends_is_not_answered_by_a_reset(frozen, cable, listen, at):
    """Nothing listens then, and the resets are the kernel's own."""
    m = frozen(time=240, host=listen)
    client = ask(m.port, 1, host=at)
    until(lambda: frozen_in(m) == 1)
    client.send("NOOP\r\n")
    m.kill_all()
    client.send("NOOP\r\n")
    assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    cable.at_server(m.start)
    until(lambda: frozen_in(m) == 1)
    client.send("NOOP\r\n")
    release(m, client)
    told(client)
    assert [client.reply().code for _ in range(3)] == [250] * 3


def test_a_port_without_listener_refuses_while_connections_are_frozen(frozen, cable):
    m = frozen(time=240, host=netns.SERVER)
    client = ask(m.port, 1)
    until(lambda: frozen_in(m) == 1)
    processes.kill_all(m.processes("freezer"))
    m.deaths_expected = True
    m.kill_all()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((netns.SERVER, m.port), timeout=PATIENCE)
    cable.at_server(m.start)
    release(m, client)
    told(client)
