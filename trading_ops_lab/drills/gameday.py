"""The game day: every drill once, and again with automation paused."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import median
from typing import NamedTuple

from trading_ops.domain.runbook import Runbook
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, NotPossibleHere, StackError
from trading_ops_lab.drills.drill_run import DrillResult
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import wait_until_calm
from trading_ops_lab.drills.run import run_drill
from trading_ops_lab.drills.timeline import Mark
from trading_ops_lab.faults.catalogue import FAULTS

SITTINGS = (
    frozenset(
        {
            "TradingBotOrdersRejected",
            "TradingLogGrowthHigh",
            "TradingOpsCollectorFailing",
            "TradingOpsPrometheusConfigBad",
            "TradingVenueClockSkewed",
        }
    ),
    frozenset({"TradingBotMarketDataSlow", "TradingBotVenueErrorsHigh"}),
    frozenset({"TradingOpsAlertmanagerDown", "TradingOpsPollFailing", "TradingOpsWatchdogMissing"}),
)
"""Page-only drills that take minutes, in groups that do not interfere and can run in parallel.

The last group shares one fault, which is removed once all of its drills have detected it.
"""

CALM_AGAIN = timedelta(minutes=5)
"""Time for alerts from an earlier drill or a busy machine to resolve."""

SIDE_BY_SIDE = frozenset[str]().union(*SITTINGS)

SILENCED = "TradingBotBrokerDisconnected"
"""The drill that is repeated with its alert silenced: silences work the same for all alerts."""

DURING = {"TradingBotDown": "TradingVenueDown"}
"""Drills that are repeated while another alert suppresses them until it is over."""


@dataclass(frozen=True, kw_only=True)
class GameDay:
    """The results of all drills."""

    results: list[DrillResult] = field(default_factory=list)

    @property
    def expected(self) -> list[DrillResult]:
        """The drills that must recover or be detected, without those not possible here."""
        not_remediated = (
            result.paused or result.silenced or result.during or result.not_possible
            for result in self.results
        )
        return [
            result for result, back in zip(self.results, not_remediated, strict=True) if not back
        ]

    @property
    def paused(self) -> list[DrillResult]:
        """The drills that must not recover."""
        return [result for result in self.results if result.paused]

    @property
    def passed(self) -> bool:
        """Whether every possible drill passed, and there was at least one."""
        possible = [result for result in self.results if not result.not_possible]
        return bool(possible) and all(result.passed for result in possible)

    @property
    def median_seconds(self) -> float | None:
        """Median time from injection to closed incident."""
        times = [
            result.total_seconds for result in self.expected if result.total_seconds is not None
        ]
        return median(times) if times else None


def not_remediated(*, paused: bool, silenced: bool, during: str) -> str:
    """Return what suppresses automation, for a headline; empty: nothing."""
    if during:
        return f"during {during}"
    return "with automation paused" if paused else "silenced" if silenced else ""


def drills_of(scene: Scene, only: Collection[str] = ()) -> list[str]:
    """Return the alerts that have a drill, by name, or only the given ones.

    Raises:
        StackError: a given alert has no drill.
    """
    known = {book.alert for book in scene.runbooks.values() if book.drill}
    if strange := sorted(set(only) - known):
        raise StackError(
            f"no drill for {', '.join(strange)}. Fix: name alerts whose runbook has one"
        )
    return sorted(known & set(only) if only else known)


async def run_game_day(
    scene: Scene,
    *,
    bot_name: str | None,
    with_paused: bool,
    only: Collection[str] = (),
    begin: Callable[[str, str], None],
    end: Callable[[DrillResult], None],
    say: Callable[[str, Mark], None],
) -> GameDay:
    """Run all drills; `begin`, `end` and `say` are called for each.

    One after the other, except for long ones that do not interfere.

    Args:
        scene: the running stack.
        bot_name: the bot to break; None: the first one.
        with_paused: whether each is run again with automation paused.
        only: only the drills of these alerts; empty: all drills.
        begin: called before each drill, with what suppresses automation.
        end: called with each result.
        say: called at each stage.

    Raises:
        StackError: there is no such bot, or no drill of such an alert.
    """
    bot = scene.bot(bot_name)
    alerts = drills_of(scene, only)
    day = GameDay()

    async def run(
        alert: str,
        *,
        paused: bool = False,
        silenced: bool = False,
        during: str = "",
        calm: bool = False,
    ) -> DrillResult:
        begin(alert, not_remediated(paused=paused, silenced=silenced, during=during))

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
            # Continue with the rest of the drills.
            failed = _not_run(scene, alert, bot.name, problem=str(error))
            result = replace(
                failed,
                paused=paused,
                silenced=silenced,
                during=during,
                not_possible=isinstance(error, NotPossibleHere),
            )
        end(result)
        day.results.append(result)
        return result

    for alert in _alone(alerts):
        if (await run(alert)).not_possible:
            continue
        for again in _again(scene.runbooks[alert], with_paused=with_paused):
            await run(alert, paused=again.paused, silenced=again.silenced, during=again.during)
    for together in _together(alerts):
        calm = await _is_calm(scene, bot, together)
        await asyncio.gather(*(run(alert, calm=calm) for alert in together))
    return day


class _Again(NamedTuple):
    """How a drill is repeated."""

    paused: bool = False
    silenced: bool = False
    during: str = ""


def _again(book: Runbook, *, with_paused: bool) -> Iterator[_Again]:
    if with_paused and book.steps:
        yield _Again(paused=True)
        if book.alert == SILENCED:
            yield _Again(silenced=True)
    if book.alert in DURING:
        yield _Again(during=DURING[book.alert])


def _alone(alerts: Iterable[str]) -> list[str]:
    return [alert for alert in alerts if alert not in SIDE_BY_SIDE]


def _together(alerts: Iterable[str]) -> list[list[str]]:
    known = frozenset(alerts)
    return [sorted(sitting & known) for sitting in SITTINGS if sitting & known]


async def _is_calm(scene: Scene, bot: Target, alerts: Collection[str]) -> bool:
    """Wait for a whole group at once; on a timeout, each drill waits itself and reports why."""
    try:
        await wait_until_calm(scene, bot, alerts=alerts, within=CALM_AGAIN)
    except StackError:
        return False
    return True


def _not_run(scene: Scene, alert: str, target: str, *, problem: str) -> DrillResult:
    book = scene.runbooks[alert]
    drill = book.drill
    return DrillResult(
        alert=alert,
        target=target,
        fault=drill.fault if drill else "",
        broken=FAULTS[drill.fault].describe if drill else "",
        page_only=not book.steps,
        escalated=drill is not None and FAULTS[drill.fault].needs_operator,
        paused=False,
        passed=False,
        problem=problem,
        limit_seconds=drill.recover_within.total_seconds() if drill else 0.0,
    )
