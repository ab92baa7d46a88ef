"""mirectl itself: a mired that is stopped, hung or of another version, JSON for everything, who may ask, completions."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from lib import ports, processes
from lib.mired import BUILD, CONTROL
from lib.smtp import Client
from lib.waiting import PATIENCE, until

OTHER = BUILD / "ctl" / "mirectl-other"  # the same program, of control protocol 99
COMPLETIONS = BUILD / "ctl"


def run(*words, program=CONTROL, timeout=PATIENCE, **more):
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=timeout, **more)


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def assert_error(done, status, code, *words):
    """The exit status, one sentence, and the same as JSON."""
    assert done.returncode == status, (done.stdout, done.stderr)
    (result,) = lines(done.stdout)
    assert result["ok"] is False and result["code"] == code, result
    assert f"mirectl: {result['error']}" in done.stderr
    for word in words:
        assert word in result["error"], result


# ---- a disk that is full ----


def test_a_result_that_is_not_written_whole_is_no_success(mired, tmp_path):
    """More than a buffer of it and less: half of a list of recipients or of the ledger must not pass for the whole."""
    m = mired()
    assert m.control("exempt", "192.0.2.7").returncode == 0
    many = tmp_path / "many.csv"
    many.write_text("EmailAddress\n" + "".join(f"user{i}@example.test\n" for i in range(10000)))
    for words in (["import", many], ["-s", m.folder / "run/control", "ledger", "dump"], ["--version"], ["help"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([CONTROL, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        assert done.returncode == 1 and "only a part" in done.stderr, words
        assert run(*words).returncode == 0


# ---- a mired that does not answer ----


def test_a_mired_that_never_ran(tmp_path):
    done = run("-s", tmp_path / "control", "--json", "status")
    assert_error(done, 3, "unreachable", "cannot reach mired", "is mired running", "-s SOCKET")


def test_a_mired_that_is_stopped_and_one_that_was_killed(mired):
    m = mired()
    for end in (m.stop, m.kill_all):
        if not m.daemon:
            m.start()
        end()
        m.daemon = None
        for command in (["status"], ["release", "192.0.2.7"], ["top"], ["ledger", "load", m.file], ["advise"]):
            if command[0] == "ledger":
                (m.folder / "one").write_text('{"kind":"client","address":"192.0.2.7"}\n')
                command[2] = m.folder / "one"
            assert_error(m.control("--json", *command), 3, "unreachable", "is mired running")


@pytest.mark.parametrize("who", ["all of it", "its web process"])
def test_a_mired_that_hangs(mired, who):
    m = mired()
    (web,) = m.processes("web")
    stopped = [web] if who != "all of it" else [m.pid, *processes.children(m.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = m.control("--json", "status")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert_error(done, 3, "unreachable", "has not answered for 5 s", "journalctl", "systemctl restart")
    until(lambda: m.control("status").returncode == 0)


def test_a_mired_that_ends_while_it_is_asked(mired):
    m = mired(tarpit="time = 30s")
    (web,) = m.processes("web")
    m.deaths_expected = True
    os.kill(web, signal.SIGSTOP)
    asking = subprocess.Popen(
        [CONTROL, "-s", m.folder / "run" / "control", "ledger", "dump"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    m.kill_all()
    _, said = asking.communicate(timeout=PATIENCE)
    m.daemon = None
    assert asking.returncode == 3 and said, said


def test_a_mired_of_another_version(mired):
    """A mirectl of the next protocol asks: neither takes the other's words for what they are not."""
    m = mired()
    path = m.folder / "run" / "control"
    for command in (["status"], ["release", "192.0.2.7"], ["top"]):
        done = run("-s", path, "--json", *command, program=OTHER)
        assert_error(done, 3, "version", "version 1", "99", "installed with it")
    assert "command=release" not in m.log.text


def answering(path, line):
    """Somebody else at the control socket, who says that to whatever is asked."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()
    pid = os.fork()
    if pid == 0:
        while True:
            c, _ = s.accept()
            c.recv(65536)
            c.sendall(line)
            c.close()
    s.close()
    return pid


@pytest.mark.parametrize(
    "line,words",
    [
        (b'{"v":2,"ok":true,"version":"9.9"}\n', ("speaks version 2", "version 1", "installed with it")),
        (b'{"v":2,"ok":false,"code":"version","error":"this mired (9.9) speaks version 2"}\n', ("speaks version 2",)),
        (b"220 mx.example.org ESMTP\r\n", ("is not mired",)),
        (b"[]\n", ("is not mired",)),
    ],
)
def test_an_answer_that_is_of_another_version_or_no_mired_at_all(tmp_path, line, words):
    pid = answering(tmp_path / "control", line)
    try:
        assert_error(run("-s", tmp_path / "control", "--json", "status"), 3, "version", *words)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def asked(m, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(m.folder / "run" / "control"))
        s.sendall(line)
        with s.makefile() as answers:
            return json.loads(answers.readline())


def test_mired_says_which_version_it_speaks(mired):
    m = mired()
    answer = asked(m, b'{"v":2,"command":"status"}\n')
    assert answer["code"] == "version" and "version 1" in answer["error"]
    answer = asked(m, b'{"v":1,"command":"dance"}\n')
    assert answer["code"] == "version" and "mirectl upgrade" in answer["error"]
    for nonsense in (b"hello\n", b"[]\n", b'{"v":1,"command":"status","args":3}\n', b'{"v":"1","command":"status"}\n'):
        assert asked(m, nonsense)["code"] == "usage"


# ---- JSON ----


def test_every_command_has_json_and_so_has_every_mistake(mired):
    m = mired()
    with Client(m.port, source="127.0.0.7") as c:
        c.ehlo()
        c.envelope("a@b.test", ["nobody@example.test"])
    m.booked()
    (m.folder / "dump").write_text(m.control("ledger", "dump").stdout)
    (m.folder / "reg").write_text('"TarpitTime"=dword:00000014\n')
    (m.folder / "attack").write_text("0 192.0.2.1 unknown 5\n")
    good = [
        ["status"], ["clients"], ["show", "127.0.0.7"], ["release", "127.0.0.7"], ["exempt", "192.0.2.9"], ["exempt", "--list"],
        ["exempt", "--remove", "192.0.2.9"], ["penalise", "192.0.2.9"], ["recipient", "alice@example.test"], ["ledger", "dump"],
        ["ledger", "load", m.folder / "dump"], ["advise"], ["top"], ["import", m.folder / "reg"],
        ["simulate", "--attack", m.folder / "attack"], ["reload"],
    ]  # fmt: skip
    for words in good:
        done = m.control("--json", *words)
        assert done.returncode == 0, (words, done.stderr)
        *_, last = lines(done.stdout)
        assert last.get("ok") is True or words == ["top"], (words, last)
        assert not done.stderr
    wrong = [
        (1, "missing", ["show", "198.51.100.99"]), (2, "usage", ["show", "nonsense"]), (2, "usage", ["clients", "--sort", "beauty"]),
        (2, "usage", ["top", "--sort", "beauty"]), (2, "usage", ["frobnicate"]), (2, "usage", ["show"]), (2, "usage", []),
        (2, "usage", ["import"]), (1, "refused", ["exempt", "10.0.0.0/8"]), (2, "usage", ["ledger", "load"]),
        (1, "refused", ["ledger", "load", m.folder / "nothing"]), (1, "refused", ["import", m.folder / "nothing"]),
        (2, "usage", ["--frobnicate"]), (2, "usage", ["penalise", "192.0.2.9", "--offences", "many"]),
    ]  # fmt: skip
    for status, code, words in wrong:
        assert_error(m.control("--json", *words), status, code)
    m.file.write_text(m.file.read_text() + "frobnicate = 3\n")
    assert_error(m.control("--json", "reload"), 1, "refused", "frobnicate")


# ---- who may ask, and who asked ----


def test_every_change_is_logged_with_who_asked(mired):
    m = mired()
    (m.folder / "one").write_text('{"kind":"client","address":"192.0.2.7","offences":2}\n')
    changes = [
        ["penalise", "192.0.2.7"], ["release", "192.0.2.7"], ["exempt", "192.0.2.7"], ["exempt", "--remove", "192.0.2.7"], ["penalise", "192.0.2.7"],
        ["ledger", "load", m.folder / "one"], ["reload"], ["stop"],
    ]  # fmt: skip
    for words in changes:
        assert m.control(*words).returncode == 0
    m.daemon.process.wait()
    m.log.wait_end()
    log = m.log.text
    for words in changes:
        name = words[0] if words[0] != "ledger" else '"ledger load"'
        name = '"exempt --remove"' if "--remove" in words else name
        found = re.search(rf"event=control command={name} .*by_uid={os.getuid()} by_pid=\d+", log)
        assert found, (words, log)
        assert words[0] in ("ledger", "reload", "stop") or "about=192.0.2.7" in found[0]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to be somebody else")
def test_only_root_the_user_and_its_group_may_ask(mired):
    """Also where the socket's mode was widened: the credentials are asked of the kernel."""
    m = mired(user="nobody")
    path = m.folder / "run" / "control"
    assert path.stat().st_mode & 0o777 == 0o660
    (m.folder / "run").chmod(0o755)
    program = m.folder / "mirectl"
    shutil.copy(CONTROL.resolve(), program)
    group = str(path.stat().st_gid)

    def ask(uid, gid, *groups):
        more = ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
        return run("setpriv", "--reuid", uid, "--regid", gid, *more, program, "-s", path, "--json", "penalise",
                   "192.0.2.7", program="/usr/bin/env")  # fmt: skip

    assert_error(ask("1234", "1234"), 3, "unreachable", "Permission denied", "be root, or a member")
    path.chmod(0o666)
    assert_error(ask("1234", "1234"), 1, "refused", "only root")
    m.log.wait(r"command=refused .*by_uid=1234 ")
    for uid, gid, *groups in (("0", "0"), ("65534", "1234"), ("1234", group), ("1234", "1234", group)):
        mark = m.log.mark()
        done = ask(uid, gid, *groups)
        assert done.returncode == 0, (uid, gid, groups, done.stderr)
        m.log.wait(rf"command=penalise .*by_uid={uid} ", since=mark)


# ---- completions and help ----


def table():
    """(command, its options) as help says."""
    shown = run("--help").stdout.split("commands:")[1].split("examples:")[0]
    for match in re.finditer(r"^  ([a-z]+)(.*)$", shown, re.M):
        usage = run(match[1], "--help").stdout.splitlines()[0]
        yield match[1], set(re.findall(r"(?<![\w-])--?[a-z-]+", usage.split(match[1], 1)[1]))


def complete(*words, program="mirectl", file=COMPLETIONS / "mirectl.bash"):
    """What bash offers behind `mirectl WORDS`; the last word is the one being typed."""
    function = "_" + program.replace("-", "_")
    script = (
        f'source "{file}"\nCOMP_WORDS=({program} "$@")\nCOMP_CWORD=$#\n{function}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_every_command_and_option(tmp_path):
    commands = dict(table())
    assert len(commands) >= 15
    assert set(commands) <= complete("")
    assert complete("st") == {"status", "stop"}
    for command, options in commands.items():
        assert options <= complete(command, "-"), command
    assert complete("clients", "--sort", "") == {"held", "offences", "good"}
    assert complete("--json", "-s", "x", "clients", "--sort", "h") == {"held"}
    (tmp_path / "tarpit.reg").touch()
    assert complete("import", f"{tmp_path}/") == {f"{tmp_path}/tarpit.reg"}
    assert complete("ledger", "l") == {"load"}


def test_the_choices_that_are_completed_are_those_that_commands_take(mired):
    """Choices stand in the table of commands; the names of phases, and of orders of clients, elsewhere in the code."""
    m = mired()
    asked = 0
    for command in dict(table()):
        usage = run(command, "--help").stdout.splitlines()[0]
        for option, choices in re.findall(r"(--[a-z-]+) ([a-z]+(?:\|[a-z]+)+)", usage):
            assert complete(command, option, "") == set(choices.split("|"))
            if command == "top":
                continue
            for choice in choices.split("|"):
                assert m.control(command, option, choice).returncode == 0, (command, option, choice)
                asked += 1
            assert m.control(command, option, "beauty").returncode == 2
    assert asked >= 10


def test_zsh_completes_every_command_and_option():
    text = (COMPLETIONS / "_mirectl").read_text()
    for command, options in table():
        assert f"'{command}:" in text
        (row,) = re.findall(rf"^ +{command}\) _arguments(.*);;", text, re.M)
        for option in options:
            assert re.search(rf"'{option}[:']", row), (command, option)
    if shutil.which("zsh"):
        assert subprocess.run(["zsh", "-n", COMPLETIONS / "_mirectl"]).returncode == 0


@pytest.mark.parametrize("program", ["mired", "mired-sim"])
def test_the_completion_of_the_other_programs_is_what_they_take(program, tmp_path):
    """Made of --help at build time; each option that it offers is one that the program knows."""
    offered = complete("-", program=program, file=BUILD / "dist" / program)
    told = re.findall(r"^  +(-\w)?(?:, )?(--[\w-]+)?", run("--help", program=BUILD / program).stdout, re.M)
    assert offered == {name for pair in told for name in pair if name}
    for option in offered:
        if option == "--json":
            continue  # by itself it is all of the simulation
        said = run(option, program=BUILD / program, cwd=tmp_path).stderr
        assert not re.search(r"unrecogni[sz]ed option|invalid option|unknown option", said), (option, said)
    zsh = (BUILD / "dist" / f"_{program}").read_text()
    assert all(f"'{option}[" in zsh for option in offered)
    if shutil.which("zsh"):
        assert subprocess.run(["zsh", "-n", BUILD / "dist" / f"_{program}"]).returncode == 0


def test_the_completion_of_mired_knows_every_key_and_section_of_the_configuration():
    mired = BUILD / "mired"
    keys = [line.split("\t")[0] for line in run("--keys", program=mired).stdout.splitlines()]
    offered = complete("--keys", "", program="mired", file=BUILD / "dist" / "mired")
    assert len(keys) > 70 and set(keys) <= offered
    assert offered - set(keys) == {key.split(".")[0] for key in keys if "." in key}
    assert complete("--keys", "tarpit.fr", program="mired", file=BUILD / "dist" / "mired") == {"tarpit.freeze", "tarpit.freeze_after"}
    for name in offered:
        shown = run("--keys", name, program=mired)
        assert shown.returncode == 0 and shown.stdout, name
    assert run("--keys", "tarpit.beauty", program=mired).returncode == 1
