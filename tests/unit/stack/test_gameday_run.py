"""A game day goes on whatever becomes of its drills, and runs each as often as it should."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from trading_ops.config.loading import load_settings
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.drill_run import DrillResult
from trading_ops_lab.drills.gameday import DURING, SIDE_BY_SIDE, SILENCED, run_game_day

BOOKS = load_runbooks(load_settings(environ={}).runbooks)


class Paused:
    """A stack on which someone has paused automation: no drill starts there."""

    def __init__(self) -> None:
        """Have all runbooks."""
        self.runbooks = BOOKS
        self.reconciler = self

    def bot(self, name: str | None) -> object:
        """Return its bot."""
        assert name is None
        return SimpleNamespace(name="alpha", venue="paper")

    async def status(self) -> object:
        """Tell of the pause."""
        return SimpleNamespace(pause=SimpleNamespace(owner="ada", reason="maintenance"))


async def test_every_drill_is_tried_as_often_as_it_should_be() -> None:
    """Alone or in a sitting; the automatic ones held back too, and one during another's alert."""
    ended: list[DrillResult] = []
    begun: list[tuple[str, str]] = []
    day = await run_game_day(
        cast(Any, Paused()),
        bot_name=None,
        with_paused=True,
        begin=lambda alert, why: begun.append((alert, why)),
        end=ended.append,
        say=lambda _alert, _mark: None,
    )
    drilled = {alert for alert, book in BOOKS.items() if book.drill}
    automatic = {alert for alert in drilled if BOOKS[alert].steps}
    held = {(alert, "with automation paused") for alert in automatic} | {(SILENCED, "silenced")}
    during = {(alert, f"during {cause}") for alert, cause in DURING.items()}
    assert Counter(begun) == Counter({(alert, "") for alert in drilled} | held | during)
    assert day.results == ended
    assert not any(result.passed for result in ended)
    assert all("paused by ada" in result.problem for result in ended)
    assert {
        (result.alert, f"during {result.during}") for result in ended if result.during
    } == during
    assert drilled > SIDE_BY_SIDE
