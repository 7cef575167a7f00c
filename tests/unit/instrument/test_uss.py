"""The memory that belongs to one process alone."""

from pathlib import Path

from trading_ops.instrument.watchers.memory import read_uss


def test_private_pages_are_summed(tmp_path: Path) -> None:
    """Clean, dirty and huge private pages count; shared ones do not."""
    smaps = tmp_path / "smaps_rollup"
    smaps.write_text(
        "Rss:     900 kB\nShared_Clean:  500 kB\nPrivate_Clean:  100 kB\n"
        "Private_Dirty:   20 kB\nPrivate_Hugetlb:  3 kB\n"
    )
    assert read_uss(smaps) == 123 * 1024


def test_hidden_memory_is_not_zero(tmp_path: Path) -> None:
    """Where the kernel hides the figure there is none."""
    assert read_uss(tmp_path / "absent") is None
