"""Real mail servers to stand behind mired: Exim, OpenSMTPD and sendmail, as scripts/senders has unpacked them, with a
recipe's lines in their configuration. Needs root."""

import os
import pathlib
import re
import shutil

import pytest

from .. import ports, processes, senders, temporary
from ..daemon import Daemon
from ..mired import PEOPLE, read_maildir
from ..waiting import PATIENCE, until

HERE = pathlib.Path(__file__).resolve().parent


class Receiver:
    """port: where it takes mail for the tests' people, a Maildir each.  log: what it logs.

    `recipe` are lines for its configuration, in which port 10025 becomes one of the test's own; `more` are lines for its
    end. How they come into a whole configuration is said in NAME.sh, which runs in the server's name spaces with our folder as /m."""

    def __init__(self, name, recipe, more="", greets=True):
        if os.geteuid() != 0:
            pytest.skip("mount name spaces need root")
        if not (senders.FOLDER / name).is_dir():
            pytest.skip(f"{name} is not there (scripts/senders)")
        self.name, self.greets, self.daemon = name, greets, None
        self.folder = temporary.folder(f"{name}-")
        self.port = ports.free()
        assert "10025" in recipe
        (self.folder / "recipe").write_text(recipe.replace("10025", str(self.port)))
        (self.folder / "more").write_text(more)
        (self.folder / "people").write_text("".join(f"{person}\n" for person in PEOPLE))
        shutil.copy(HERE / f"{name}.sh", self.folder / "serve.sh")

    def start(self):
        self.daemon = Daemon(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
             senders.HERE / "enter", senders.FOLDER / self.name, self.folder, "bash", "-e", "/m/serve.sh"]
        )  # fmt: skip
        self.daemon.wait_listening(self.port, greets=self.greets)
        return self

    @property
    def log(self):
        path = self.folder / "log"
        return self.daemon.output.text + (path.read_text(errors="backslashreplace") if path.exists() else "")

    def wait_log(self, pattern):
        why = lambda: f"no {pattern!r} in {self.name}'s log:\n{self.log[-3000:]}\n"  # noqa: E731
        return until(lambda: re.search(pattern, self.log), why=why)

    def delivered(self, address, timeout=PATIENCE, count=1):
        return read_maildir(self.folder / "mail" / address.split("@")[0], timeout, count)

    def stop(self):
        if not self.daemon:
            return
        print(f"--- log of {self.name} on port {self.port}\n{self.log[-20000:]}")
        processes.kill_all([self.daemon.pid])  # and with it all that runs in its name spaces
        self.daemon.stop()
        self.daemon = None

    def remove(self):
        temporary.remove(self.folder)
