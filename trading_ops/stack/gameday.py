"""The game day: every drill once, and once more with automation paused."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from statistics import median

from trading_ops.errors import ClientError, StackError
from trading_ops.stack.calm import wait_until_calm
from trading_ops.stack.drill import run_drill
from trading_ops.stack.faults import FAULTS
from trading_ops.stack.following import DrillResult
from trading_ops.stack.scene import Scene
from trading_ops.stack.timeline import Mark

SIDE_BY_SIDE = frozenset(
    {
        "TradingBotOrdersRejected",
        "TradingLogGrowing",
        "TradingOpsPrometheusConfigBad",
        "TradingVenueClockSkewed",
    }
)
"""Drills of alerts for people that last minutes and do not get in each other's way: one sitting."""

SILENCED = "TradingBotBrokerDisconnected"
"""Whose drill is run once more with its alert silenced: hands off is the same for all of them."""

DURING = {"TradingBotDown": "TradingVenueDown"}
"""Drills that are run once more while another alert keeps hands off until it is over."""


@dataclass(frozen=True, kw_only=True)
class GameDay:
    """What came of all drills."""

    results: list[DrillResult] = field(default_factory=list)

    @property
    def healed(self) -> list[DrillResult]:
        """The drills that were to recover, or to be noticed."""
        held_back = (one.paused or one.silenced or one.during for one in self.results)
        return [one for one, back in zip(self.results, held_back, strict=True) if not back]

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


def held_back(*, paused: bool, silenced: bool, during: str) -> str:
    """Say for a headline what keeps hands off; empty for nothing."""
    if during:
        return f"during {during}"
    return "with automation paused" if paused else "silenced" if silenced else ""


def drills_of(scene: Scene) -> list[str]:
    """Return the alerts that have a drill, by name."""
    return sorted(book.alert for book in scene.runbooks.values() if book.drill)


async def run_game_day(
    scene: Scene,
    *,
    bot_name: str | None,
    with_paused: bool,
    begin: Callable[[str, str], None],
    end: Callable[[DrillResult], None],
    say: Callable[[str, Mark], None],
) -> GameDay:
    """Run all drills; `begin`, `end` and `say` hear of each.

    One after the other, but for those that last long and do not get in each other's way.

    Raises:
        StackError: there is no bot of this name.
    """
    bot = scene.bot(bot_name)
    day = GameDay()

    async def run(
        alert: str,
        *,
        paused: bool = False,
        silenced: bool = False,
        during: str = "",
        calm: bool = False,
    ) -> None:
        begin(alert, held_back(paused=paused, silenced=silenced, during=during))

        def tell(mark: Mark) -> None:
            say(alert, mark)

        try:
            result = await run_drill(
                scene,
                alert,
                bot_name=bot_name,
                paused=paused,
                silenced=silenced,
                during=during,
                say=tell,
                calm=calm,
            )
        except (StackError, ClientError) as error:
            # The rest of the day is still worth its while.
            failed = _not_run(scene, alert, bot.name, problem=str(error))
            result = replace(failed, paused=paused, silenced=silenced, during=during)
        end(result)
        day.results.append(result)

    for alert in _alone(drills_of(scene)):
        await run(alert)
        if with_paused and scene.runbooks[alert].steps:
            await run(alert, paused=True)
            if alert == SILENCED:
                await run(alert, silenced=True)
        if alert in DURING:
            await run(alert, during=DURING[alert])
    together = [alert for alert in drills_of(scene) if alert in SIDE_BY_SIDE]
    if together:
        await wait_until_calm(scene, bot)
        await asyncio.gather(*(run(alert, calm=True) for alert in together))
    return day


def _alone(alerts: Iterable[str]) -> list[str]:
    return [alert for alert in alerts if alert not in SIDE_BY_SIDE]


def _not_run(scene: Scene, alert: str, target: str, *, problem: str) -> DrillResult:
    book = scene.runbooks[alert]
    drill = book.drill
    return DrillResult(
        alert=alert,
        target=target,
        fault=drill.fault if drill else "",
        broken=FAULTS[drill.fault].describe if drill else "",
        for_people=not book.steps,
        handed_over=drill is not None and FAULTS[drill.fault].left_to_people,
        paused=False,
        passed=False,
        problem=problem,
        limit_seconds=drill.recover_within.total_seconds() if drill else 0.0,
    )
