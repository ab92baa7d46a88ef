"""The way of a message's octets: scanned, kept, handed over."""

import subprocess

import pytest

from lib.mired import BUILD

SCANNER = BUILD / "tests/unit/smtp/test_smtp_data_vectors"


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 77])
def test_the_scanner_with_vectors_decides_as_the_scalar_one_over_a_billion_octets(seed):
    done = subprocess.run([SCANNER, str(10**9), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
