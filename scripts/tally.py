"""Adds up the results that scripts/test left in a folder: names what failed, why tests were skipped, and those that
passed only on their second try, and prints one line, which a CI reads. With --failed, prints what of a file of results is worth a second
try.

Unit tests come as meson's JSON log, in which each program's cmocka output is counted; a program that crashed
counts as one failure. Other stages come as a line like the one printed here, at the end of NAME.count; what they
said stands above it, or in NAME.log. Integration tests come as JUnit XML beside pytest's exit status. Beside
NAME.meson.json and NAME.junit.xml, NAME.again.json and NAME.again.xml have the second tries.
"""

import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

PYTEST_OK = {0, 5}  # 5: nothing was selected
PYTEST_FAILED = 1
AGAIN_MOST = 5  # with more, something is broken
SAID_MOST = 25  # lines of what a failed stage said; a CI may keep only the end of what is printed

# A result: how many passed, failed and were skipped.


def of_meson(path):
    """Name of a program -> its result."""
    results = {}
    for line in path.read_text().splitlines():
        program = json.loads(line)
        output = program.get("stdout", "") + program.get("stderr", "")

        def count(word):
            return sum(int(n) for n in re.findall(r"\[ +%s +\] (\d+) test" % word, output))

        bad = count("FAILED")
        if program["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT"):
            bad = max(bad, 1)
        skipped = program["result"] == "SKIP"
        passed = 0 if skipped else count("PASSED") or (0 if bad else 1)
        results[program["name"].split(" / ")[-1]] = (passed, bad, count("SKIPPED") or int(skipped))
    return results


def of_junit(path):
    """Name of a test, as pytest takes it -> its result. One may have failed, and then its fixtures, too."""
    results = {}
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"tests/integration/{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        tags = {child.tag for child in case}
        failed = bool(tags & {"failure", "error"}) or results.get(name, (0, 0, 0))[1] > 0
        skipped = not failed and "skipped" in tags
        results[name] = (int(not failed and not skipped), int(failed), int(skipped))
    return results


def skips_of(path):
    """Why how many were skipped: what a machine cannot do should not look as if it had been tried."""
    if path.suffix == ".xml":
        return collections.Counter(skip.get("message") or "no reason" for skip in xml.parse(path).getroot().iter("skipped"))
    return collections.Counter(f"{name} says so" for name, (_, _, skipped) in of_meson(path).items() for _ in range(skipped))


def read(path):
    return of_junit(path) if path.suffix == ".xml" else of_meson(path)


def failed_of(results):
    return [name for name, (_, failed, _) in results.items() if failed]


def with_second_tries(path):
    """The results of a file, and which of them are those of a second try that was better."""
    results, better = read(path), []
    again = path.with_suffix("").with_suffix(f".again{path.suffix}")
    for name, result in read(again).items() if again.exists() else ():
        if name in failed_of(results) and not result[1]:
            results[name] = result
            better.append(name)
    return results, better


def tally_count(path):
    passed, failed = re.search(r"(\d+) passed, (\d+) failed\s*$", path.read_text()).groups()
    return int(passed), int(failed), 0


def said_by(path):
    """The end of what a stage said."""
    log = path.with_suffix(".log")
    said = (log if log.exists() else path).read_text(errors="replace")
    return said.splitlines()[-SAID_MOST:]


def added(rows):
    return tuple(sum(column) for column in zip(*rows, strict=True)) or (0, 0, 0)


def tally_pytest(status):
    """One that did not come to its end has failed, whatever its report says."""
    report = status.with_suffix(".junit.xml")
    results, better = with_second_tries(report) if report.exists() else ({}, [])
    row, code = added(results.values()), int(status.read_text())
    failed = failed_of(results)
    if not failed and code not in PYTEST_OK and not (better and code == PYTEST_FAILED):
        row, failed = (row[0], 1, row[2]), [f"{status.stem}, which pytest left with status {code}"]
    return row, better, failed


def main(folder):
    rows, unsteady = [], []
    for path in sorted(folder.glob("*.meson.json")):
        results, better = with_second_tries(path)
        rows.append(added(results.values()))
        unsteady += better
        for name in failed_of(results):
            print(f"failed: {name}, {path.name.split('.')[0]}")
    for path in sorted(folder.glob("*.count")):
        rows.append(tally_count(path))
        if rows[-1][1]:
            print("\n".join([f"failed: {path.stem}", *said_by(path)]))
    for status in sorted(folder.glob("*.status")):
        row, better, failed = tally_pytest(status)
        rows.append(row)
        unsteady += better
        for name in failed:
            print(f"failed: {name}")
    for path in sorted([*folder.glob("*.junit.xml"), *folder.glob("*.meson.json")]):
        for why, count in sorted(skips_of(path).items()):
            print(f"skipped, {count} of {path.name.split('.')[0]}: {why}")
    for name in unsteady:
        print(f"unsteady, passed on its second try only: {name}")
    passed, failed, skipped = added(rows)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def again(path):
    failed = failed_of(read(path)) if path.exists() else []
    for name in failed if len(failed) <= AGAIN_MOST else ():
        print(name)


if __name__ == "__main__":
    if sys.argv[1] == "--failed":
        again(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(main(pathlib.Path(sys.argv[1])))
