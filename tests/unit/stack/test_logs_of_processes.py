from pathlib import Path

from trading_ops.logs.rotation import files_aside
from trading_ops_lab.supervisor.child import ROTATE_BYTES, last_error, rotate, tail


def test_a_large_log_is_moved_out_of_the_way(tmp_path: Path) -> None:
    """A log over the limit gets a name of its own, and what was moved before stays."""
    log = tmp_path / "venue.log"
    for _ in range(2):
        with log.open("wb") as file:
            file.truncate(ROTATE_BYTES + 1)
        rotate(log)
        assert not log.exists()
    assert [file.stat().st_size for file in files_aside(tmp_path)] == [ROTATE_BYTES + 1] * 2


def test_a_small_log_goes_on(tmp_path: Path) -> None:
    """A log under the limit is appended to."""
    log = tmp_path / "venue.log"
    log.write_text("line\n")
    rotate(log)
    assert log.read_text() == "line\n"


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    """An error shows the end of a long log."""
    log = tmp_path / "venue.log"
    log.write_text("\n".join(f"line {number}" for number in range(10_000)))
    lines = tail(log).splitlines()
    assert len(lines) == 8
    assert lines[-1].strip() == "line 9999"


def test_no_log_is_reported(tmp_path: Path) -> None:
    """A process that wrote nothing has no tail."""
    assert "empty" in tail(tmp_path / "none.log")


def test_what_was_reported_before_is_not_this_starts(tmp_path: Path) -> None:
    """A log continues from life to life."""
    log = tmp_path / "reconciler.log"
    old = '{"event": "failed", "error": "an old one"}\n'
    log.write_text(old + "plain\n")
    assert tail(log, len(old)) == "  plain"
    assert last_error(log, len(old)) is None
    assert last_error(log) == "an old one"
    assert last_error(tmp_path / "none.log") is None
    log.write_text('{"error": "new file"}\n')
    assert last_error(log, 10_000) == "new file"


def test_the_last_error_is_the_sentence(tmp_path: Path) -> None:
    """Lines without one, or that are no object, do not hide it."""
    log = tmp_path / "reconciler.log"
    lines = [
        '{"error": "first"}',
        '{"error": "last\\n  one"}',
        '{"error": 3}',
        '["error"]',
        "{",
        "3",
    ]
    log.write_text("\n".join(lines))
    assert last_error(log) == "last one"
