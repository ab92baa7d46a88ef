import getpass
"""Every block of the documents is run, or says who runs it: shell lines against a running mired, configurations by `mired -t`,
other files by the test that uses them. A block or a command that is not accounted for fails, so that no new document escapes.
"""

import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from lib.certificates import Authority
from lib.mired import PROGRAM
from lib.smtp import Client
from lib.waiting import PATIENCE

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", *sorted((SOURCE / "docs").rglob("*.md"))]

# Files that other tests use as they stand in the document: the text by which such a test asks for them.
USED = {
    "docs/operations.md": {"nftables": '"docs/operations.md"'},
    "docs/recipes/backup-mx.md": {kind: f'block("backup-mx", "{kind}")' for kind in ("mx1 master.cf", "mx2 main.cf", "fetch-recipients")},
    "docs/recipes/certbot.md": {"certbot-hook": 'block("certbot", "certbot-hook")'},
    "docs/recipes/dovecot.md": {"dovecot.conf": 'block("dovecot", "dovecot.conf")'},
    "docs/recipes/exim.md": {"exim.conf": '"exim", "exim-heavy", block="exim.conf"'},
    "docs/recipes/haproxy.md": {"haproxy.cfg": 'block("haproxy", "haproxy.cfg")'},
    "docs/recipes/microsoft-365.md": {kind: f'block("microsoft-365", "{kind}")' for kind in ("connector.ps1", "recipients.ps1")},
    "docs/recipes/opensmtpd.md": {"smtpd.conf": '"opensmtpd", "opensmtpd", block="smtpd.conf"'},
    "docs/recipes/postfix.md": {"master.cf": 'block("postfix", "master.cf")', "main.cf": 'block("postfix", "main.cf")'},
    "docs/recipes/rspamd.md": {"main.cf": 'block("rspamd", "main.cf")', "worker-proxy.inc": 'block("rspamd", "worker-proxy.inc")'},
    "docs/recipes/two-domains.md": {"main.cf": 'block("two-domains", "main.cf")', "dovecot.conf": 'block("two-domains", "dovecot.conf")'},
    "docs/recipes/sendmail.md": {
        "sendmail.mc": '"sendmail", "sendmail", block="sendmail.mc"',
        "sendmail.mc at its end": 'block("sendmail", "sendmail.mc at its end")',
    },
    "docs/recipes/windows.md": {kind: f'block("windows", "{kind}")' for kind in ("export.ps1", "main.cf", "recipients.ps1", "import-recipients")},
}

# Commands that cannot be run here: which test does it, or why nobody can.
ELSEWHERE = {
    r"make run": "test_demo.py starts the demo; scripts/fresh-root does it by this command on a bare Debian",
    r"make run-fleet": "test_fleet.py starts the demo of a fleet",
    r"mirectl fleet": "test_fleet.py has members",
    r"make test( TESTS=.*)?": "this is it",
    r"make soak( TESTS=.*)?": "takes minutes; test_the_makefile_has_what_documents_name",
    r"make": "test_the_makefile_has_what_documents_name",
    r"make (setup|build|check|format|fuzz|coverage|proof|profile|valgrind|sanitize|tsan|soak|bench|fresh|deb|install)": "test_the_makefile_has_what_documents_name; too long for a test",
    r"mirectl upgrade": "test_upgrade.py",
    r"mirectl stop": "test_mirectl.py and test_service.py; it would end the mired of this test",
    r"mirectl import (MetaBase\.xml|tarpit\.reg|connectors\.txt|recipients\.csv)": "test_import_exports.py and the recipes' tests have such files",
    r"demo/try (good|typo|login)": "test_demo.py",
    r"apt install .*mired_\*\.deb": "scripts/fresh-root deb",
    r"apt install (prometheus)": "scripts/setup test",
    r"systemctl (enable( --now)?|disable|reload|restart|edit|daemon-reload)( \w+)?": "no systemd runs here",
    r"(mkdir|ln|rm) .*/mired\.service\.d/?.*|chown -R mired:mired .*|systemctl (stop|start) mired": "test_systemd.py switches users with these",
    r"umask 077": "of the shell that runs the next line",
    r"tar -cz -C /var/lib/mired .*": "test_state_files.py restores such a copy",
    r"useradd .*": "it would make a user of this machine; test_the_example_is_complete takes the files of that block",
    r"fail2ban-regex systemd-journal mired": "this machine's journal has no mired; test_monitoring.py has the log",
    r"promtool test rules alerts_test\.yml": "test_monitoring.py",
    r"smtpd -n|sendmailconfig|exim4 -bV|dig .*": "another program's own command, which a page mentions",
    r"build/tests/unit/sim/test_sim_\w+( .*)?": "a unit test with longer numbers, which take minutes",
    r"mired -c FILE|mired -t( --quick)?|mired --keys|mired --version|mired-sim --charts FOLDER|build/mired-sim": "test_configuration.py and the simulator's unit tests",
}


def name_of(document):
    return str(document.relative_to(SOURCE))


def blocks():
    """(document, kind, text) of each block."""
    for document in DOCUMENTS:
        for kind, text in re.findall(r"^```(.*?)\n(.*?)^```$", document.read_text(), re.S | re.M):
            yield name_of(document), kind, text


def shell_lines():
    for document, kind, text in blocks():
        if kind == "sh":
            for line in text.splitlines():
                yield document, re.sub(r"\s+#.*", "", line).strip()


def is_elsewhere(command):
    return any(re.fullmatch(pattern, command) for pattern in ELSEWHERE)


def test_every_block_is_of_a_kind_that_is_run_or_used():
    for document, kind, text in blocks():
        if kind == "text":  # a picture: nothing in it may look like something to type
            assert not re.search(r"^\s*(sudo|make|mired|mirectl|apt|systemctl|cp|mkdir) ", text, re.M), document
        elif kind not in ("sh", "mired.conf", "ini"):
            assert kind in USED.get(document, {}), f"{document}: nobody uses the block {kind!r}"
    tests = [*(SOURCE / "tests/integration").glob("test_recipe*.py"), *(SOURCE / "tests/integration/lib" / name for name in ("recipes.py", "sites.py"))]
    recipes = "".join(test.read_text() for test in tests)
    for document, kinds in USED.items():
        for kind, text in kinds.items():
            assert (document, kind) in {(d, k) for d, k, _ in blocks()} and text in recipes, (document, kind)
    # Each recipe's mired.conf is run too, not only read by `mired -t`.
    for recipe in (SOURCE / "docs/recipes").glob("*.md"):
        name = recipe.stem
        asks = re.search(rf'block\("{name}"|configured\(\s*mired, "{name}"|stands_before\(mired, others, "{name}"', recipes)
        assert asks, f"no test runs {recipe.name}"


def test_every_exception_is_needed():
    inline = {span for document in DOCUMENTS for span in re.findall(r"`([^`\n]+)`", document.read_text())}
    told = {line for _, line in shell_lines()} | inline
    for pattern in ELSEWHERE:
        assert any(re.fullmatch(pattern, command) for command in told), f"no document has {pattern!r} any more"


def complete(text, folder):
    """A configuration of a document with what this machine does not have put right: files, certificates."""
    for path in ("recipients", "recipients-a", "ldap.password", "passwd", "traps"):
        (folder / path).write_text("secret\n" if path == "ldap.password" else "")
    if "/etc/mired/tls.pem" in text:
        certificate, key = Authority(folder).issue("mx1.example.org", days=30)
        (folder / "tls.pem").write_text(certificate.read_text() + key.read_text())  # the key may also be there
        key.rename(folder / "tls.key")
    return text.replace("/etc/mired/", f"{folder}/")


def example_configurations():
    for document, kind, text in blocks():
        if kind == "mired.conf":
            yield pytest.param(text, id=document)
    yield pytest.param((SOURCE / "dist/mired.conf").read_text(), id="dist/mired.conf")


@pytest.mark.parametrize("text", example_configurations())
def test_every_example_is_a_good_configuration(text, tmp_path):
    file = tmp_path / "mired.conf"
    others = {"domains": 'domains = { "example.org" }', "listen": 'listen "127.0.0.1:2525" { }',
              "backend": 'backend "maildir" { }', "user": f'user = "{getpass.getuser()}"'}  # fmt: skip
    missing = "".join(f"{line}\n" for key, line in others.items() if not re.search(rf"^{key}\b", text, re.M))
    file.write_text(missing + complete(text, tmp_path))
    done = subprocess.run([PROGRAM, "-c", file, "-t"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and "configuration OK" in done.stdout + done.stderr, done.stderr


def run(command, folder, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=SOURCE, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def make_known(m, verb):
    """`show` and `release` need somebody who is known, and another document may have released them."""
    if verb in ("show", "release"):
        assert m.control("penalise", "192.0.2.7").returncode == 0


class Shell:
    """Runs a document's commands with /etc and the installed places in a folder, and mirectl against a mired."""

    def __init__(self, mired, folder):
        self.mired, self.folder = mired, folder
        for name in ("etc/prometheus", "etc/fail2ban/filter.d", "etc/fail2ban/jail.d", "journal"):
            (folder / name).mkdir(parents=True)
        examples = folder / "usr/local/share/doc/mired/examples"
        examples.mkdir(parents=True)
        for name in ("mired.conf", "recipients"):
            shutil.copy(SOURCE / "dist" / name, examples)

    def words(self, line):
        return [re.sub(r"^/(etc|usr/local)/", rf"{self.folder}/\1/", word) for word in shlex.split(line)]

    def mirectl(self, words):
        make_known(self.mired, words[1])
        done = self.mired.control(*words[1:])
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def here(self, words):
        run(words, self.folder)

    def journalctl(self, words):
        """It must know the options; there is nothing to be seen, nor to be waited for."""
        if not shutil.which("journalctl"):
            return
        words = [word for word in words if word != "-f"]
        done = subprocess.run([*words, "-D", self.folder / "journal"], capture_output=True, text=True, timeout=PATIENCE)
        assert "unrecognized" not in done.stderr and "invalid" not in done.stderr and "No journal files" in done.stderr, done.stderr

    def promtool(self, words):
        if shutil.which("promtool"):
            self.here(words)

    def __call__(self, line):
        by = {
            "mirectl": self.mirectl, "cp": self.here, "mkdir": self.here, "promtool": self.promtool, "journalctl": self.journalctl,
        }  # fmt: skip
        words = self.words(line)
        assert words[0] in by, f"{line!r} is neither run nor listed in ELSEWHERE"
        by[words[0]](words)


def test_every_line_of_every_shell_block_is_run_or_accounted_for(mired, tmp_path):
    shell = Shell(mired(tarpit="time = 1s"), tmp_path)
    ran = 0
    for document, line in shell_lines():
        print(f"{document}: {line}")
        if line and not is_elsewhere(line):
            shell(line)
            ran += 1
    assert ran >= 12


def test_who_installs_again_keeps_the_configuration(tmp_path):
    """`make install` of a later version, and then the same lines as the first time."""
    shell = Shell(None, tmp_path)
    (tmp_path / "etc/mired").mkdir()
    own = [tmp_path / "etc/mired" / name for name in ("mired.conf", "recipients")]
    for file in own:
        file.write_text("mine\n")
    lines = [line for _, line in shell_lines() if "/mired/examples/" in line and line.split()[0] == "cp"]
    for line in lines:
        shell(line)
    assert len(lines) >= 2 and [file.read_text() for file in own] == ["mine\n"] * 2


def test_every_command_in_running_text_is_run_or_accounted_for(mired, tmp_path):
    """What stands in backquotes and is a command; the words in capitals stand for something."""
    stands_for = {"ADDRESS": "192.0.2.7", "NETWORK": "192.0.2.0/24", "ACCOUNT": "alice@example.test"}
    m = mired(tarpit="time = 1s")
    assert m.control("penalise", "192.0.2.7").returncode == 0
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login("alice@example.test", "wonderland").code == 235
    m.booked()
    needs_more = {"show", "release", "exempt", "penalise", "recipient", "import"}
    verbs = re.compile(r"(mirectl|mired|make|demo/\w+|systemctl|journalctl|apt|promtool|fail2ban-\w+|build/\S+|dig) \S")
    for document in DOCUMENTS:
        for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.S | re.M)):
            if not verbs.match(span) or is_elsewhere(span):
                continue
            words = [stands_for.get(word, word) for word in shlex.split(span)]
            if words[0] == "mirectl" and words[1:] and len(words) == 2 and words[1] in needs_more:
                words.append("--help")
            if words[0] == "mirectl":
                make_known(m, words[1] if words[1:] else "")
                done = m.control(*words[1:])
                assert done.returncode == 0, f"{name_of(document)}: {span}: {done.stderr}"
            elif words[0] == "journalctl":
                assert span in {line for _, line in shell_lines()}, f"{name_of(document)}: {span}"
            else:
                raise AssertionError(f"{name_of(document)}: `{span}` is neither run nor listed in ELSEWHERE")


def test_the_makefile_has_what_documents_name():
    targets = set(re.findall(r"^([a-z]+):.*##", (SOURCE / "Makefile").read_text(), re.M))
    for document in DOCUMENTS:
        text = document.read_text()
        for target in re.findall(r"^make ([a-z]+)|`make ([a-z]+)", text, re.M):
            assert (target[0] or target[1]) in targets, f"{name_of(document)}: make {target}"


def test_the_example_is_complete(tmp_path):
    """`make install` puts the unit where systemd looks, with the program where it is; and the examples of the first hour."""
    run(["meson", "install", "-C", PROGRAM.parent, "--no-rebuild", "--destdir", tmp_path], tmp_path)
    unit = next(tmp_path.rglob("lib/systemd/system/mired.service")).read_text()
    program = re.search(r"^ExecStart=(\S+)", unit, re.M)[1]
    assert (tmp_path / program.lstrip("/")).exists(), program
    examples = next(tmp_path.rglob("share/doc/mired/examples"))
    for _, line in shell_lines():
        for name in re.findall(r"share/doc/mired/examples/(\S+)", line):
            assert (examples / name).exists(), name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_every_unit_override_is_understood(tmp_path):
    for document, kind, text in blocks():
        if kind != "ini":
            continue
        unit = tmp_path / "mired.service"
        unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={PROGRAM}", (SOURCE / "dist/mired.service").read_text(), flags=re.M))
        (tmp_path / "mired.service.d").mkdir(exist_ok=True)
        (tmp_path / "mired.service.d/override.conf").write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=PATIENCE)
        assert "override.conf" not in done.stdout + done.stderr, f"{document}: {done.stderr}"
