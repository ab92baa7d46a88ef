"""The sum of all tests: what fails twice has failed, that and what passes on its second try is named, and a run that did
not come to its end has failed.

Run by meson, with the tree's root as the only argument."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop() if len(sys.argv) > 1 else __file__).resolve()
ROOT = ROOT if ROOT.is_dir() else ROOT.parents[2]


def junit(*cases):
    """Each is (name, tag of what became of it, or "")."""
    inner = "".join(
        f'<testcase classname="test_x" name="{name}">{f"<{tag}/>" if tag else ""}</testcase>' for name, tag in cases
    )
    return f"<testsuites><testsuite>{inner}</testsuite></testsuites>"


def failed(name):
    return f"failed: tests/integration/test_x.py::{name}"


def meson(*programs):
    return "\n".join(json.dumps({"name": f"mired / {name}", "result": result, "stdout": out}) for name, result, out in programs)


class Tally(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def call(self, *arguments):
        done = subprocess.run([sys.executable, ROOT / "scripts/tally.py", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    def sums(self, **files):
        """files: as NAME_KIND."""
        for name, text in files.items():
            (self.folder / name.replace("_", ".")).write_text(text)
        return self.call(self.folder)

    def test_all_passed(self):
        cases = junit(("a", ""), ("b", "skipped"))
        self.assertEqual(self.sums(t_junit_xml=cases, t_status="0"), (0, ["skipped, 1 of t: no reason", "1 passed, 0 failed, 1 skipped"]))

    def test_what_was_not_tried_is_not_counted_as_passed(self):
        out = "[  PASSED  ] 2 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n"
        programs = meson(("master/sandbox", "SKIP", ""), ("b", "OK", out), ("c", "OK", ""))
        cases = '<testsuites><testcase classname="x" name="a"><skipped message="no kill-at"/></testcase></testsuites>'
        told = self.sums(t_junit_xml=cases, t_status="0", u_meson_json=programs)
        why = ["skipped, 1 of t: no kill-at", "skipped, 1 of u: b says so", "skipped, 1 of u: master/sandbox says so"]
        self.assertEqual(told, (0, [*why, "3 passed, 0 failed, 3 skipped"]))

    def test_one_that_fails_fails_all(self):
        cases = junit(("a", ""), ("b", "failure"))
        self.assertEqual(self.sums(t_junit_xml=cases, t_status="1"), (1, [failed("b"), "1 passed, 1 failed, 0 skipped"]))

    def test_fixtures_that_fail_behind_a_test_fail_it(self):
        cases = junit(("a", ""), ("a", "error"))
        self.assertEqual(self.sums(t_junit_xml=cases, t_status="1"), (1, [failed("a"), "0 passed, 1 failed, 0 skipped"]))

    def test_one_that_passes_on_its_second_try_is_named(self):
        first, then = junit(("a", ""), ("b[1-2]", "failure")), junit(("b[1-2]", ""))
        named = "unsteady, passed on its second try only: tests/integration/test_x.py::b[1-2]"
        self.assertEqual(
            self.sums(t_junit_xml=first, t_status="1", t_again_xml=then), (0, [named, "2 passed, 0 failed, 0 skipped"])
        )

    def test_one_that_fails_twice_has_failed(self):
        first, then = junit(("a", ""), ("b", "failure")), junit(("b", ""), ("b", "error"))
        self.assertEqual(self.sums(t_junit_xml=first, t_status="1", t_again_xml=then), (1, [failed("b"), "1 passed, 1 failed, 0 skipped"]))

    def test_a_second_try_counts_only_for_what_has_failed(self):
        first, then = junit(("a", "failure"), ("b", "skipped")), junit(("b", ""), ("c", ""))
        self.assertEqual(self.sums(t_junit_xml=first, t_status="1", t_again_xml=then), (1, [failed("a"), "skipped, 1 of t: no reason", "0 passed, 1 failed, 1 skipped"]))

    def test_a_run_without_an_end_has_failed(self):
        first, then = junit(("a", ""), ("b", "failure")), junit(("b", ""))
        why = "failed: t, which pytest left with status "
        self.assertEqual(self.sums(t_status="3"), (1, [why + "3", "0 passed, 1 failed, 0 skipped"]))
        said = self.sums(t_junit_xml=junit(("a", "")), t_status="2")
        self.assertEqual(said, (1, [why + "2", "1 passed, 1 failed, 0 skipped"]))
        status, said = self.sums(t_junit_xml=first, t_status="2", t_again_xml=then)
        self.assertEqual((status, said[-1]), (1, "2 passed, 1 failed, 0 skipped"))

    def test_programs_count_as_what_they_say(self):
        out = "[  PASSED  ] 3 test(s).\n[  FAILED  ] 2 test(s), listed below:\n"
        first = meson(("a/b", "FAIL", out), ("c", "OK", ""), ("d", "TIMEOUT", ""))
        self.assertEqual(self.sums(u_meson_json=first), (1, ["failed: a/b, u", "failed: d, u", "4 passed, 3 failed, 0 skipped"]))
        status, said = self.sums(u_again_json=meson(("a/b", "OK", "[  PASSED  ] 5 test(s)."), ("d", "OK", "")))
        self.assertEqual((status, len(said), said[-1]), (0, 3, "7 passed, 0 failed, 0 skipped"))

    def test_a_stage_that_failed_is_named_with_the_end_of_what_it_said(self):
        said = [str(n) for n in range(100)]
        told = self.sums(
            check_count="0 passed, 1 failed", check_log="\n".join(said), fuzz_count="1 passed, 0 failed", fuzz_log="all is well"
        )
        self.assertEqual(told, (1, ["failed: check", *said[-25:], "1 passed, 1 failed, 0 skipped"]))

    def test_only_a_few_get_a_second_try(self):
        for count, told in ((0, 0), (1, 1), (5, 5), (6, 0)):
            file = self.folder / "n.junit.xml"
            file.write_text(junit(("good", ""), *((f"t{n}", "failure") for n in range(count))))
            self.assertEqual(len(self.call("--failed", file)[1]), told)
        self.assertEqual(self.call("--failed", self.folder / "none.junit.xml"), (0, []))

    def test_nothing_at_all_is_a_failure(self):
        self.assertEqual(self.sums(), (1, ["0 passed, 0 failed, 0 skipped"]))


if __name__ == "__main__":
    unittest.main()
