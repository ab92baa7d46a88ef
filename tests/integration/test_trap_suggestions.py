"""R15: `mirectl traps --suggest` proposes what many strangers try and nobody else, asks the directories once more, and
adds nothing by itself."""

import json
import struct

from lib import ports
from lib.mired import PEOPLE
from lib.smtp import Client, deliver

BAIT = "x7q.5521@example.test"
DAYS = 4  # octets before the text of a candidate in state/tried: see struct candidate


def guess(m, address, source=None, sender="a@b.test"):
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must(f"MAIL FROM:<{sender}>")
        return c.say(f"RCPT TO:<{address}>")


def spray(m, address, networks=9, **options):
    for _ in range(networks):
        assert guess(m, address, **options).code == 550


def days_pass(m, days=5):
    """What stands in state/tried has been tried on so many days: the test cannot wait for them."""
    m.booked()
    m.stop()
    file = m.folder / "state" / "tried"
    body, at = bytearray(file.read_bytes()), 0
    assert len(body) < 5.2e6
    while (at := body.find(b"@example.test\0", at + 1)) > 0:
        begin = body.rfind(b"\0", 0, at) + 1
        text = body.rfind(bytes(1), 0, begin)  # the octet before the text is the high one of `days`
        struct.pack_into("<I", body, text + 1 - DAYS, days)
    file.write_bytes(body)
    m.start()


def suggested(m):
    done = m.control("traps", "--suggest", "--json")
    assert done.returncode == 0, done.stderr
    return {a["address"]: a for a in json.loads(done.stdout)["suggested"]}


def test_what_many_strangers_try_is_suggested_and_nothing_else(mired):
    m = mired(tarpit="time = 0", config='log_level = "warn"')
    good = ports.stranger()
    assert deliver(m.port, "a@good.test", PEOPLE[0], source=good).ok
    spray(m, BAIT)
    spray(m, "jane.doe@example.test")
    spray(m, "alic@example.test")  # a typing error of alice@
    spray(m, "known.to.friends7@example.test")
    assert guess(m, "known.to.friends7@example.test", source=good).code == 550
    spray(m, "bounced.7@example.test", sender="")
    spray(m, "hired.today7@example.test")
    spray(m, "few.7@example.test", networks=2)
    assert suggested(m) == {}  # of one day
    assert "No address to suggest yet" in m.control("traps", "--suggest").stdout
    m.recipients.write_text(m.recipients.read_text() + "hired.today7@example.test\n")
    days_pass(m)
    told = suggested(m)
    assert list(told) == [BAIT, "jane.doe@example.test"]
    assert 5 <= told[BAIT]["networks"] <= 12 and told[BAIT]["days"] == 5 and told[BAIT]["first_ms"] <= told[BAIT]["last_ms"]
    assert not told[BAIT]["name_like"] and told["jane.doe@example.test"]["name_like"]
    text = m.control("traps", "--suggest").stdout
    assert BAIT in text and "(a name?)" in text and 'traps = { "file:/etc/mired/traps" }' in text
    # It has added none: the address is still only unknown.
    assert "5.1.1" in guess(m, BAIT)
    assert m.control("traps").returncode == 2


def test_what_is_put_into_a_file_of_traps_is_one_and_no_longer_suggested(mired, tmp_path):
    m = mired(tarpit="time = 0", config='log_level = "info"')
    spray(m, BAIT)
    days_pass(m)
    assert list(suggested(m)) == [BAIT]
    traps = tmp_path / "traps"
    traps.write_text(BAIT + "\n")
    tmp_path.chmod(0o755)
    m.file.write_text(m.file.read_text().replace("time = 0", f'time = 0 traps = {{ "file:{traps}" }}'))
    assert m.control("reload").returncode == 0
    assert guess(m, BAIT).code == 550
    m.log.wait(r"event=refused .*why=trap")
    assert suggested(m) == {}
