"""The proof that `make crash` can fail: over a reconciler with a planted defect it does."""

import pytest

from tests.crash.defects import PLANTS
from tests.crash.test_crash import crash

pytestmark = pytest.mark.long

FINDS = {
    "acknowledge-early": "acknowledged lost",
    "repeat-unknown": "one-shot repeated",
    "never-probe": "stuck",
    "break-chain": "integrity",
}


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_broken_promise_is_found(plant: str) -> None:
    """The same sweep over a reconciler with a planted defect must fail, and say of what."""
    kills = ("--kills", "200", "--workers", "1", "--settle", "10", "--some", "--fail-fast")
    done = crash(*kills, "--plant", plant)
    assert done.returncode == 1, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(FINDS[plant]))
    assert int(line.rpartition(" ")[2]) > 0, done.stdout
