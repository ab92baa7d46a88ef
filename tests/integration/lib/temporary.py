"""Folders of tests. A ledger alone has 94 MiB: a test that leaves its folder takes the room of those that follow."""

import pathlib
import shutil
import tempfile

_there = set()


def folder(name):
    """A new folder, which all users may enter. remove() is for its end."""
    made = pathlib.Path(tempfile.mkdtemp(prefix=f"mired-{name}"))
    made.chmod(0o755)
    _there.add(made)
    return made


def remove(made):
    shutil.rmtree(made, ignore_errors=True)
    if not made.exists():
        _there.discard(made)


def there():
    """The folders that are not removed yet."""
    return set(_there)
