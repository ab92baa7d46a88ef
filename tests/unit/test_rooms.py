"""Rooms use only rooms above them (scripts/check-rooms): holds on the tree, and is noticed when it does not.

Issue 14, item 1. Run by meson, with the tree's root as the only argument."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop() if len(sys.argv) > 1 else __file__).resolve()
ROOT = ROOT if ROOT.is_dir() else ROOT.parents[2]


def check(root):
    return subprocess.run([ROOT / "scripts/check-rooms", root], capture_output=True, text=True)


def copy_headers(tree):
    """What declares the types; quick to check again and again."""
    for folder in ("src", "ctl", "sim", "bench"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("*.c"))
    (tree / "docs").mkdir()
    shutil.copy(ROOT / "docs/architecture.md", tree / "docs")


class Rooms(unittest.TestCase):
    def test_the_tree_keeps_the_order(self):
        done = check(ROOT)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stdout + done.stderr)

    def test_meson_builds_the_rooms_that_the_document_lists(self):
        built = re.search(r"foreach room : \[(.*?)\]", (ROOT / "src/meson.build").read_text(), re.S)[1]
        shown = re.findall(r"^src/([a-z]+)/", (ROOT / "docs/architecture.md").read_text(), re.M)
        self.assertEqual(re.findall(r"'(\w+)'", built), shown)

    def test_a_wrong_include_is_noticed(self):
        wrong = {
            "src/tls/client.c": '#include "config/config.h"',
            "src/base/log.h": '#include "tarpit/ledger.h"',
            "src/smtp/client.c": '  #  include "relay/outcome.h"',
            "src/query/query.h": '#include "directory/cache.h"',
            "src/backend/pool.c": '#include "relay/relay.h"',
            "src/freezer/table.c": '#include "worker/conn.h"',
            "src/control/request.c": '#include "web/web_part.h"',
            "src/tls/client.h": "struct config_tls;",
            "src/dns/lookup.h": "int f(const struct ledger *l);",
            "src/kitchen/sink.c": "int sink;",
            "ctl/link.c": '#include "web/web.h"',
            "sim/world.h": '#include "worker/worker.h"',
            "bench/sink.c": '#include "master/master.h"',
        }
        with tempfile.TemporaryDirectory() as made:
            tree = pathlib.Path(made)
            copy_headers(tree)
            self.assertEqual(check(tree).stdout, "")
            for name, line in wrong.items():
                with self.subTest(name):
                    path = tree / name
                    path.parent.mkdir(exist_ok=True)
                    before = path.read_text() if path.exists() else None
                    path.write_text(line + "\n" + (before or ""))
                    done = check(tree)
                    self.assertEqual(done.returncode, 1)
                    self.assertRegex(done.stdout, rf"^{re.escape(name)}:1: .*\n\Z")
                    path.unlink() if before is None else path.write_text(before)

    def test_comments_and_the_own_room_are_no_violation(self):
        with tempfile.TemporaryDirectory() as made:
            tree = pathlib.Path(made)
            copy_headers(tree)
            (tree / "src/base/log.c").write_text('/* not struct ledger */\n#include "base/log.h"\n')
            self.assertEqual(check(tree).stdout, "")


if __name__ == "__main__":
    unittest.main()
