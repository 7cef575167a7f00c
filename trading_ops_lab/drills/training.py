"""A graded exercise for on-call: find an unnamed fault while automation is paused.

It asks for the alert, the cause and the first action, and measures the time. Afterwards automation
resumes and remediates the fault, or the exercise removes it if the alert is page-only.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from trading_ops import clock
from trading_ops.domain.runbook import Drill, Runbook
from trading_ops.errors import StackError
from trading_ops_lab.drills.drill_run import RECOVERY_AFTER_PAUSE, Following
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER, Say, wait_until_calm
from trading_ops_lab.drills.timeline import Mark
from trading_ops_lab.faults.catalogue import FAULTS

EXERCISES = (
    "TradingBotBrokerDisconnected",
    "TradingBotDown",
    "TradingBotHeartbeatStopped",
    "TradingBotMarketDataStale",
    "TradingBotNonceRefused",
    "TradingBotOrphanedOrders",
    "TradingBotSignalsStale",
    "TradingMarketClosed",
    "TradingVenueClockSkewed",
    "TradingVenueDown",
    "TradingVenueMaintenance",
)
"""Alerts whose drill is detected within minutes and keeps the reconciler and Alertmanager up."""

NO_ACTION = "none: page-only, on-call decides"
WRONG_CHOICES = 3
TRIES = 2
POINTS = {"alert": 40, "cause": 20, "first action": 20, "time": 20}
PASS_POINTS = 70
FULL_TIME_SHARE = 0.4
"""Share of the time limit within which the answers get all points for time."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; without choices the answer is free text."""

    key: str
    text: str
    right: frozenset[str]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An alert to find, and the questions about it."""

    alert: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The result of one exercise."""

    alert: str
    fault: str
    first_action: str
    points: Mapping[str, int]
    seconds: float
    """From the injection to the last answer, or the time limit."""

    remediated: bool
    """Whether the incident was closed after automation resumed or the fault was removed."""

    @property
    def total(self) -> int:
        """Points out of 100."""
        return sum(self.points.values())

    @property
    def passed(self) -> bool:
        """Whether the alert was found and the score is high enough."""
        return self.points["alert"] > 0 and self.total >= PASS_POINTS


Ask = Callable[[Question], Awaitable[str]]
"""Asks a question once and returns the answer: free text, or one of the choices."""


def make_exercise(runbooks: Mapping[str, Runbook], seed: int) -> Exercise:
    """Choose an alert and its questions; the same seed gives the same exercise.

    Raises:
        StackError: no runbook of an exercise has a drill.
    """
    known = [alert for alert in EXERCISES if alert in runbooks and runbooks[alert].drill]
    if not known:
        raise StackError("no exercise: restore the shipped runbooks with `trading-ops init`")
    chance = random.Random(seed)  # noqa: S311 - an exercise, not a secret
    runbook = runbooks[chance.choice(known)]
    drill = _drill(runbook)
    same_fault = {
        runbook.alert
        for runbook in runbooks.values()
        if runbook.drill and runbook.drill.fault == drill.fault
    }
    others = [runbooks[alert] for alert in known if alert not in same_fault]
    causes = [FAULTS[_drill(alert).fault].describe for alert in others]
    actions = [first_action(alert) for alert in others]
    cause = FAULTS[drill.fault].describe
    return Exercise(
        alert=runbook.alert,
        questions=(
            Question(
                key="alert",
                text="Which alert names the cause?",
                right=frozenset(same_fault),
            ),
            _choice("cause", "What is broken?", cause, causes, chance),
            _choice(
                "first action",
                "What does its runbook do first?",
                first_action(runbook),
                actions,
                chance,
            ),
        ),
    )


def first_action(runbook: Runbook) -> str:
    """Return the first step's action, or the text for none."""
    return runbook.steps[0].action if runbook.steps else NO_ACTION


def points_for_time(seconds: float, limit_seconds: float) -> int:
    """Return full points up to `FULL_TIME_SHARE` of the limit, then fewer, and 0 at the limit."""
    left = (limit_seconds - seconds) / (limit_seconds * (1 - FULL_TIME_SHARE))
    return round(POINTS["time"] * min(1.0, max(0.0, left)))


async def run_training(
    scene: Scene, *, bot_name: str | None, seed: int, limit: timedelta, ask: Ask, say: Say
) -> Grade:
    """Run one exercise to its end and clean up.

    Args:
        scene: the running stack.
        bot_name: the bot to break; by default the first one.
        seed: chooses the fault and the order of the choices.
        limit: time for all answers, from the injection.
        ask: asks the operator.
        say: called with what it waits for, and with the timeline after the last answer.

    Raises:
        StackError: the stack is not healthy before it starts.
        ClientError: the stack does not answer.
    """
    exercise = make_exercise(scene.runbooks, seed)
    runbook = scene.runbooks[exercise.alert]
    drill = _drill(runbook)
    bot, fault = scene.bot(bot_name), FAULTS[drill.fault]
    await wait_until_calm(scene, bot, say, alerts=(exercise.alert,))
    await scene.reconciler.reset_budget(bot.name, owner=OWNER, reason="training")
    run = Following(scene=scene, runbook=runbook, drill=drill, fault=fault, bot=bot, say=say)
    await fault.ready(scene, bot)
    pause = (limit + RECOVERY_AFTER_PAUSE).total_seconds()
    run.paused_by = await scene.reconciler.pause(owner=OWNER, reason="training", seconds=pause)
    try:
        run.injected, started = clock.now(), clock.monotonic()
        run.key = await fault.inject(scene, bot)
        say(Mark(stage="injected", seconds=0.0, note="a fault; automation is paused"))
        points, seconds = await answers(exercise.questions, ask, started, limit.total_seconds())
        await run.resume()
        if not runbook.steps:
            # If removed before its detection, it would open no incident to close.
            await run.until(_opened, run.injected + drill.recover_within)
            key, run.key = run.key, ""
            await fault.clean_up(scene, bot, key)
            run.note("removed", "the exercise removed the fault")
        closed = await run.until(_closed, clock.now() + drill.recover_within + RECOVERY_AFTER_PAUSE)
    finally:
        await run.resume()
        if run.key:
            await fault.clean_up(scene, bot, run.key)
    return Grade(
        alert=exercise.alert,
        fault=fault.describe,
        first_action=first_action(runbook),
        points=points,
        seconds=seconds,
        remediated=closed,
    )


async def answers(
    questions: Sequence[Question], ask: Ask, started: float, limit_seconds: float
) -> tuple[dict[str, int], float]:
    """Return the points and the seconds of the last answer; a timeout keeps the points so far."""
    points = dict.fromkeys(POINTS, 0)
    try:
        async with asyncio.timeout(limit_seconds):
            for question in questions:
                points[question.key] = await _points(question, ask)
    except TimeoutError:
        return points, limit_seconds
    seconds = clock.monotonic() - started
    points["time"] = points_for_time(seconds, limit_seconds) if points["alert"] else 0
    return points, seconds


async def _points(question: Question, ask: Ask) -> int:
    """Return full points for the first answer, half for the second; a choice has one try."""
    worth = POINTS[question.key]
    for attempt in range(1 if question.choices else TRIES):
        answer = (await ask(question)).strip().casefold()
        if answer in {right.casefold() for right in question.right}:
            return worth // (attempt + 1)
    return 0


def _choice(
    key: str, text: str, right: str, others: Sequence[str], chance: random.Random
) -> Question:
    wrong = sorted(set(others) - {right})
    choices = [right, *chance.sample(wrong, min(WRONG_CHOICES, len(wrong)))]
    chance.shuffle(choices)
    return Question(key=key, text=text, right=frozenset({right}), choices=tuple(choices))


def _drill(runbook: Runbook) -> Drill:
    if runbook.drill is None:
        raise StackError(f"{runbook.alert} has no drill")
    return runbook.drill


def _opened(run: Following) -> bool:
    return run.timeline is not None


def _closed(run: Following) -> bool:
    return run.timeline is not None and run.timeline.incident.closed_at is not None
