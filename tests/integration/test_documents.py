"""What is written about mired is so: keys, commands, pages, the unit."""

import pathlib
import re
import shutil
import subprocess

import pytest

from lib.mired import CONTROL, PROGRAM
from lib.waiting import PATIENCE

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def read(path):
    return (SOURCE / path).read_text()


def keys():
    """(section, key) of the tables in src/config/keys.c."""
    for table, body in re.findall(r"keys_(\w+)\[\] = \{(.*?)END", read("src/config/keys.c"), re.S):
        for name in re.findall(r'\{"(\w+)",', body):
            yield table, name


def test_every_key_is_described():
    document = read("docs/configuration.md")
    found = list(keys())
    assert len(found) > 50
    for table, name in found:
        assert re.search(rf"\| `{name}`", document), f"{name} of {table}"


def test_the_manual_page_has_every_key_with_its_default_and_values():
    """Issue 14, proof 4: mired.conf(5) is made of the document, whose cells come from the schema."""
    page = subprocess.run(
        [SOURCE / "scripts/manpage", "mired.conf", "5", "x", SOURCE / "docs/configuration.md"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    plain = re.sub(r"\\(.)", r"\1", page)
    shown = subprocess.run([PROGRAM, "--keys"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert len(shown.splitlines()) > 70
    for line in shown.splitlines():
        name, default, values, when, _ = line.split("\t")
        default = default[1:-1].replace("`", "*") if default.startswith("(") else f"*{default}*"
        values += "; from the next start" if when == "start" else ""
        row = f"*{name.rsplit('.')[-1]}*\n\n\tdefault: {default}\n\n\tvalues: {values}\n"
        assert row in plain, row


def test_every_command_is_described_and_has_an_example():
    page = read("man/mirectl.8.scd")
    shown = subprocess.run([CONTROL, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
    commands = set(re.findall(r"^  ([a-z]+) ", shown.split("commands:")[1].split("examples:")[0], re.M))
    assert len(commands) >= 9
    for command in commands:
        assert re.search(rf"^\*{command}\b", page, re.M), command
        one = subprocess.run([CONTROL, command, "--help"], capture_output=True, text=True, timeout=PATIENCE)
        assert one.returncode == 0 and f"mirectl {command}" in one.stdout.split("example:")[1]


@pytest.mark.skipif(not shutil.which("scdoc"), reason="scdoc is not installed")
@pytest.mark.parametrize(
    "page", ["mired.8", "mirectl.8", "mired-sim.1", "mired.conf.5 docs/configuration.md", "mired-tarpit.7 docs/tarpit.md"]
)
def test_pages_are_well_formed(page):
    name, *made_of = page.split()
    stem, section = name.rsplit(".", 1)
    if made_of:
        made = subprocess.run(
            [SOURCE / "scripts/manpage", stem, section, "what it is", SOURCE / made_of[0]], capture_output=True, check=True
        ).stdout
    else:
        made = read(f"man/{name}.scd").encode()
    roff = subprocess.run(["scdoc"], input=made, capture_output=True)
    assert roff.returncode == 0, roff.stderr.decode()
    assert f'.TH "{stem}" "{section}"'.encode() in roff.stdout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("files, exposure", [(["mired.service"], 20), (["mired.service", "separate-users.conf"], 35)])
def test_the_unit_is_hardened(tmp_path, files, exposure):
    unit = tmp_path / "mired.service"
    unit.write_text("\n".join(read(f"dist/{file}") for file in files))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={exposure}", unit],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_every_document_is_linked_and_every_link_leads_somewhere():
    documents = [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", *sorted((SOURCE / "docs").rglob("*.md"))]
    linked = set()
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" in target:
                continue
            path = (document.parent / target).resolve()
            assert path.exists(), f"{document.name} links to {target}"
            linked.add(path)
    for document in documents[2:]:
        assert document in linked, f"nobody links to {document.name}"


def test_what_the_symptoms_quote_of_the_log_is_what_the_log_says():
    """A line of the log that was reworded must not be searched for in vain."""
    sources = "".join(file.read_text() for file in sorted((SOURCE / "src").rglob("*.c")))
    said = re.sub(r'"\s*\n\s*"', "", sources).replace("%s from mired", "XCLIENT from mired")
    said += "".join(f" event={name} " for name in re.findall(r'log_begin\(&\w+, \w+, "(\w+)"\)', sources))
    quoted = re.findall(r'^\| [`"]([^`"]+)[`"] in the log', read("docs/operations.md"), re.M)
    assert len(quoted) >= 6
    for words in quoted:
        assert words.removeprefix("... ") in said, words


DOCUMENTS = [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", SOURCE / "CHANGES.md", *sorted((SOURCE / "docs").rglob("*.md"))]


def prose(document):
    """(number, line) of what is neither in a block nor in a table."""
    fenced = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("|"):
            yield number, line


def test_prose_wraps_at_100_columns():
    """Issue 14, 5. A link or a code span that is longer by itself stands alone on its line."""
    for document in DOCUMENTS:
        for number, line in prose(document):
            alone = re.fullmatch(r"!?\[[^]]*\]\([^)]*\)|\(?`[^`]*`[).:,]*", line.strip())
            assert len(line) <= 100 or alone, f"{document.name}:{number}: {len(line)} columns"


def test_anchors_and_files_that_documents_name_exist():
    """Issue 14, 4 and 6: a heading that is renamed or a file that moves takes its mentions along."""

    def anchors(path):
        heads = re.findall(r"^#+ (.*)", path.read_text(), re.M)
        return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

    for document in DOCUMENTS:
        text = document.read_text()
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
            page = (document.parent / target).resolve() if target else document
            assert anchor in anchors(page), f"{document.name}: {target}#{anchor}"
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.[ch])`", text):
            assert any((SOURCE / folder / name).exists() for folder in ("", "src", "tests")), f"{document.name}: {name}"


# Settings of other programs that documents name in the form of a key of mired.
OTHERS_KEYS = re.compile(r"smtpd_\w+|auth_(failure_delay|username_format)|delay|verify|mode")


def test_names_that_documents_use_exist():
    """Issue 14, 3: a reader who searches for a key, a metric, an event of the log, a file or a test finds it."""
    code = "".join(p.read_text() for folder in ("src", "ctl", "sim", "bench") for p in (SOURCE / folder).rglob("*.[ch]"))
    tests = "".join(p.read_text() for p in (SOURCE / "tests").rglob("*") if p.suffix in (".c", ".h", ".py"))
    shown = subprocess.run([PROGRAM, "--keys"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    known = {name for line in shown.splitlines() for name in line.split("\t")[0].split(".")}
    rules = set(re.findall(r"R\d+", " ".join(re.findall(r"^(?:### |)(R\d.*?)(?::|,.*has a page)", read("docs/tarpit.md"), re.M))))
    looked = 0
    for page in [*DOCUMENTS, SOURCE / "SECURITY.md", *sorted((SOURCE / "man").glob("*.scd"))]:
        text = page.read_text()
        missing = [key for key in re.findall(r"`([a-z_]+) = [^`]*`", text) if key not in known and not OTHERS_KEYS.fullmatch(key)]
        missing += [m for m in re.findall(r"\bmired_[a-z_]+\b", text) if f'"{re.sub("_(bucket|sum|count)$", "", m)}"' not in code]
        missing += [rule for rule in re.findall(r"\bR\d+\b", text) if rule not in rules]
        missing += [event for event in re.findall(r"\bevent=(\w+)", text) if f'"{event}"' not in code]
        missing += [f"state/{name}" for name in re.findall(r"\bstate[`_]?/([a-z-]+)", text) if f"/{name}" not in code and f'"{name}"' not in code]
        for path in re.findall(r"`((?:src|tests|scripts|bench|docs|dist|demo|debian|ctl|sim|man|unit|fuzz)/[^\s`*]+)", text):
            missing += [] if any((SOURCE / folder / path).exists() for folder in ("", "docs", "src", "tests")) else [path]
        for test in re.findall(r"(?<![\w/])(test_\w+)", text):
            missing += [] if f"{test}(" in tests or any((SOURCE / "tests").rglob(f"{test}.*")) else [test]
        assert page.name == "CHANGES.md" or not missing, f"{page.name}: {missing}"
        looked += len(re.findall(r"`", text))
    assert looked > 1000


def mentions(path):
    """Names of files in the comments of a C file: "hold.c", "docs/tarpit.md"."""
    for comment in re.findall(r"/\*.*?\*/", path.read_text(), re.S):
        text = re.sub(r"\s*\n\s*\*? *", " ", comment)
        yield from re.findall(r"(?<![\w./<-])((?:[\w.-]+/)*[a-z_][\w-]*\.(?:[ch]|md|py))(?![\w/])", text)


def test_files_that_comments_name_exist():
    """Issue 14, 6: a comment that sends its reader to another file sends to one that is there."""
    others = ("linux/", "netinet/", "sys/")  # the system's headers
    ours = [p for folder in ("src", "ctl", "sim", "bench", "tests", "docs") for p in (SOURCE / folder).rglob("*")]
    there = {f"/{p.relative_to(SOURCE)}" for p in [*ours, *SOURCE.glob("*.md")]}
    named = {}
    for path in there:
        named.setdefault(path.rsplit("/", 1)[1], []).append(path)
    looked = 0
    for path in ours:
        for name in mentions(path) if path.suffix in (".c", ".h") else ():
            looked += 1
            known = any(p.endswith(f"/{name}") for p in named.get(name.rsplit("/", 1)[-1], []))
            assert known or name.startswith(others) or name == "cmocka.h", f"{path.relative_to(SOURCE)}: {name}"
    assert looked > 300


def test_comments_and_documents_do_not_name_what_users_do_not_have():
    """Issue 14, 6: the design that engineers work from is no document of mired."""
    places = [*DOCUMENTS, *(p for d in ("src", "ctl", "sim", "bench", "tests", "man") for p in (SOURCE / d).rglob("*.[chs]*"))]
    for path in places:
        if path.is_file():
            assert not re.search(r"\bDESIGN(\.md)?\b", path.read_text(errors="replace")), path


PEOPLE = r"whoever|whomever|whom|he|him|his|anew"  # a client is "it" or "the client", and begins "again"
OLD = re.compile(rf"\b({PEOPLE}|haste|crowd|parked|settling|pulse|through the house)\b", re.I)


def test_old_words_are_gone_from_the_documents():
    """Issue 14, 4 and 5: one word an idea; docs/glossary.md has those that are left."""
    pages = [*DOCUMENTS, SOURCE / "SECURITY.md", SOURCE / "debian/control", *sorted((SOURCE / "man").glob("*.scd"))]
    for page in pages:
        for number, line in enumerate(page.read_text().splitlines(), 1):
            assert page.name == "CHANGES.md" or not OLD.search(line), f"{page.name}:{number}: {line}"
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/tarpit.md"):
        assert "glossary.md" in read(page), page


def test_old_words_are_gone_from_comments_and_messages():
    """Issue 14, 5: a reader knows the subject of each sentence. Names such as whom.h and "whom" are code, not prose."""
    old = re.compile(rf"(?<![\w\"/.])({PEOPLE})(?![\w\".])", re.I)
    for folder in ("src", "ctl", "sim", "bench", "tests"):
        for path in sorted((SOURCE / folder).rglob("*.[ch]")):
            text = path.read_text()
            said = re.findall(r"/\*.*?\*/", text, re.S)
            if folder in ("src", "ctl", "sim"):
                said += re.findall(r'"(?:[^"\\\n]|\\.)* (?:[^"\\\n]|\\.)*"', text)
            for words in said:
                found = old.search(words)
                assert not found, f"{path.relative_to(SOURCE)}: {' '.join(words.split())[:200]}"
