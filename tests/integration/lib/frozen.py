"""What tests of frozen holds share: a tarpit that freezes everybody soon, and clients that wait."""

import json

from . import netns
from .smtp import Client
from .waiting import PATIENCE, until

# Every anonymous error is held alike and frozen soon, whatever the client did before.
FROZEN = (
    "time = {time}s max = {time}s growth = 1 pace = false shield = 0 drip = 0 patience_offences = 0 "
    "freeze = auto freeze_after = 200ms held_per_client = 60000"
)
UNKNOWN = "5.1.1"
AGAIN = 20  # seconds: when a client that is not frozen is given up


def source(n):
    return f"10.78.{n // 200 % 250}.{1 + n % 200}"


def ask(port, n=0, host=netns.SERVER, origin=None):
    """A client that has asked for somebody who is not there, and waits. It comes from `origin`, or is the n-th."""
    client = Client(port, host=host, source=origin or (source(n) if ":" not in host else None))
    client.ehlo()
    client.must("MAIL FROM:<a@b.test>")
    client.send("RCPT TO:<nobody@example.test>\r\n")
    return client


def wait_frozen(cable, most):
    """Until no more than `most` TCP sockets are in use on the server's side: those that listen, two for an address."""
    until(lambda: cable.sockets() <= most, why=lambda: f"{cable.sockets()} sockets were still in use")


def told(client):
    reply = client.reply()
    assert reply.code == 550 and UNKNOWN in reply, reply
    return reply


def frozen_in(mired):
    return json.loads(mired.control("--json", "status").stdout)["frozen"]


def waits_frozen(mired, n):
    """The n-th client, frozen. It is looked for by its address: how many are frozen in all, a freezer that begins does not
    know before it has read its table, and one that was killed still says until the master has seen its death."""

    def frozen():
        told = mired.control("--json", "show", source(n)).stdout
        return json.loads(told).get("frozen") if told else None  # none while processes do not answer

    for _ in range(PATIENCE // AGAIN):
        client = ask(mired.port, n)
        try:
            until(lambda: frozen() == 1, AGAIN)
            return client
        except AssertionError:  # a hold that began before the freezer works stays an ordinary one
            client.close()
    raise AssertionError("no hold is frozen")


def release(mired, n, client, disturbed):
    """The n-th client is answered, and all that it sent meanwhile."""
    assert mired.control("release", source(n)).returncode == 0
    told(client)
    assert [client.reply().code for _ in range(disturbed)] == [250] * disturbed
