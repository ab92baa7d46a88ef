"""Tables that strangers fill have a secret key: each file that hashes is in the list of docs/assurance.md, and the
files that hash without a key are those that the list says have none.

Run by meson, with the tree's root as the only argument."""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop() if len(sys.argv) > 1 else __file__).resolve()
ROOT = ROOT if ROOT.is_dir() else ROOT.parents[2]

HASHES = re.compile(r"\bsiphash(?:_start)?\(")
# Golden ratio and FNV: what a hash that somebody writes by hand begins with.
BY_HAND = re.compile(r"0x9e3779b9|\b2654435761|\b2166136261|\b16777619|\b14695981039346656037|\b1099511628211", re.I)
CONSTANT_KEY = re.compile(r"static const struct sipkey\b")
RANDOM = re.compile(r"getrandom\(&[\w>.-]*(?:key|places)\b|\b(?:file|memory)(?:\.|->)key\b|\bkey = \*key\b")


def hashing(root):
    """Each file of src that computes hashes, but for the hash itself."""
    found = set()
    for path in sorted((root / "src").rglob("*.[ch]")):
        text = path.read_text()
        if path.stem != "siphash" and (HASHES.search(text) or BY_HAND.search(text)):
            found.add(str(path.relative_to(root)))
    return found


def listed(root):
    """The files of the list, and which of them have no key."""
    text = (root / "docs/assurance.md").read_text()
    section = text.split("\n## Collisions that are aimed at a table\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`src/.*?) \| (.*?) \| (.*?) \|$", section, re.M)
    files, without = set(), set()
    for what, _, key in rows:
        names = re.findall(r"`(src/[^`]+)`", what)
        files.update(names)
        if key.startswith("none"):
            without.update(names)
    return files, without


class Tables(unittest.TestCase):
    def test_each_file_that_hashes_is_listed(self):
        files, _ = listed(ROOT)
        self.assertEqual(files, hashing(ROOT))

    def test_a_constant_key_is_listed_as_no_key(self):
        _, without = listed(ROOT)
        constant = {f for f in hashing(ROOT) if CONSTANT_KEY.search((ROOT / f).read_text())}
        # of list_file.c the name of a copy, beside the table's key
        self.assertEqual(constant - without, {"src/directory/list_file.c"})

    def test_a_key_of_a_process_is_random(self):
        """A field that nobody sets is a key of zeros, which all know."""
        wanted = [f for f in hashing(ROOT) if re.search(r"siphash(?:_start)?\((?:&h, )?&\w+->key|find\(t, key",
                                                        (ROOT / f).read_text())]
        self.assertGreater(len(wanted), 8)
        for f in wanted:
            with self.subTest(f):
                self.assertRegex((ROOT / f).read_text(), RANDOM)


if __name__ == "__main__":
    unittest.main()
