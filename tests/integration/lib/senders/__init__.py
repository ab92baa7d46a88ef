"""Real mail servers as senders: Exim, OpenSMTPD and sendmail, as scripts/senders has unpacked them. Needs root."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from .. import temporary
from ..waiting import PATIENCE

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[3]
FOLDER = pathlib.Path(os.environ.get("SENDERS", SOURCE / "build" / "senders"))
NAMES = ("exim", "opensmtpd", "sendmail")


def send(name, port, *recipients, timeout=PATIENCE, until=lambda: False, again=None):
    """One message from writer@sender.test; (what the writer hears of it, seconds until it was heard, or `until` held).
    With `again` the queue is run each so many seconds until it is empty."""
    if os.geteuid() != 0:
        pytest.skip("mount name spaces need root")
    if not (FOLDER / name).is_dir():
        pytest.skip(f"{name} is not there (scripts/senders)")
    folder = temporary.folder(f"{name}-")
    script = shutil.copy(HERE / f"{name}.sh", folder / "send.sh")
    begun = time.monotonic()
    try:
        with open(folder / "output", "w") as output:
            process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                 HERE / "enter", FOLDER / name, folder, "bash", "/m/send.sh", str(port), *recipients],
                stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ, AGAIN=str(again or '')),
            )  # fmt: skip
        try:
            while not (folder / "box").exists() or not (folder / "box").stat().st_size:
                if process.poll() is not None or until() or time.monotonic() - begun > timeout:
                    break
                time.sleep(0.05)
            seconds = time.monotonic() - begun
            process.wait(20) if name == "exim" else None
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()  # and with it all that runs in its name spaces
            process.wait()
        said = {p.name: p.read_text(errors="replace") for p in folder.iterdir() if p.is_file() and p.name != script.name}
        print(f"--- {name}: {said}")
        return said.get("box", ""), seconds
    finally:
        temporary.remove(folder)
