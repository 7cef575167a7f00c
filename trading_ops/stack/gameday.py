"""The game day: every drill once, and once more with automation paused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from trading_ops.stack.calm import Say
from trading_ops.stack.drill import run_drill
from trading_ops.stack.following import DrillResult
from trading_ops.stack.scene import Scene


@dataclass(frozen=True, kw_only=True)
class GameDay:
    """What came of all drills."""

    results: list[DrillResult] = field(default_factory=list)

    @property
    def healed(self) -> list[DrillResult]:
        """The drills that were to recover."""
        return [result for result in self.results if not result.paused]

    @property
    def paused(self) -> list[DrillResult]:
        """The drills that were not to recover."""
        return [result for result in self.results if result.paused]

    @property
    def passed(self) -> bool:
        """Whether every one did as it should, and there was at least one."""
        return bool(self.results) and all(result.passed for result in self.results)

    @property
    def median_seconds(self) -> float | None:
        """The middle of the times from injection to closed incident."""
        times = [one.total_seconds for one in self.healed if one.total_seconds is not None]
        return median(times) if times else None


def drills_of(scene: Scene) -> list[str]:
    """Return the alerts that have a drill, by name."""
    return sorted(book.alert for book in scene.runbooks.values() if book.drill)


async def run_game_day(
    scene: Scene,
    *,
    bot_name: str | None,
    with_paused: bool,
    begin: Callable[[str, bool], None],
    end: Callable[[DrillResult], None],
    say: Say,
) -> GameDay:
    """Run all drills one after the other; `begin` and `end` hear of each.

    Raises:
        StackError: the stack was not in order before one of them.
    """
    day = GameDay()
    for alert in drills_of(scene):
        automatic = bool(scene.runbooks[alert].steps)
        for paused in (False, True) if with_paused and automatic else (False,):
            begin(alert, paused)
            result = await run_drill(scene, alert, bot_name=bot_name, paused=paused, say=say)
            end(result)
            day.results.append(result)
    return day
