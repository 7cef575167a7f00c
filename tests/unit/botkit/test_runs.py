"""How an earlier life ended, as a table."""

import pytest

from trading_ops.botkit.runs import BotRun, End, assess_at_start

STARTED, BEAT, NOW = 500.0, 1100.0, 1200.0


def life(
    *,
    started_at: float = STARTED,
    beat_at: float | None = None,
    ended_at: float | None = None,
    left_open: int = 0,
) -> BotRun:
    return BotRun(
        started_at=started_at,
        version="1.2",
        python="/py",
        pid=42,
        boot_id="b",
        beat_at=beat_at,
        ended_at=ended_at,
        left_open=left_open,
    )


@pytest.mark.parametrize(
    ("last", "end", "age"),
    [
        (None, End.UNKNOWN, None),
        (life(), End.CRASHED, 700.0),
        (life(beat_at=BEAT), End.CRASHED, 100.0),
        (life(beat_at=BEAT, ended_at=1150.0), End.CLEAN, 50.0),
        (life(ended_at=501.0), End.CLEAN, 699.0),
        # The clock was set back: it is over all the same, and not in the future.
        (life(beat_at=9999.0), End.CRASHED, 0.0),
    ],
)
def test_the_life_before(last: BotRun | None, end: End, age: float | None) -> None:
    """Only the records count: without an end on record, the previous run crashed."""
    verdict = assess_at_start(last, NOW)
    assert (verdict.end, verdict.age_seconds) == (end, age)
