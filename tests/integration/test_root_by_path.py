"""Field notes 27: started as root, mired does nothing by path with root's rights where its user can write."""

import os
import pwd

import pytest

from lib.smtp import deliver
from lib.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have something to lose")
NOBODY = pwd.getpwnam("nobody")


def owners(folder):
    return {e.name: e.stat(follow_symlinks=False).st_uid for e in os.scandir(folder)}


def test_all_that_stands_in_the_users_folders_is_the_users(mired):
    m = mired(user="nobody")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    for folder in ("state", "run"):
        assert set(owners(m.folder / folder).values()) == {NOBODY.pw_uid}, folder
    assert m.control("upgrade").returncode == 0
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_what_an_earlier_version_made_as_root_is_kept(mired):
    m = mired(user="nobody")
    assert m.stop() == []
    kept = {}
    for name in ("ledger", "settled", "orders", "answers", "decoys"):
        kept[name] = (m.folder / "state" / name).stat().st_ino
        os.chown(m.folder / "state" / name, 0, 0)
    os.chown(m.folder / "run" / "lock", 0, 0)
    m.start()
    assert "set-aside" not in m.log.text
    for name, number in kept.items():
        is_now = (m.folder / "state" / name).stat()
        assert (is_now.st_ino, is_now.st_uid) == (number, NOBODY.pw_uid), name
    until(lambda: m.control("status").returncode == 0)


@pytest.mark.parametrize("name", ["run/lock", "run/control", "run/store", "state/ledger", "state/decoys"])
@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_a_link_to_a_file_of_roots_changes_nothing_of_it(mired, name, link):
    """A hard link in place of run/lock emptied the file: the kernel's protected_hardlinks does not stand everywhere."""
    m = mired(user="nobody")
    assert m.stop() == []
    secret = m.folder / "secret"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    before = secret.stat()
    at = m.folder / name
    at.unlink(missing_ok=True)
    (os.link if link == "hard" else os.symlink)(secret, at)
    try:
        m.start()
    except AssertionError:
        m.daemon.process.wait()
        m.daemon = None  # it did not start, which is right too
    after = secret.stat()
    assert secret.read_text() == "root's\n"
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


def test_a_folder_of_the_user_leads_to_no_folder_of_roots(mired):
    """`state` below a folder that the user can write, where it has put a link."""
    m = mired(user="nobody")
    assert m.stop() == []
    roots, users = m.folder / "roots", m.folder / "users"
    roots.mkdir()
    users.mkdir()
    os.symlink(roots, users / "link")
    for path in (users, users / "link"):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    m.file.write_text(m.file.read_text().replace(f"{m.folder}/state", f"{users}/link/state"))
    with pytest.raises(AssertionError, match="it does not serve"):
        m.start()
    m.log.wait("cannot make the folder.*Permission denied")
    m.daemon.process.wait()
    m.daemon = None
    assert not list(roots.iterdir())
