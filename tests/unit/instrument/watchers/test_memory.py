"""Memory is read, its trend exported, and a suspicion reported once."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.leaks import MB, STEP
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.memory import Memory
from trading_ops.instrument.watchers.memory_trend import HOUR

Value = Callable[..., float | None]


def write(smaps: Path, size: float) -> None:
    smaps.write_text(f"Rss: 1 kB\nPrivate_Dirty: {int(size / 1024)} kB\n")


def test_leak_is_exported_and_reported_once(
    metrics: BotMetrics, value: Value, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    smaps = tmp_path / "smaps"
    memory = Memory(metrics, smaps=smaps)
    with caplog.at_level(logging.WARNING):
        for step in range(int(20 * HOUR / STEP)):
            write(smaps, (150 + 20 * step * STEP / HOUR) * MB)
            memory.check(5000.0 + step * STEP)
            if step == 6:
                assert value("trading_memory_trend_bytes_per_second") is None
                assert value("trading_memory_leak_suspected") == 0
    assert value("trading_memory_leak_suspected") == 1
    slope, observed = (
        value("trading_memory_trend_bytes_per_second"),
        value("trading_memory_observed_seconds"),
    )
    assert slope == pytest.approx(20 * MB / HOUR, rel=0.02)
    assert observed == pytest.approx(16 * HOUR, rel=0.05)
    assert [record.message.split()[0] for record in caplog.records] == ["memory_leak_suspected"]


def test_this_process_can_be_read(metrics: BotMetrics, value: Value) -> None:
    """The real figure lies below the resident set, which prometheus_client reads."""
    Memory(metrics).check(0.0)
    own, resident = value("trading_memory_uss_bytes"), value("process_resident_memory_bytes")
    assert own is not None
    assert resident is not None
    assert 1 * MB < own <= resident * 1.1


def test_an_unreadable_value_is_logged_once_and_is_not_zero(
    metrics: BotMetrics, value: Value, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    smaps = tmp_path / "smaps"
    memory = Memory(metrics, smaps=smaps)
    write(smaps, 100 * MB)
    memory.check(0.0)
    smaps.unlink()
    with caplog.at_level(logging.WARNING):
        memory.check(60.0)
        memory.check(120.0)
    assert value("trading_memory_uss_bytes") == pytest.approx(100 * MB, rel=0.001)
    assert len(caplog.records) == 1
