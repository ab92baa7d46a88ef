"""What attackers' and testers' own tools print of a frozen hold, and of an ordinary one: the same."""

import re
import subprocess

import pytest

from lib import netns, ports
from lib.certificates import Authority

TARPIT = (
    "time = 2s max = 2s growth = 1 pace = false shield = 0 drip = 0 patience_offences = 0 "
    "freeze = {freeze} freeze_after = 200ms"
)
TOOLS = {
    "swaks": "swaks --server {host} --port 25 --from a@b.test --to nobody@example.test --helo tool.test --suppress-data",
    "nmap, users": "nmap -n -Pn -p 25 --script smtp-enum-users "
    "--script-args smtp-enum-users.methods={{RCPT}},smtp.domain=example.test,userdb={folder}/names {host}",
    "nmap, commands": "nmap -n -Pn -p 25 --script smtp-commands {host}",
    "hydra, users": "hydra -I -t 1 -w 10 -L {folder}/users smtp-enum://{host}:25/rcpt",
    "hydra, passwords": "hydra -I -t 1 -w 10 -l alice@example.test -P {folder}/words -s {implicit} smtps://{host}/PLAIN",
}
# What differs between two runs of the same thing.
VARIES = [
    (r"\d\d:\d\d(:\d\d)?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"<\d+\.\d+@[^>]*>|\d{14}\.\d+@\S+", "ID"),
    (r"\d+(\.\d+)?s latency", "LATENCY"),
    (r"in \d+\.\d+ seconds", "in SECONDS"),
    (r"\d+\.\d+ tries/min.*", "RATE"),
    (r":\d{4,5}\b", ":PORT"),
]
pytestmark = pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")


def printed(tool, mired, cable, folder, freeze):
    """What the tool says of a mired, and how many holds were frozen meanwhile."""
    certificate, key = Authority(folder).issue("mx.example.test")
    names = ("nobody", "root", "alice", "admin")
    (folder / "names").write_text("".join(f"{name}\n" for name in names))
    (folder / "users").write_text("".join(f"{name}@example.test\n" for name in names))
    (folder / "words").write_text("secret\nletmein\n")
    implicit = ports.free()
    m = cable.at_server(
        lambda: mired(
            tarpit=TARPIT.format(freeze=freeze),
            host="0.0.0.0",
            config=f'log_level = "debug"\ntls {{ certificate = "{certificate}" key = "{key}" }}\n'
            f'listen "0.0.0.0:25" {{ }}\nlisten "0.0.0.0:{implicit}" {{ tls = implicit }}',
        )
    )
    command = TOOLS[tool].format(host=netns.SERVER, folder=folder, implicit=implicit).split()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, stdin=subprocess.DEVNULL)
    log = m.log
    m.stop()
    frozen = re.search(r"the freezer stops: (\d+) frozen", log.text)
    text = f"{done.stdout}{done.stderr}exit {done.returncode}"
    for what, name in VARIES:
        text = re.sub(what, name, text)
    return text, int(frozen.group(1)) if frozen else 0


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.long
def test_tools_print_of_a_frozen_hold_what_they_print_of_an_ordinary_one(mired, cable, tmp_path, tool):
    ordinary, none = printed(tool, mired, cable, tmp_path, "off")
    frozen, some = printed(tool, mired, cable, tmp_path, "auto")
    assert none == 0 and (some > 0 or tool == "nmap, commands")
    assert frozen == ordinary
    print(frozen)
