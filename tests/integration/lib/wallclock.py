"""A clock that a test sets, for the processes that it starts."""

import pathlib
import sys

LIBRARY = pathlib.Path(f"/usr/lib/{sys.implementation._multiarch}/faketime/libfaketime.so.1")


class Clock:
    """A prefix for mired's command under which set() moves its wall clock. The monotonic clock goes on as it is, or
    jumps as well, if `monotonic`."""

    def __init__(self, folder, monotonic=False):
        folder.chmod(0o755)
        self.file = folder / "clock"
        self.set("+0")
        self.prefix = [
            "env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME_TIMESTAMP_FILE={self.file}", "FAKETIME_NO_CACHE=1",
            *([] if monotonic else ["FAKETIME_DONT_FAKE_MONOTONIC=1"]),
        ]  # fmt: skip

    def set(self, offset):
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.chmod(0o644)
        new.rename(self.file)
