"""Flips one bit of a backup at a time, and counts how many a verification finds.

python -m tests.backup.flips --flips 10000
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.backup.installation import Installation
from trading_ops.backup.manifest import Manifest, decode
from trading_ops.backup.verify import fetch


def stored_files(repository: Path) -> list[Path]:
    """Return the files that a repository consists of, each as likely as it is large."""
    return [*sorted(repository.glob("objects/*/*")), *sorted(repository.glob("manifests/*"))]


def is_found(installation: Installation, expected: Manifest, scratch: Path) -> bool:
    """Whether the listing, or reading the backup back, tells that it is damaged."""
    listing = installation.repository.listing()
    if listing.damaged or list(listing.manifests) != [expected]:
        return True
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return bool(fetch(installation.repository, expected, scratch))


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file; the same call changes it back."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def run(installation: Installation, flips: int, seed: int, scratch: Path) -> list[str]:
    """Return what was not found, one line each."""
    random_bits = random.Random(seed)
    installation.back_up()
    (manifest,) = installation.manifests()
    files = stored_files(installation.root / "backups")
    assert decode(files[-1].read_bytes()) == manifest
    assert not is_found(installation, manifest, scratch)
    missed = []
    for number in range(flips):
        # Every fourth one in the manifest, which is small beside a database.
        path = files[-1] if number % 4 == 0 else random_bits.choice(files)
        bit = random_bits.randrange(8 * path.stat().st_size)
        flip(path, bit)
        if not is_found(installation, manifest, scratch):
            missed.append(f"bit {bit} of {path.name}")
        flip(path, bit)
    assert not is_found(installation, manifest, scratch)
    return missed


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backup-flips-") as folder:
        root = Path(folder) / "project"
        root.mkdir()
        missed = run(Installation.make(root), given.flips, given.seed, Path(folder) / "scratch")
    found = given.flips - len(missed)
    sys.stdout.write(
        f"{found} of {given.flips} flipped bits were found ({100 * found / given.flips:.2f} %)\n"
    )
    sys.stdout.writelines(f"{line}\n" for line in missed)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
