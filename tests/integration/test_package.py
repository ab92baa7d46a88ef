"""Field notes 23: what is installed brings the documents, the recipes and the monitoring files, and their links lead somewhere."""

import json
import pathlib
import re
import subprocess

import pytest

from lib.mired import BUILD, SOURCE
from lib.waiting import PATIENCE


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """The folder of the documents after `meson install`."""
    root = tmp_path_factory.mktemp("root")
    done = subprocess.run(
        ["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    (folder,) = root.glob("**/doc/mired")
    return folder


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGES.md", "docs/operations.md", "docs/configuration.md", "docs/field-notes.md", "docs/recipes/postfix.md", "docs/recipes/certbot.md",
     "docs/monitoring/alerts.yml", "docs/monitoring/grafana.json", "docs/monitoring/fail2ban-jail.conf", "docs/monitoring/fail2ban-filter.conf",
     "examples/mired.conf", "examples/mired.socket"],
)  # fmt: skip
def test_it_is_installed(documents, name):
    assert (documents / name).stat().st_size > 0


def test_every_link_of_an_installed_document_leads_somewhere(documents):
    pages = list(documents.glob("**/*.md"))
    assert len(pages) > 15
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            there = (page.parent / link).exists()
            ours = not (SOURCE / page.relative_to(documents)).parent.joinpath(link).resolve().is_relative_to(SOURCE / "docs")
            assert there or ours, f"{page.name}: {link}"


def test_program_package_and_changes_have_one_version():
    """The package's scripts compare versions: what 0.2.0 has to undo at a return to 0.1.0, it finds by them."""
    said = subprocess.run([BUILD / "mired", "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    package = re.match(r"mired \(([^)]+)\)", (SOURCE / "debian" / "changelog").read_text())
    changes = re.search(r"^## ([0-9.]+)", (SOURCE / "CHANGES.md").read_text(), re.MULTILINE)
    assert said == package[1] == changes[1]


def test_the_package_lets_people_read_them():
    rules = (SOURCE / "debian" / "rules").read_text()
    assert "dh_compress -X.md -X.yml -X.json" in rules
    installed = json.loads(subprocess.run(["meson", "introspect", "--installed", BUILD], capture_output=True, text=True, check=True).stdout)
    assert any(pathlib.Path(there).name == "docs" for there in installed.values())
