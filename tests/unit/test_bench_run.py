"""bench/run --write replaces what it has written to the document, and nothing else."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

BENCH = pathlib.Path(sys.argv.pop(1)) / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(BENCH / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


# A part of the benchmark: measures one more each time, or fails.
PART = """#!/usr/bin/python3
import pathlib, sys
count = pathlib.Path(__file__).with_suffix(".count")
n = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(n))
if "--fail" in sys.argv:
    sys.exit(1)
with open(sys.argv[sys.argv.index("--markdown") + 1], "a") as f:
    f.write(f"## Speed {' '.join(sys.argv[2:-2])}\\n\\n| what | measured |\\n| --- | ---: |\\n| runs | {n} |\\n\\n")
"""

BY_HAND = """# Benchmarks

Written by hand: <!-- a comment --> first.

<!-- bench/run: fast -->

## Speed of an earlier version

| runs | 0 |

<!-- end of bench/run: fast -->

Written by hand: in between.

    <!-- no mark: bench/run -->

## Speed

Written by hand: last.
"""


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.document = pathlib.Path(folder.name) / "benchmarks.md"
        self.document.write_text(BY_HAND)
        self.run = load("run")
        self.run.PROGRAMS, self.run.DOCUMENT = pathlib.Path(folder.name), self.document
        self.run.PARTS = {"speed": {"fast": ["--fast"], "slow, cold": ["--slow"]}, "wrong": {"wrong": ["--fail"]}}
        for part in self.run.PARTS:
            program = pathlib.Path(folder.name) / part
            program.write_text(PART)
            program.chmod(0o755)

    def bench(self, *words):
        with mock.patch.object(sys, "argv", ["bench/run", *words]), mock.patch("builtins.print"):
            self.run.main()
        return self.document.read_text()

    def assertByHand(self, text):
        """Everything outside the sections is as it was, in its order."""
        lines, inside = [], False
        for line in text.splitlines():
            if line.startswith("<!-- bench/run:"):
                inside = True
            if not inside:
                lines.append(line)
            if line.startswith("<!-- end of bench/run:"):
                inside = False
        was = BY_HAND[: BY_HAND.index("<!-- bench")] + BY_HAND[BY_HAND.index("fast -->\n\nWritten") + 9 :]
        self.assertEqual([w for w in lines if w], [w for w in was.splitlines() if w])

    def test_its_own_sections_are_replaced_and_what_was_written_by_hand_stays(self):
        first = self.bench("--write", "speed")
        self.assertByHand(first)
        self.assertNotIn("earlier version", first)
        self.assertIn("| runs | 1 |", first)
        self.assertLess(first.index("## Speed --fast"), first.index("in between"), "it stays in its place")
        self.assertGreater(first.index("## Speed --slow"), first.index("last."), "a new one comes last")
        second = self.bench("--write", "speed")
        self.assertByHand(second)
        self.assertEqual(second.count("<!-- bench/run:"), 2)
        self.assertNotIn("| runs | 1 |", second)
        self.assertEqual(len(second.splitlines()), len(first.splitlines()))
        self.assertEqual(second.count("Measured on "), 2)

    def test_without_write_nothing_is_written(self):
        self.assertEqual(self.bench("speed"), BY_HAND)

    def test_a_part_that_fails_takes_nothing_away(self):
        with self.assertRaises(SystemExit):
            self.bench("--write")
        text = self.document.read_text()
        self.assertByHand(text)
        self.assertIn("## Speed --slow", text)
        self.assertNotIn("bench/run: wrong", text)

    def test_a_damaged_document_is_found_before_anything_is_measured(self):
        end = "<!-- end of bench/run: fast -->"
        begin = "<!-- bench/run: fast -->"
        for damaged in (
            BY_HAND.replace(end, ""),
            BY_HAND.replace(begin, ""),
            BY_HAND.replace(begin, f"{begin}\n{begin}"),
            BY_HAND + f"\n{begin}\n{end}\n",
            BY_HAND.replace(begin, "<!-- bench/run: fast"),
            BY_HAND.replace(end, "<!-- end of bench/run: slow -->"),
        ):
            self.document.write_text(damaged)
            with self.assertRaisesRegex(SystemExit, r"line \d+: "):
                self.bench("--write", "speed")
            self.assertEqual(self.document.read_text(), damaged)
        self.assertFalse((self.run.PROGRAMS / "speed.count").exists())

    def test_the_documents_own_sections_are_those_of_runs(self):
        document = (BENCH.parent / "docs" / "benchmarks.md").read_text()
        names = {name for runs in load("run").PARTS.values() for name in runs}
        found = set(self.run.record.sections(document.splitlines()))
        self.assertTrue(found)
        self.assertLessEqual(found, names)


if __name__ == "__main__":
    unittest.main()
