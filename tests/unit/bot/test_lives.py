"""How an earlier life ended, as a table."""

import pytest

from trading_ops.paper.bot.lives import End, Life, at_start, from_outside, sentence

STARTED, BEAT, NOW = 500.0, 1100.0, 1200.0
LIFE = {"started_at": STARTED, "version": "1.2", "python": "/py", "pid": 42, "boot_id": "b"}


@pytest.mark.parametrize(
    ("life", "end", "age"),
    [
        (None, End.UNKNOWN, None),
        (Life(**LIFE), End.CRASHED, 700.0),
        (Life(**LIFE, beat_at=BEAT), End.CRASHED, 100.0),
        (Life(**LIFE, beat_at=BEAT, ended_at=1150.0), End.CLEAN, 50.0),
        (Life(**LIFE, ended_at=501.0), End.CLEAN, 699.0),
        # The clock was set back: it is over all the same, and not in the future.
        (Life(**LIFE, beat_at=9999.0), End.CRASHED, 0.0),
    ],
)
def test_the_life_before(life: Life | None, end: End, age: float | None) -> None:
    """Whoever starts has the records alone: without an end on record, the life before crashed."""
    verdict = at_start(life, NOW)
    assert (verdict.end, verdict.age_seconds) == (end, age)


@pytest.mark.parametrize(
    ("life", "end"),
    [
        (None, End.UNKNOWN),
        (Life(**LIFE, beat_at=NOW - 299), End.RUNNING),
        (Life(**LIFE, beat_at=NOW - 300), End.RUNNING),
        (Life(**LIFE, beat_at=NOW - 301), End.CRASHED),
        (Life(**(LIFE | {"started_at": NOW - 1})), End.RUNNING),
        (Life(**LIFE, beat_at=NOW, ended_at=NOW), End.CLEAN),
    ],
)
def test_a_life_seen_from_outside(life: Life | None, end: End) -> None:
    """A crash is known by the age of the last heartbeat."""
    assert from_outside(life, NOW, 300.0).end is end


@pytest.mark.parametrize(
    ("life", "said"),
    [
        (None, "unknown: no life is on record"),
        (Life(**LIFE, beat_at=1000.0), "no end on record and was last seen 200 s ago"),
        (Life(**LIFE, beat_at=NOW - 9), "running: process 42 of release 1.2 was last seen at work"),
        (Life(**LIFE, ended_at=1190.0), "clean: process 42 of release 1.2 ended in order 10 s ago"),
        (Life(**LIFE, ended_at=1190.0, left_open=2), "2 orders may have been left open"),
    ],
)
def test_it_is_said_in_a_line(life: Life | None, said: str) -> None:
    """People read what is known, and what is not."""
    assert said in sentence(from_outside(life, NOW, 100.0))
