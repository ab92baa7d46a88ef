"""The seeds of the fuzz targets: each target has some that are not empty, and tests/fuzz/README.md says where they are
from.

Run by meson, with the tree's root as the only argument."""
import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop() if len(sys.argv) > 1 else __file__).resolve()
ROOT = ROOT if ROOT.is_dir() else ROOT.parents[2]


def table(fuzz):
    """target: (written from, recorded from)"""
    rows = re.findall(r"^\| (\w+/\w+) \|(.*)\|(.*)\|$", (fuzz / "README.md").read_text(), re.M)
    return {target: (written.strip(), recorded.strip()) for target, written, recorded in rows}


def faults(fuzz):
    """What is wrong with that folder's seeds and their table, as texts."""
    found, said = [], table(fuzz)
    targets = {f"{path.parent.name}/{path.stem.removeprefix('fuzz_')}" for path in fuzz.glob("*/fuzz_*.c")}
    found += [f"{target}: no line" for target in targets - set(said)]
    found += [f"{target}: no such target" for target in set(said) - targets]
    for target in targets & set(said):
        room, name = target.split("/")
        seeds = [path for path in (fuzz / room / "seeds" / name).glob("*") if path.is_file()]
        real = [path for path in seeds if path.name.startswith("real-")]
        if not any(path.stat().st_size for path in seeds):
            found.append(f"{target}: no seed")
        if len(real) < len(seeds) and not said[target][0]:
            found.append(f"{target}: it does not say what the written ones are from")
        if bool(real) != bool(said[target][1]):
            found.append(f"{target}: recorded files and the line differ")
    for crash in fuzz.glob("*/crashes/*"):
        if not any(crash.name.startswith(target.split("/")[1] + "-") for target in targets if target.startswith(f"{crash.parent.parent.name}/")):
            found.append(f"{crash.parent.parent.name}/{crash.name}: of no target")
    return sorted(found)


class Seeds(unittest.TestCase):
    def test_each_target_has_seeds_and_a_line(self):
        self.assertGreater(len(table(ROOT / "tests/fuzz")), 40)
        self.assertEqual(faults(ROOT / "tests/fuzz"), [])

    def test_what_is_missing_is_noticed(self):
        with tempfile.TemporaryDirectory() as made:
            fuzz = pathlib.Path(made)
            for name in ("good", "unlisted", "empty", "unsaid", "unrecorded"):
                (fuzz / "a/seeds" / name).mkdir(parents=True)
                (fuzz / "a" / f"fuzz_{name}.c").write_text("")
            for seed in ("good/x", "good/real-y", "empty/x", "unsaid/real-x", "unrecorded/x"):
                (fuzz / "a/seeds" / seed).write_text("" if seed == "empty/x" else "x")
            (fuzz / "a/crashes").mkdir()
            (fuzz / "a/crashes/other-crash-1").write_text("x")
            (fuzz / "README.md").write_text("| a/good | RFC | P |\n| a/empty | RFC | |\n| a/unsaid | RFC | |\n| a/unrecorded | RFC | P |\n| a/gone | RFC | |\n")
            self.assertEqual(
                faults(fuzz),
                ["a/empty: no seed", "a/gone: no such target", "a/other-crash-1: of no target", "a/unlisted: no line",
                 "a/unrecorded: recorded files and the line differ", "a/unsaid: recorded files and the line differ"],
            )  # fmt: skip


if __name__ == "__main__":
    unittest.main()
