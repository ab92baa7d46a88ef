"""scripts/valgrind counts every error that valgrind reports: it overlooked leaks, whose lines begin with a number."""

import pathlib
import subprocess

import pytest

from lib.mired import SOURCE
from lib.waiting import PATIENCE

LEAK = """\
==3966== 12 bytes in 1 blocks are definitely lost in loss record 11 of 121
==3966==    at 0x48465EF: calloc (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==3966==    by 0x124403: gather_pairs (role.c:172)
==3966=={space}
"""
READ = """\
==77== Invalid read of size 1
==77==    at 0x10B449: open_talk (client.c:25)
==77==  Address 0x4a is not stack'd, malloc'd or (recently) free'd
==77=={space}
"""

# Plays a process under valgrind.
TEST = """
import os, re
def test_one():
    folder = re.search(r"--log-file=(\\S+)/%p", os.environ["MIRED_UNDER"])[1]
    for number, said in enumerate({said!r}):
        with open(f"{{folder}}/{{number}}", "w") as log:
            log.write(said)
"""


@pytest.fixture
def valgrind(tmp_path):
    """valgrind(said, ...) runs the script in a tree of its own, with a test whose processes have these logs."""

    def run(*said):
        scripts, tests = tmp_path / "scripts", tmp_path / "tests" / "integration"
        scripts.mkdir()
        tests.mkdir(parents=True)
        for name in ("setup", "build"):
            put(scripts / name, "#!/bin/sh\nexit 0\n")
        put(scripts / "valgrind", (SOURCE / "scripts" / "valgrind").read_text())
        put(tests / "test_it.py", TEST.format(said=[text.format(space=" ") for text in said]))
        command = [scripts / "valgrind", "-k", "test_one"]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)

    def put(path: pathlib.Path, text):
        path.write_text(text)
        path.chmod(0o755)

    return run


@pytest.mark.parametrize("error", [LEAK, READ], ids=["leak", "read"])
def test_an_error_in_any_process_fails_the_run_and_is_shown(valgrind, error):
    done = valgrind("", error, "")
    assert done.returncode != 0 and "valgrind: errors in 1 of 3 processes" in done.stdout, done.stdout
    assert error.splitlines()[0] in done.stdout


def test_a_run_without_errors_passes(valgrind):
    done = valgrind("", "")
    assert done.returncode == 0 and "valgrind: errors in 0 of 2 processes" in done.stdout, done.stdout
