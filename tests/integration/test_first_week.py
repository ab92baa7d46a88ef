"""docs/first-week.md, day by day: its commands and configurations as they are written, on the package's configuration. Only
ports, folders and the package manager's commands are the test's own."""

import re
import shlex

from lib import ports
from lib.mired import PEOPLE, SOURCE
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

DOCUMENT = (SOURCE / "docs/first-week.md").read_text()
PACKAGE = (SOURCE / "dist/mired.conf").read_text()
SENDER, HARVESTER = "192.0.2.25", "192.0.2.7"  # as the document has them


def days():
    """The document's chapters: (title, [(kind, text) of each block])."""
    for chapter in DOCUMENT.split("\n## ")[1:]:
        yield chapter.split("\n")[0], re.findall(r"^```(\S+)\n(.*?)^```$", chapter, re.S | re.M)


def block_of(section, text):
    return re.search(rf"^{section} \{{.*?^\}}", text, re.S | re.M)[0]


class Week:
    def __init__(self, mired, folder):
        (folder / "traps").write_text("x7q.5521@example.test\n")
        folder.chmod(0o755)
        self.traps, self.said = folder / "traps", {}
        inner = block_of("tarpit", PACKAGE).split("{", 1)[1].rsplit("}", 1)[0]
        self.m = mired(tarpit=inner, recipients=PEOPLE)
        # The clients of the document, by the addresses that they have here.
        self.here = {SENDER: ports.stranger(), HARVESTER: ports.stranger()}

    def configure(self, text):
        """A block of the document: a section takes the place of the one before, a line comes behind the others."""
        for there, here in self.here.items():
            text = text.replace(there, here)
        text = text.replace("/etc/mired/traps", str(self.traps))
        now = self.m.file.read_text()
        if text.startswith("tarpit"):
            now = re.sub(r"^tarpit \{.*?\}\n(?=[a-z])", lambda _: text, now, flags=re.S | re.M)
        else:
            now += text
        self.m.file.write_text(now)

    def run(self, line):
        words = shlex.split(re.sub(r"\s+#.*", "", line))
        if words[0] != "mirectl":
            assert line in ("mired -t", "systemctl enable --now mired"), line
            return
        words = [self.here.get(word, word) for word in words]
        done = self.m.control(*words[1:])
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        self.said[line] = done.stdout

    def typo(self, source, sender="a@good.test", patience=PATIENCE):
        """What the client hears; None: it still waits after so many seconds."""
        with Client(self.m.port, source=source) as c:
            c.ehlo()
            c.must(f"MAIL FROM:<{sender}>")
            c.send("RCPT TO:<nobody@example.test>\r\n")
            c.socket.settimeout(patience)
            try:
                return c.reply()
            except AssertionError:
                return None

    def traffic(self):
        """A good sender with a typo, and a harvester."""
        good = self.here[SENDER]
        assert deliver(self.m.port, "a@good.test", PEOPLE[0], source=good).ok
        self.m.booked()
        assert self.typo(good).code == 550
        self.m.booked()
        assert deliver(self.m.port, "a@good.test", PEOPLE[1], source=good).ok
        self.m.log.wait("event=late")  # when it would have come
        for _ in range(3):
            assert self.typo(self.here[HARVESTER], "x@harvest.test").code == 550
        until(lambda: "1 message late" in self.m.control("observe", "--since", "1d").stdout)  # it is told a moment later


def test_the_week_goes_as_it_is_written(mired, tmp_path):
    week = Week(mired, tmp_path)
    m = week.m
    first_line = lambda: m.control("status").stdout.splitlines()[0]  # noqa: E731
    assert "observing" in first_line()
    passed = []
    for title, blocks in days():
        if title.startswith("Day 1"):
            week.traffic()
        for kind, text in blocks:
            if kind == "sh":
                for line in text.splitlines():
                    week.run(line)
            elif kind == "mired.conf":
                week.configure(text)
        passed.append(title)
        if title.startswith("Day 0"):
            assert "observing" in week.said["mirectl status"].splitlines()[0]
        elif title.startswith("Day 1"):
            told = week.said["mirectl observe --since 1d"]
            assert f"good.test from {week.here[SENDER]}: 1 message late" in told
            assert f'exempt += {{ "{week.here[SENDER]}" }}' in told
        elif title.startswith("Day 6"):
            assert "it is exempt by now" in week.said["mirectl observe"]
            source = ports.stranger()
            assert week.typo(source).code == 550
            assert " hold=0.0s" in m.log.wait(f"event=refused client={source} "), "it observes"
        elif title.startswith("Day 7"):
            assert "observing" not in week.said["mirectl status"].splitlines()[0]
            assert week.typo(ports.stranger(), "x@other.test", patience=1) is None, "nothing waits"
            assert week.typo(week.here[SENDER]).code == 550, "the exempt sender waits"
    assert [title.split(":")[0] for title in passed[:7]] == ["Day 0", "Day 1", "Day 2", "Day 3", "Day 5", "Day 6", "Day 7"]
    # The last chapter: to go back.
    assert "observing" in first_line() and week.typo(ports.stranger()).code == 550
    assert m.control("release", "0.0.0.0/0", "--all").returncode == 0


def test_it_says_what_each_rule_means_that_a_reply_can_wait_by():
    rules = set(re.findall(r'T\([A-Z]+, "(R\d+)"', (SOURCE / "src/tarpit/tarpit.h").read_text()))
    told = set(re.findall(r"^\| (R\d+) \|", DOCUMENT, re.M))
    assert rules == told and len(rules) > 8


def test_the_package_begins_with_observe_and_the_week_with_the_package():
    tarpit = re.sub(r"#.*", "", block_of("tarpit", PACKAGE))
    assert "observe = true" in tarpit
    first = next(text for title, blocks in days() for kind, text in blocks if kind == "mired.conf")
    assert tarpit.split() == first.split()
