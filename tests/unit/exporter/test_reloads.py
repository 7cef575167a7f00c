"""A reload of Freqtrade's configuration is distinguished from a restart by its log."""

from trading_ops.exporter.freqtrade.exchange_errors import Line
from trading_ops.exporter.freqtrade.reloads import Reloads


def lines(*moments: float) -> list[Line]:
    return [("", moment, "freqtrade.worker", "INFO", "") for moment in moments]


def total(*readings: tuple[list[Line], float | None]) -> int:
    reloads = Reloads()
    for listed, start in readings:
        reloads.see(listed, start)
    return reloads.total


def test_a_start_with_older_lines_is_a_reload() -> None:
    assert total((lines(1, 2), 1), (lines(2, 3), 1), (lines(2, 3, 4), 4), (lines(4, 5), 4)) == 1


def test_a_start_with_new_lines_only_is_a_restart() -> None:
    """Whether the log or the start is read first."""
    assert total((lines(1, 2), 1), (lines(8, 9), 9)) == 0
    assert total((lines(1, 2), 1), (lines(8, 9), 1), (lines(8, 9), 9)) == 0


def test_a_reload_after_a_restart_counts() -> None:
    assert total((lines(1, 2), 1), (lines(8, 9), 9), (lines(8, 9, 12), 12)) == 1


def test_what_is_not_known_is_no_reload() -> None:
    """Neither the first start that is read, nor one after more lines than the buffer keeps."""
    assert total((lines(1, 2), None), (lines(2, 3), 3)) == 0
    assert total((lines(1, 2), 1), (lines(50, 51), 1), (lines(51, 52), 52)) == 0
    assert total((lines(1, 2), 1), ([], None), (lines(2, 3), 3)) == 0
    assert total((lines(), 1), (lines(), 2)) == 0
