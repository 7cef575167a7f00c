"""A drill fails for what must not happen: any action for page-only alerts, one-shots twice."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.unit.stack.timelines import StoredTimelines, attempt, timeline
from trading_ops.clients.reconciler_views import TimelineView
from trading_ops.config.loading import load_settings
from trading_ops.domain.target import Target
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.drill_run import Following
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.page_only_drill import forbidden_actions
from trading_ops_lab.drills.run import done_twice
from trading_ops_lab.faults.base import Fault

BOOKS = load_runbooks(load_settings(environ={}).runbooks)


class Broken(Fault):
    """A fault that leads to vain restarts."""

    describe = "broken"
    expected_failures = frozenset({"restart_bot"})

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break nothing."""
        del scene, bot
        return ""


class Whole(Broken):
    """A fault that leads to nothing."""

    expected_failures = frozenset()


class World:
    """What a drill needs of its scene here."""

    def __init__(self, timelines: Sequence[TimelineView]) -> None:
        """Take the timelines."""
        self.reconciler = StoredTimelines(timelines)
        self.runbooks = BOOKS


def following(fault: Fault, *timelines: TimelineView) -> Following:
    """Return a drill under way."""
    book = BOOKS["TradingBotDown"]
    assert book.drill is not None
    bot = cast(Any, type("Bot", (), {"name": "alpha", "venue": "paper"})())
    return Following(
        scene=cast(Any, World(timelines)),
        runbook=book,
        drill=book.drill,
        fault=fault,
        bot=bot,
        say=lambda _mark: None,
    )


@pytest.mark.parametrize(
    ("fault", "timelines", "problem"),
    [
        (Whole(), [], ""),
        (Whole(), [timeline("TradingBotDown")], ""),
        (
            Whole(),
            [timeline("TradingBotDown", attempt("restart_bot"))],
            "restart_bot was run for TradingBotDown",
        ),
        (Broken(), [timeline("TradingBotDown", *[attempt("restart_bot")] * 2)], ""),
        (
            Broken(),
            [timeline("TradingBotDown", *[attempt("restart_bot")] * 3)],
            "3 attempts for TradingBotDown, which has 2 steps",
        ),
        (
            Broken(),
            [timeline("TradingBotBrokerDisconnected", attempt("reconnect_broker"))],
            "reconnect_broker was run for TradingBotBrokerDisconnected",
        ),
    ],
)
async def test_what_is_done_for_people_is_found(
    fault: Fault, timelines: list[TimelineView], problem: str
) -> None:
    """Any attempt of any incident of the bot, but for what the fault is known to lead to."""
    assert await forbidden_actions(following(fault, *timelines)) == problem


@pytest.mark.parametrize(
    ("timelines", "problem"),
    [
        ([timeline("TradingBotDown", attempt("restart_bot"))], ""),
        (
            [
                timeline("TradingBotDown", attempt("restart_bot")),
                timeline("TradingBotMarketDataStale", attempt("restart_bot")),
            ],
            "restart_bot was run twice",
        ),
        ([timeline("TradingBotDown", *[attempt("resync_nonce", "idempotent")] * 2)], ""),
    ],
)
async def test_a_second_restart_is_found(timelines: list[TimelineView], problem: str) -> None:
    """Also when it was another incident that led to it."""
    assert await done_twice(following(Whole(), *timelines)) == problem
