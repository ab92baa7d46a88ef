"""A folder of the built-in store on a file system that hangs: an ext4 in a file, which is frozen. Calls that write to
it do not return, no signal ends them, and only the thaw does; so do those on a file server that is gone."""

import fcntl
import os
import pathlib
import shutil
import subprocess

FREEZE, THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of <linux/fs.h>
# Mounts image $1 on $2 in the folder of all mailboxes, and starts mired ("$5" is its configuration).
MOUNT = """
    mail=$(dirname "$5")/state/mail
    mkdir -p "$mail/$2" && mount -o loop "$1" "$mail/$2" && chown -R nobody "$mail" && shift 2 && exec "$@"
"""


def why_not(folder):
    """Why there can be no such folder here, or None."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not shutil.which("mkfs.ext4"):
        return "no mkfs.ext4"
    image = make_image(folder)
    mounted = subprocess.run(
        ["unshare", "-m", "mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False
    )
    return f"no loop mounts here: {mounted.stderr.strip()}" if mounted.returncode else None


def make_image(folder):
    image = pathlib.Path(folder) / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    return image


class HangingFolder:
    """`prefix` is what mired is to be started behind; attach() follows, then freeze() and thaw()."""

    def __init__(self, folder, where):
        self.where, self.fd, self.frozen = where, None, False
        self.prefix = ["unshare", "-m", "sh", "-c", MOUNT, "sh", str(make_image(folder)), where]

    def attach(self, mired):
        self.mail = pathlib.Path(f"/proc/{mired.pid}/root{mired.mail}")
        self.fd = os.open(self.mail / self.where, os.O_RDONLY)

    def freeze(self):
        fcntl.ioctl(self.fd, FREEZE, 0)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            fcntl.ioctl(self.fd, THAW, 0)
        self.frozen = False

    def close(self):
        if self.fd is not None:
            self.thaw()
            os.close(self.fd)
