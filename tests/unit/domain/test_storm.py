"""When targets were failing, and how many at once."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, ago, make_incident
from trading_ops.domain.incident import (
    FailingEpisode,
    failing_episodes,
    failing_targets,
    most_failing,
)

SINCE = ago(120)


def episode(target: str, begins: float, ends: float | None = None) -> FailingEpisode:
    """From so many seconds ago to so many seconds ago."""
    return FailingEpisode(
        target=target, begins_at=ago(begins), ends_at=None if ends is None else ago(ends)
    )


def test_an_incident_is_an_episode_of_its_target() -> None:
    """It ends with the incident; once that is closed, where its alert went quiet."""
    found = failing_episodes(
        [
            make_incident(target="open"),
            make_incident(target="closed", closed_at=ago(1)),
            make_incident(target="quiet", quiet_since=ago(2)),
            make_incident(target="flapped", quiet_since=ago(2), closed_at=ago(1)),
            make_incident(target=None),
        ],
        NOW,
    )
    assert {(episode_.target, episode_.ends_at) for episode_ in found} == {
        ("open", None),
        ("closed", ago(1)),
        ("quiet", None),
        ("flapped", ago(2)),
    }
    assert failing_targets(found, NOW) == {"open", "quiet"}
    assert failing_targets(found, ago(3600)) == frozenset()


def test_an_open_incident_fails_now_after_the_clock_has_stepped_back() -> None:
    found = failing_episodes(
        [
            make_incident(target="open", opened_at=ago(-3600)),
            make_incident(target="closed", opened_at=ago(-3600), closed_at=ago(-3500)),
        ],
        NOW,
    )
    assert failing_targets(found, NOW) == {"open"}
    assert most_failing(found, since=SINCE, now=NOW) == 1


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ((), 0),
        ((episode("a", 300),), 1),
        ((episode("a", 300), episode("a", 200), episode("b", 10)), 2),
        ((episode("a", 300, 130), episode("b", 125)), 1),  # before `since` is too long ago
        ((episode("a", 300, 120), episode("b", 120)), 1),  # it ended just at `since`
        ((episode("a", 60, 30), episode("b", 30, 20), episode("c", 20)), 1),
        ((episode("a", 60, 29), episode("b", 30, 19), episode("c", 20)), 2),
        ((episode("a", 60, 30), episode("b", 50, 30), episode("c", 40)), 3),
        ((episode("a", 300), episode("b", -10)), 1),  # a clock that runs ahead
        ((episode("a", 300, -10), episode("b", 10)), 2),
    ],
)
def test_the_most_at_once(failures: tuple[FailingEpisode, ...], expected: int) -> None:
    """What counts is how many targets fail at one moment, not how many failed in all."""
    assert most_failing(failures, since=SINCE, now=NOW) == expected


seconds = st.integers(-20, 400)
episode_lists = st.lists(
    st.tuples(st.sampled_from("abcde"), seconds, st.none() | seconds).map(
        lambda drawn: episode(
            drawn[0], drawn[1], None if drawn[2] is None else min(drawn[1], drawn[2])
        )
    ),
    max_size=8,
)


@given(episode_lists, st.randoms(use_true_random=False))
def test_it_agrees_with_looking_at_each_second(
    failures: list[FailingEpisode], random: st.DataObject
) -> None:
    """The sweep finds what a look at every single second finds, in any order of telling."""
    slow = max(len(failing_targets(failures, ago(second))) for second in range(121))
    lasting = [
        failure
        for failure in failures
        if failure.ends_at is None or failure.ends_at > failure.begins_at
    ]
    random.shuffle(lasting)  # type: ignore[attr-defined]
    assert most_failing(lasting, since=SINCE, now=NOW) == slow
    assert most_failing(lasting, since=NOW - timedelta(0), now=NOW) == len(
        failing_targets(failures, NOW)
    )
