"""Adds up the results that scripts/test left in a folder and prints one line, which a CI reads.

Unit tests come as meson's JSON log, in which each program's cmocka output is counted; a program that crashed
counts as one failure. Replayed fuzz inputs come as a line like the one printed here. Integration tests come as
JUnit XML beside pytest's exit status.
"""

import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

PYTEST_OK = {0, 5}  # 5: nothing was selected


def tally_meson(path):
    passed = failed = skipped = 0
    for line in path.read_text().splitlines():
        program = json.loads(line)
        output = program.get("stdout", "") + program.get("stderr", "")

        def count(word):
            return sum(int(n) for n in re.findall(r"\[ +%s +\] (\d+) test" % word, output))

        bad = count("FAILED")
        if program["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT"):
            bad = max(bad, 1)
        failed += bad
        skipped += count("SKIPPED")
        passed += count("PASSED") or (0 if bad else 1)
    return passed, failed, skipped


def tally_junit(path):
    suite = xml.parse(path).getroot().find("testsuite")
    total, failures, errors, skipped = (
        int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def tally_count(path):
    passed, failed = re.search(r"(\d+) passed, (\d+) failed\s*$", path.read_text()).groups()
    return int(passed), int(failed), 0


def main(folder):
    rows = [tally_meson(path) for path in sorted(folder.glob("*.meson.json"))]
    rows += [tally_count(path) for path in sorted(folder.glob("*.count"))]
    for status in sorted(folder.glob("*.status")):
        report = status.with_suffix(".junit.xml")
        row = tally_junit(report) if report.exists() else (0, 0, 0)
        if int(status.read_text()) not in PYTEST_OK and row[1] == 0:
            row = (row[0], 1, row[2])  # pytest itself failed
        rows.append(row)
    passed, failed, skipped = (sum(column) for column in zip(*rows))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
