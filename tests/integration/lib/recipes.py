"""docs/recipes as they are written, for tests that stand them up: but for ports, paths and the domain."""

import pathlib
import re

from . import ports
from .smtp import Client

RECIPES = pathlib.Path(__file__).resolve().parents[3] / "docs" / "recipes"
USER = "alice@example.test"
# What relay testers send, and more of the kind: each leads joe@evil.test through a server that reads routes.
PROBES = [
    "<joe@evil.test>",
    "joe@evil.test",
    "<joe%evil.test@example.test>",
    "<joe%evil.test@EXAMPLE.Test>",
    "<evil.test!joe@example.test>",
    "<relay.test!evil.test!joe@example.test>",
    '<"joe@evil.test"@example.test>',
    '<"joe%evil.test"@example.test>',
    '<"evil.test!joe"@example.test>',
    '<"joe\\@evil.test"@example.test>',
    '<"joe\\%evil.test"@example.test>',
    '<"\\joe@evil.test"@example.test>',
    '<" joe@evil.test"@example.test>',
    '<"joe@[192.0.2.1]"@example.test>',
    '<"@relay.test:joe@evil.test"@example.test>',
    '<"<joe@evil.test>"@example.test>',
    '<"joe,joe@evil.test"@example.test>',
    "<alice+joe%evil.test@example.test>",
    "<alice%evil.test@example.test>",
    "<postmaster%evil.test@example.test>",
    "<joe%evil.test%example.test@example.test>",
    "<joe%evil.test>",
    "<evil.test!joe>",
    '<"joe@evil.test">',
    "<@example.test:joe@evil.test>",
    "<@example.test:joe%evil.test@example.test>",
    "<@evil.test:joe%evil.test@example.test>",
    "<@example.test,@evil.test:evil.test!joe@example.test>",
    "<joe@evil.test@example.test>",
    "<joe%evil.test@[127.0.0.1]>",
    '<"joe@evil.test"@[127.0.0.1]>',
    "<joe@[127.0.0.1]>",
    "<joe@evil.test:25>",
    "<evil.test:joe@example.test>",
    "<joe@example.test%evil.test>",
]


def block(recipe, kind):
    """A block of a recipe, with the tests' domain."""
    text = re.search(rf"```{re.escape(kind)}\n(.*?)```", (RECIPES / f"{recipe}.md").read_text(), re.S)[1]
    return text.replace("example.org", "example.test")


def configured(mired, recipe, replace, **options):
    """A mired with the recipe's mired.conf; `replace` is what differs here. Tarpit times are the test's own."""
    text = block(recipe, "mired.conf")
    text = re.sub(r"^(hostname|domains|tarpit|listen .*:25\").*\n", "", text, flags=re.M)
    for old, new in replace.items():
        assert old in text, (recipe, old)
        text = text.replace(old, str(new))
    kept = dict(tarpit="time = 1s growth = 1", recipients=None, backend="")
    return mired(**{**kept, **options}, config=text)


def recipes_postfix(postfix, more=""):
    """A Postfix as its recipe says; `postfix` makes it."""
    listener, *options = block("postfix", "master.cf").splitlines()
    assert listener.split()[1:2] == ["inet"] and options
    return postfix(extra=block("postfix", "main.cf") + more, options="\n".join(options))


def serves(m, port=None, source=None):
    """What every recipe is for: a good message, a typo, a harvest. Returns the address from which the good one came."""
    port, source = port or m.port, source or ports.stranger()
    with Client(port, source=source) as client:
        client.ehlo("client.elsewhere.test")
        assert client.message("a@b.test", USER, b"Subject: good\r\n\r\nx\r\n").code == 250
    with Client(port, source=ports.stranger()) as client:
        client.ehlo()
        replies = client.envelope("a@b.test", ["alicia@example.test", USER])
        assert replies[0].code == 550 and "5.1.1" in replies[0] and replies[0].seconds >= 0.99, replies[0]
        assert replies[1].code == 250
    with Client(port, source=ports.stranger()) as client:
        client.ehlo()
        took = sum(r.seconds for r in client.envelope("a@b.test", [f"guess{i}@example.test" for i in range(4)]))
        assert took >= 3.9
    return source


def ask(m, recipient):
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<spammer@elsewhere.test>")
        return client.say(f"RCPT TO:{recipient}")


def relays_nothing(m):
    """Good mail passes; no probe is taken, by whatever backend stands behind."""
    with Client(m.port) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
    taken = [(probe, reply.text) for probe in PROBES if (reply := ask(m, probe)).code not in (501, 550, 553)]
    assert not taken
    for probe in PROBES[2:21]:  # those of our domain
        reply = ask(m, probe)
        assert reply.code == 550 and "5.7.1" in reply and "relaying denied" in reply, probe
