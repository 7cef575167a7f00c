"""What `init --update` does with each file, and that a local change is never lost."""

import itertools
from pathlib import Path

import pytest

from trading_ops.errors import ConfigError, SetupError
from trading_ops.project.folder import NEW, RECORD, FileOperation, changes, create, step, update

FILE = Path("prometheus/rules/bot.yml")
OLD, MINE, NEXT = b"old\n", b"mine\n", b"next\n"


@pytest.mark.parametrize(
    ("recorded", "local", "new", "wanted"),
    [
        ("a", "a", "a", FileOperation.NOTHING),
        ("a", "b", "b", FileOperation.NOTHING),
        (None, None, "a", FileOperation.ADD),
        ("a", "a", "b", FileOperation.REPLACE),
        ("a", "b", "a", FileOperation.KEEP),
        ("a", "b", "c", FileOperation.CONFLICT),
        (None, "a", "b", FileOperation.CONFLICT),
        ("a", None, "b", FileOperation.KEEP),
        ("a", "a", None, FileOperation.REMOVE),
        ("a", "b", None, FileOperation.KEEP),
        ("a", None, None, FileOperation.NOTHING),
    ],
)
def test_each_case(
    recorded: str | None, local: str | None, new: str | None, wanted: FileOperation
) -> None:
    assert step(recorded, local, new) is wanted


def test_no_case_overwrites_a_local_change() -> None:
    """Only a file that is as it was shipped is replaced or removed."""
    hashes = (None, "a", "b", "c")
    for recorded, local, new in itertools.product(hashes, repeat=3):
        if step(recorded, local, new) in {FileOperation.REPLACE, FileOperation.REMOVE}:
            assert local == recorded
        if step(recorded, local, new) is FileOperation.ADD:
            assert local is None


def test_a_new_folder_has_what_was_shipped(tmp_path: Path) -> None:
    create(tmp_path, {FILE: OLD})
    assert (tmp_path / FILE).read_bytes() == OLD
    assert list(changes(tmp_path, {FILE: OLD})) == []


def test_a_file_of_another_content_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "targets.yml").write_bytes(MINE)
    with pytest.raises(SetupError, match="--update"):
        create(tmp_path, {Path("targets.yml"): OLD, FILE: OLD})
    assert not (tmp_path / FILE).exists()
    assert (tmp_path / "targets.yml").read_bytes() == MINE


def test_an_unchanged_file_follows_the_release(tmp_path: Path) -> None:
    create(tmp_path, {FILE: OLD})
    (done,) = update(tmp_path, {FILE: NEXT})
    assert done.step is FileOperation.REPLACE
    assert "-old\n+next" in done.diff
    assert (tmp_path / FILE).read_bytes() == NEXT


def test_a_changed_file_is_kept_and_the_new_one_is_beside_it_once(tmp_path: Path) -> None:
    create(tmp_path, {FILE: OLD})
    (tmp_path / FILE).write_bytes(MINE)
    (done,) = update(tmp_path, {FILE: NEXT})
    beside = tmp_path / FILE.with_name(FILE.name + NEW)
    assert done.step is FileOperation.CONFLICT
    assert ((tmp_path / FILE).read_bytes(), beside.read_bytes()) == (MINE, NEXT)
    beside.unlink()
    (done,) = update(tmp_path, {FILE: NEXT})
    assert done.step is FileOperation.KEEP
    assert not beside.exists()


def test_a_file_that_is_not_shipped_any_more_goes_unless_it_was_changed(tmp_path: Path) -> None:
    other = Path("runbooks/Mine.md")
    create(tmp_path, {FILE: OLD, other: OLD})
    (tmp_path / other).write_bytes(MINE)
    update(tmp_path, {})
    assert not (tmp_path / FILE).exists()
    assert (tmp_path / other).read_bytes() == MINE


def test_an_interrupted_update_can_be_repeated(tmp_path: Path) -> None:
    """Files are written before the record: what has the new content already is done."""
    create(tmp_path, {FILE: OLD})
    record = (tmp_path / RECORD).read_bytes()
    update(tmp_path, {FILE: NEXT})
    (tmp_path / RECORD).write_bytes(record)
    assert update(tmp_path, {FILE: NEXT}) == ()
    assert (tmp_path / FILE).read_bytes() == NEXT
    (tmp_path / FILE).write_bytes(MINE)
    assert [change.step for change in changes(tmp_path, {FILE: NEXT})] == [FileOperation.KEEP]


@pytest.mark.parametrize("record", ["{", "[]", '{"files": {"../outside": "x"}}'])
def test_a_broken_record_changes_nothing(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    with pytest.raises(ConfigError):
        update(tmp_path, {FILE: NEXT})
    assert not (tmp_path / FILE).exists()
