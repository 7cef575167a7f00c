"""Each bot's service levels in a period, and its use of the error budgets.

Both are computed from the recorded bad and total events of the period itself. Unmeasured time is
neither good nor bad; its share is returned.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.report import ServiceLevel
from trading_ops.errors import ClientError
from trading_ops.reports.slo import Objective, objectives

RULE_SECONDS = 30
"""Interval of the recorded series."""

WITHIN = timedelta(minutes=1)
"""Timeout of a query, which reads up to 90,000 samples of each series."""

QUERIES: Mapping[str, str] = {
    "bad": "sum by (bot, sloth_slo) (sum_over_time(slo:sli_bad:rate5m[$span]))",
    "events": "sum by (bot, sloth_slo) (sum_over_time(slo:sli_events:rate5m[$span]))",
    # With several venues, the one with the least measured time.
    "measured": (
        "clamp_max(min by (bot, sloth_slo) (count_over_time(slo:sli_events:rate5m[$span]))"
        f" * {RULE_SECONDS} / $seconds, 1)"
    ),
}

Values = dict[tuple[str, str], float]
"""By bot and objective."""


def queries(*, since: datetime, until: datetime) -> dict[str, str]:
    """Return the queries for a period, to be evaluated at its end."""
    seconds = str(max(60, (until - since) // timedelta(seconds=1)))
    return {
        name: query.replace("$span", f"{seconds}s").replace("$seconds", seconds)
        for name, query in QUERIES.items()
    }


async def read_levels(
    prometheus: Prometheus, bots: Iterable[str], *, since: datetime, until: datetime
) -> tuple[ServiceLevel, ...] | None:
    """Return a row for each bot and objective; None: Prometheus did not answer.

    Args:
        prometheus: with the recorded series of the period.
        bots: that get a row even without data.
        since: start of the period.
        until: end of the period.
    """
    try:
        answers = await asyncio.gather(
            *(
                _values(prometheus, query, until)
                for query in queries(since=since, until=until).values()
            )
        )
    except ClientError:
        return None
    bad, events, measured = answers
    names = sorted({bot for bot, _ in measured} | set(bots))
    return tuple(
        level(
            bot,
            objective,
            bad=bad.get((bot, objective.name)),
            events=events.get((bot, objective.name)),
            measured=measured.get((bot, objective.name), 0.0),
        )
        for bot in names
        for objective in objectives()
    )


def level(
    bot: str, slo: Objective, *, bad: float | None, events: float | None, measured: float
) -> ServiceLevel:
    """Return the row of a bot's objective; without events its ratio and budget are unknown."""
    objective, budget = round(slo.percent / 100, 6), round(1 - slo.percent / 100, 6)
    spent = good = None
    if bad is not None and events:
        good = 1 - bad / events
        spent = bad / events / budget
    return ServiceLevel(
        bot=bot,
        slo=slo.name,
        objective=objective,
        ratio=good,
        budget=budget,
        spent=spent,
        left=None if spent is None else 1 - spent,
        measured=measured,
    )


async def _values(prometheus: Prometheus, query: str, at: datetime) -> Values:
    found = await prometheus.query(query, at=at, within=WITHIN)
    return {
        (sample.labels["bot"], sample.labels["sloth_slo"]): sample.value
        for sample in found
        if math.isfinite(sample.value) and sample.labels.keys() >= {"bot", "sloth_slo"}
    }
