"""Free space of an SFTP server, by OpenSSH's own client and server without the network between."""

import shutil
from pathlib import Path

import pytest

from trading_ops.backup import sftp
from trading_ops.backup.disk import space

pytestmark = pytest.mark.processes

SERVER = Path("/usr/lib/openssh/sftp-server")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("sftp:ops@backup.example:/srv/restic", ("ops@backup.example", "/srv/restic")),
        ("sftp:backup.example:restic", ("backup.example", "restic")),
        ("sftp:[2001:db8::1]:/srv/x", ("[2001:db8::1]", "/srv/x")),
        ("sftp://ops@backup.example:2222//srv/x", ("sftp://ops@backup.example:2222", "/srv/x")),
        ("sftp://backup.example/x%20y", ("sftp://backup.example", "x y")),
    ],
)
def test_locations_are_those_of_restic(location: str, expected: tuple[str, str]) -> None:
    """A relative path is one of the user's home folder."""
    assert sftp.place(location) == expected


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `sftp` start the server itself, instead of `ssh` on another host."""
    program = shutil.which("sftp")
    if program is None or not SERVER.exists():
        pytest.skip("OpenSSH's sftp or sftp-server is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sftp").write_text(f"#!/bin/sh\nexec {program} -b - -D {SERVER}\n")
    (folder / "sftp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.usefixtures("no_network")
def test_space_is_that_of_the_servers_file_system(tmp_path: Path) -> None:
    """Free space moves while other tests run; the size does not."""
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    found, expected = sftp.space(f"sftp:host:{folder}"), space(folder)
    assert abs(found.total - expected.total) < sftp.KIBIBYTE
    assert 0 < found.free < found.total


@pytest.mark.usefixtures("no_network")
def test_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(OSError, match="does not report the free space"):
        sftp.space(f"sftp:host:{tmp_path}/none")
