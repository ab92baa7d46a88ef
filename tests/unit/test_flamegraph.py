"""scripts/flamegraph: equal chains become one box, which is as wide as its share of the samples."""

import pathlib
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

SCRIPT = pathlib.Path(sys.argv.pop(1)) / "scripts" / "flamegraph"
SVG = "{http://www.w3.org/2000/svg}"


def sample(*frames, process="mired worker 0"):
    """As `perf script -F comm,ip,sym` prints one: the leaf first."""
    return "\n".join([process, *(f"\t    55d0{n:08x} {name}" for n, name in enumerate(frames))]) + "\n"


def drawn(*samples):
    """{name: (x, y, width, share)} of the boxes."""
    done = subprocess.run(
        [SCRIPT, "a title"], input="\n".join(samples), capture_output=True, text=True, check=True
    )
    boxes = {}
    for group in ElementTree.fromstring(done.stdout).iter(f"{SVG}g"):
        name, share, _ = group.find(f"{SVG}title").text.rsplit(" ", 2)
        box = group.find(f"{SVG}rect")
        boxes[name] = (*(float(box.get(key)) for key in ("x", "y", "width")), float(share))
    return boxes


class Flamegraph(unittest.TestCase):
    def test_equal_chains_become_one_box_as_wide_as_their_share(self):
        boxes = drawn(*[sample("send", "main")] * 3, sample("recv", "main"))
        self.assertEqual(boxes["main"][3], 100.0)
        self.assertEqual(boxes["send"][3], 75.0)
        self.assertAlmostEqual(boxes["send"][2], 900, delta=1)
        self.assertAlmostEqual(boxes["recv"][2], 300, delta=1)

    def test_a_box_stands_on_its_caller(self):
        boxes = drawn(sample("leaf", "middle", "main"))
        self.assertGreater(boxes["main"][1], boxes["middle"][1])
        self.assertGreater(boxes["middle"][1], boxes["leaf"][1])
        self.assertGreater(boxes["mired worker"][1], boxes["main"][1])

    def test_processes_of_a_role_are_one_and_frames_without_a_name_are_left_out(self):
        boxes = drawn(sample("[unknown]", "main"), sample("main", process="mired worker 1"))
        self.assertEqual(set(boxes), {"mired worker", "main"})

    def test_a_rare_chain_has_no_box_but_keeps_its_place(self):
        boxes = drawn(*[sample("b", "main")] * 999, sample("a", "main"))
        self.assertNotIn("a", boxes)
        self.assertAlmostEqual(boxes["b"][0], 1.2, delta=0.2)

    def test_names_with_signs_of_xml_stay_whole(self):
        self.assertIn("std::less<&>", drawn(sample("std::less<&>", "main")))


if __name__ == "__main__":
    unittest.main()
