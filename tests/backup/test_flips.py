"""One flipped bit anywhere in a backup is found; `python -m tests.backup.flips` tries 10,000."""

from pathlib import Path

import pytest

from tests.backup import flips
from tests.backup.installation import Installation

pytestmark = pytest.mark.processes


def test_every_flipped_bit_is_found(installation: Installation, tmp_path: Path) -> None:
    assert flips.run(installation, 60, 1, tmp_path / "scratch") == []
