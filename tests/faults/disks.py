"""Disks of a test's own: a file system in a file, which is full or stalls when the test says so."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_disks = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not shutil.which("fsfreeze"),
    reason="needs root, mkfs.ext4 and fsfreeze",
)


@contextmanager
def own_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a new ext4 file system at a folder; skip the test where loop devices are forbidden."""
    image = folder.with_name(f"{folder.name}.ext4")
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no loop device can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # A process that is just ending may still have a file open there.
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


def stall(disk: Path, seconds: float) -> "subprocess.Popen[bytes]":
    """Have every write to a disk wait for so long; it goes on even when the test is killed."""
    # `fsfreeze` may itself be delayed: the time counts from when it holds.
    script = 'fsfreeze --freeze "$1" && sleep "$2"; fsfreeze --unfreeze "$1"'
    return subprocess.Popen(["/bin/sh", "-c", script, "stall", str(disk), str(seconds)])
