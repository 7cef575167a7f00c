"""The exercises for on-call: what is asked, and what an answer is worth."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops import clock
from trading_ops.config.loading import load_settings
from trading_ops.errors import StackError
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.training import (
    EXERCISES,
    POINTS,
    Ask,
    Grade,
    Question,
    answers,
    first_action,
    make_exercise,
    points_for_time,
)
from trading_ops_lab.faults.catalogue import FAULTS

BOOKS = load_runbooks(load_settings(environ={}).runbooks)
HOUR = 3600.0


def replies(*texts: str) -> Ask:
    """Return what answers one text after the other."""
    given_texts: Iterator[str] = iter(texts)

    async def ask(question: Question) -> str:
        del question
        return next(given_texts)

    return ask


@pytest.mark.parametrize("alert", EXERCISES)
def test_a_fault_of_an_exercise_shows_and_ends(alert: str) -> None:
    """The reconciler and Alertmanager keep working, and automation or the exercise removes it."""
    drill = BOOKS[alert].drill
    assert drill is not None
    fault = FAULTS[drill.fault]
    assert not fault.blocks_notifications
    assert not fault.needs_operator


@given(seed=st.integers(0, 10_000))
def test_each_question_has_one_right_choice(seed: int) -> None:
    """And the same number gives the same exercise."""
    exercise = make_exercise(BOOKS, seed)
    alert, cause, action = exercise.questions
    assert exercise.alert in alert.right
    assert first_action(BOOKS[exercise.alert]) in action.right
    for question in (cause, action):
        assert len(set(question.choices)) == len(question.choices) == 4
        assert len(question.right & set(question.choices)) == 1
    assert make_exercise(BOOKS, seed) == exercise


def test_without_the_shipped_runbooks_there_is_no_exercise() -> None:
    with pytest.raises(StackError, match="trading-ops init"):
        make_exercise({}, 1)


@pytest.mark.parametrize(
    ("typed", "points"),
    [
        (("{alert}", "{cause}", "{action}"), (40, 20, 20, 20)),
        ((" {alert} ", "{cause}", "no"), (40, 20, 0, 20)),
        (("TradingOther", "{alert}", "no", "{action}"), (20, 0, 20, 20)),
        (("TradingOther", "TradingOther", "{cause}", "{action}"), (0, 20, 20, 0)),
    ],
)
async def test_answers_give_points(typed: tuple[str, ...], points: tuple[int, ...]) -> None:
    """A second try at the alert gives half; without the alert, speed gives nothing."""
    questions = make_exercise(BOOKS, 3).questions
    alert, cause, action = (next(iter(question.right)) for question in questions)
    texts = [template.format(alert=alert, cause=cause, action=action) for template in typed]
    found, _ = await answers(questions, replies(*texts), clock.monotonic(), HOUR)
    assert tuple(found[key] for key in POINTS) == points


async def test_at_the_time_limit_the_points_so_far_count() -> None:
    questions = make_exercise(BOOKS, 3).questions
    known = replies(next(iter(questions[0].right)))

    async def ask(question: Question) -> str:
        if question.choices:
            await asyncio.Event().wait()
        return await known(question)

    found, seconds = await answers(questions, ask, clock.monotonic(), 0.2)
    assert found == {"alert": 40, "cause": 0, "first action": 0, "time": 0}
    assert seconds == 0.2


@given(first=st.floats(0, 2 * HOUR), later=st.floats(0, 2 * HOUR), limit=st.floats(1, 2 * HOUR))
def test_a_later_answer_never_gives_more(first: float, later: float, limit: float) -> None:
    early, late = sorted((first, later))
    assert POINTS["time"] >= points_for_time(early, limit) >= points_for_time(late, limit) >= 0
    assert points_for_time(0, limit) == POINTS["time"]
    assert points_for_time(limit, limit) == 0


@pytest.mark.parametrize(
    ("points", "passed"),
    [
        ((40, 20, 20, 20), True),
        ((20, 20, 20, 10), True),
        ((40, 20, 0, 9), False),
        ((0,) * 4, False),
    ],
)
def test_seventy_points_pass(points: tuple[int, ...], passed: bool) -> None:
    grade = Grade(
        alert="TradingBotDown",
        fault="",
        first_action="",
        points=dict(zip(POINTS, points, strict=True)),
        seconds=1.0,
        remediated=True,
    )
    assert grade.passed is passed
