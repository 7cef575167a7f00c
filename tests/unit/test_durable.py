"""Files are replaced as a whole, and a failure leaves nothing behind."""

from pathlib import Path

import pytest

from tests.each import each
from trading_ops import durable


class _DiskFullError(OSError):
    """What a write to a full disk raises."""


def _write_half(scratch: Path) -> None:
    with durable.new_file(scratch) as file:
        file.write(b"half")
        raise _DiskFullError


def test_a_failed_write_keeps_the_old_content_and_removes_the_new(tmp_path: Path) -> None:
    """A partial file would keep a full disk full."""
    path, scratch = tmp_path / "state", tmp_path / ".state.new"
    durable.write(path, b"old")
    with pytest.raises(_DiskFullError):
        _write_half(scratch)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_place_of_the_temporary_file_is_refused(tmp_path: Path) -> None:
    """Otherwise a user who can write to the folder could choose the file that is overwritten."""
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".state.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic link"):
        durable.write(tmp_path / "state", b"new")
    assert other.read_text() == "mine"


@each("mode", [0o600, 0o640, 0o755])
def test_project_files_have_the_permissions_asked_for(tmp_path: Path, mode: int) -> None:
    """Whatever the umask is; the temporary file is gone."""
    path = tmp_path / "script"
    durable.write(path, b"text", mode=mode, by_several=True)
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_project_files_have_the_default_permissions(tmp_path: Path) -> None:
    """The same as of any other new file."""
    path, usual = tmp_path / "rules.yml", tmp_path / "usual"
    usual.touch()
    durable.write_if_changed(path, "groups: []")
    assert path.stat().st_mode == usual.stat().st_mode
    assert path.read_text() == "groups: []"
