from pathlib import Path

from trading_ops_lab.supervisor.update import changeable_part


def test_what_everyone_can_write_is_not(tmp_path: Path) -> None:
    """The file itself, its folder, or what it links to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    python, link = folder / "python", tmp_path / "link"
    python.touch(0o755)
    link.symlink_to(python)
    assert changeable_part(link) is None
    python.chmod(0o757)
    assert changeable_part(python) == python
    assert changeable_part(link) == link
    python.chmod(0o755)
    folder.chmod(0o777)
    assert changeable_part(python) == folder
    assert changeable_part(link) == folder
