"""What may stand in the place of a file: a pipe that nobody writes, a device, a folder, nothing, a file that may not be read."""

import os
import pathlib
import shutil

KINDS = ("a pipe", "a device without an end", "a folder", "nothing", "an unreadable file")


def remove(path):
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace(path, kind):
    """Puts what `kind` says in the place of the file at `path`."""
    remove(path)
    if kind == "a pipe":
        os.mkfifo(path, 0o644)
    elif kind == "a device without an end":
        os.symlink("/dev/zero", path)
    elif kind == "a folder":
        os.mkdir(path)
    elif kind == "an unreadable file":
        pathlib.Path(path).write_text("nobody@example.test\n")
        os.chmod(path, 0)
