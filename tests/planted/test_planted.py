"""Every planted bug can still be planted; whether it is caught, `make planted` finds out."""

import shutil
from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug, Change

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_still_fits_the_code(bug: Bug, tmp_path: Path) -> None:
    """Each of its texts is there exactly once, and its tests exist."""
    for change in bug.changes:
        file = tmp_path / change.path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            shutil.copy(ROOT / change.path, file)
        change.apply(tmp_path)
        if file.suffix == ".py":
            compile(file.read_text("utf-8"), str(file), "exec")
    for test in bug.tests:
        path, _, name = test.partition("::")
        name = name.partition("[")[0]
        assert (ROOT / path).exists(), test
        assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8"), test


def test_a_text_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A bug that was planted into nothing would seem to have been survived, or caught."""
    (tmp_path / "file.py").write_text("one = 1\n")
    with pytest.raises(ValueError, match="found 0 times"):
        Change(path="file.py", old="two", new="three").apply(tmp_path)


def test_there_are_enough() -> None:
    """At least ten, each with a name of its own."""
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 10
