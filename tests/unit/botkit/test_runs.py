"""How an earlier life ended, as a table."""

import pytest

from trading_ops.botkit.runs import BotRun, End, assess_at_start, assess_from_outside, describe

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


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (None, End.UNKNOWN),
        (life(beat_at=NOW - 299), End.RUNNING),
        (life(beat_at=NOW - 300), End.RUNNING),
        (life(beat_at=NOW - 301), End.CRASHED),
        (life(started_at=NOW - 1), End.RUNNING),
        (life(beat_at=NOW, ended_at=NOW), End.CLEAN),
    ],
)
def test_a_life_seen_from_outside(last: BotRun | None, end: End) -> None:
    """A crash is known by the age of the last heartbeat."""
    assert assess_from_outside(last, NOW, 300.0).end is end


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (None, "unknown: no run is recorded"),
        (life(beat_at=1000.0), "recorded no end and was last active 200 s ago"),
        (life(beat_at=NOW - 9), "running: process 42 of release 1.2 was last active"),
        (life(ended_at=1190.0), "clean: process 42 of release 1.2 ended cleanly 10 s ago"),
        (life(ended_at=1190.0, left_open=2), "2 orders may have been left open"),
    ],
)
def test_it_is_reported_in_a_line(last: BotRun | None, message: str) -> None:
    """The text says what is known, and what is not."""
    assert message in describe(assess_from_outside(last, NOW, 100.0))
