"""scripts/fuzz tells the truth (field notes 31): it said "0 targets failed" with two crashes beside it."""

import os
import pathlib
import subprocess

import pytest

from lib.mired import SOURCE
from lib.waiting import PATIENCE

GOOD = "#!/bin/sh\necho 'stat::number_of_executed_units: 7'\n"
SILENT = "#!/bin/sh\nexit 0\n"  # nothing that the script would show
BAD = "#!/bin/sh\necho '==1==ERROR: AddressSanitizer: heap-buffer-overflow' >&2\nexit 77\n"
MUTE = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def fuzz(tmp_path):
    """fuzz(name=script, ...) runs the script in a tree of its own, with these in place of the targets."""

    def run(**targets):
        scripts, built = tmp_path / "scripts", tmp_path / "build-fuzz" / "tests" / "fuzz" / "room"
        scripts.mkdir()
        built.mkdir(parents=True)
        for name in ("setup", "build"):
            put(scripts / name, "#!/bin/sh\nexit 0\n")
        put(scripts / "fuzz", (SOURCE / "scripts" / "fuzz").read_text())
        for name, text in targets.items():
            put(built / f"fuzz_{name}", text)
        return subprocess.run(
            [scripts / "fuzz"], capture_output=True, text=True, timeout=PATIENCE, env=dict(os.environ, FUZZ_SECONDS="1")
        )

    def put(path: pathlib.Path, text):
        path.write_text(text)
        path.chmod(0o755)

    return run


def test_good_targets_pass(fuzz):
    done = fuzz(one=GOOD, two=SILENT)
    assert done.returncode == 0 and "0 of 2 targets failed" in done.stdout, done.stdout
    assert "number_of_executed_units: 7" in done.stdout


@pytest.mark.parametrize("wrong", [BAD, MUTE], ids=["loud", "mute"])
def test_a_target_that_fails_fails_the_run_and_is_named(fuzz, wrong):
    done = fuzz(one=GOOD, two=wrong, three=GOOD, four=SILENT)
    assert done.returncode != 0 and "1 of 4 targets failed: fuzz_two" in done.stdout, done.stdout
    assert "room/two failed with status" in done.stdout


def test_all_that_fail_are_counted(fuzz):
    done = fuzz(one=BAD, two=BAD, three=MUTE)
    assert done.returncode != 0 and "3 of 3 targets failed" in done.stdout


def test_no_target_at_all_is_a_failure(fuzz):
    done = fuzz()
    assert done.returncode != 0 and "0 of 0 targets failed" in done.stdout
