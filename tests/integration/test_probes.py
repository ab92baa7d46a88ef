"""The probes of docs/debugging.md are in the program, with as many arguments as the document says."""

import re
import subprocess

import pytest

from lib.mired import PROGRAM, SOURCE


def documented():
    text = (SOURCE / "docs" / "debugging.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.M)
    # What stands in brackets explains one argument.
    return {name: len(re.sub(r"\([^)]*\)", "", arguments).split(",")) for name, arguments in rows}


def built():
    notes = subprocess.run(["readelf", "-n", PROGRAM], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Provider: mired\s+Name: (\w+)\s+.*?Arguments: ([^\n]*)", notes, re.S)
    return {name: len(arguments.split()) for name, arguments in found}


def test_the_probes_of_the_document_are_in_the_program():
    if not built():
        pytest.skip("built without <sys/sdt.h>")
    assert built() == documented()
