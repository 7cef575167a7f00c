"""The plan of one series, and the ranking of all, in the format of the API.

Values are in base units of the metric: bytes, seconds, shares, counts.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from trading_ops.capacity.forecast import Days, Usage, days_to
from trading_ops.capacity.limits import Choices, Thresholds
from trading_ops.capacity.recommend import Advice, advise
from trading_ops.capacity.resources import Resource, ResourceUnit
from trading_ops.capacity.trend import GrowthFinding


class Level(StrEnum):
    """Level of a resource, by its weekly peak and its forecast."""

    CRITICAL = "critical"
    WARNING = "warning"
    OK = "ok"
    UNKNOWN = "unknown"
    """There is no recent sample, or no limit."""


class DaysView(msgspec.Struct, kw_only=True):
    """Days from now, with the 95 % interval; null: more than ten years."""

    expected: float | None
    earliest: float | None
    latest: float | None


class GrowthView(msgspec.Struct, kw_only=True):
    """The trend of the daily peaks."""

    finding: GrowthFinding
    per_day: float
    low: float
    high: float
    """The 95 % interval of the growth per day."""

    days: float
    """Days of data for the trend."""

    step_days_ago: float | None
    """When the level last changed abruptly."""


class ResourceView(msgspec.Struct, kw_only=True):
    """One resource of one host, process, database or bot."""

    resource: str
    labels: dict[str, str]
    level: Level
    unit: ResourceUnit
    now: float | None
    p95: float | None
    """From the last seven days."""

    peak: float | None
    """From the last seven days."""

    limit: float | None
    warning: float | None
    critical: float | None
    growth: GrowthView | None
    to_warning: DaysView | None
    to_critical: DaysView | None
    to_full: DaysView | None
    saturation: float | None
    """Share of the last hour in which something waited for the resource; null: not measured."""

    errors: float | None
    """Errors in the last hour because the resource was exhausted; null: not measured."""

    recommendation: str
    add: float
    """Amount that the recommendation adds to the limit; 0: nothing."""

    cost: float | None
    """Monthly cost of the addition, if `capacity.yml` has a price."""

    runbook: str


class CapacityView(msgspec.Struct, kw_only=True):
    """All resources, and the bottlenecks."""

    resources: list[ResourceView]
    bottlenecks: list[ResourceView]
    """Worst first: by errors, then saturation, then utilization."""

    currency: str
    horizon_days: int
    """Validity of a recommendation."""


LIMITED = 0.5
"""From this share of the limit, a resource without errors and saturation is a bottleneck."""

SATURATED = 0.01
"""Share of the time in which something waits that makes a resource a bottleneck."""

SHOWN = 10


def view(
    resource: Resource,
    labels: Mapping[str, str],
    used: Usage | None,
    limit: float | None,
    choices: Choices,
    *,
    saturation: float | None = None,
    errors: float | None = None,
) -> ResourceView:
    """Return the plan of one series."""
    levels = choices.thresholds.get(resource.name, resource.thresholds)
    warning = None if limit is None else limit * levels.warning
    critical = None if limit is None else limit * levels.critical
    advice = advise(resource, labels, used, limit, levels, choices, errors=errors)
    return ResourceView(
        resource=resource.name,
        labels=dict(labels),
        level=level_of(used, limit, levels, choices.horizon_days),
        unit=resource.unit,
        now=None if used is None else used.now,
        p95=None if used is None else used.p95,
        peak=None if used is None else used.peak,
        limit=limit,
        warning=warning,
        critical=critical,
        growth=None if used is None else growth(used),
        to_warning=_days(warning, used),
        to_critical=_days(critical, used),
        to_full=_days(limit, used),
        saturation=saturation,
        errors=errors,
        recommendation=advice.text,
        add=advice.add,
        cost=cost(resource, advice, choices),
        runbook=resource.runbook,
    )


def level_of(used: Usage | None, limit: float | None, levels: Thresholds, horizon: int) -> Level:
    """Return the level of a resource: missing data is unknown, never ok."""
    if used is None or limit is None:
        return Level.UNKNOWN
    if used.peak >= limit * levels.critical:
        return Level.CRITICAL
    near = days_to(limit * levels.critical, used).expected
    if used.peak >= limit * levels.warning or (near is not None and near <= horizon):
        return Level.WARNING
    return Level.OK


def growth(used: Usage) -> GrowthView:
    """Return the growth in the format of the API."""
    found = used.trend
    return GrowthView(
        finding=found.finding,
        per_day=found.slope,
        low=found.low,
        high=found.high,
        days=round(found.days, 2),
        step_days_ago=None if found.stepped_at is None else round(-found.stepped_at, 1),
    )


def cost(resource: Resource, advice: Advice, choices: Choices) -> float | None:
    """Return the monthly cost of the addition."""
    price = choices.prices.get(resource.name)
    if price is None or advice.units == 0:
        return None
    return round(advice.units * price, 2)


def bottlenecks(found: Iterable[ResourceView]) -> list[ResourceView]:
    """Return the bottlenecks: by errors, then saturation, then utilization."""

    def rank(resource: ResourceView) -> tuple[bool, float, float]:
        return (
            (resource.errors or 0) > 0,
            round(resource.saturation or 0, 2),
            _utilization(resource),
        )

    limiting = [
        resource
        for resource in found
        if (resource.errors or 0) > 0
        or (resource.saturation or 0) >= SATURATED
        or _utilization(resource) >= LIMITED
    ]
    return sorted(limiting, key=rank, reverse=True)[:SHOWN]


def _utilization(resource: ResourceView) -> float:
    return resource.p95 / resource.limit if resource.p95 is not None and resource.limit else 0.0


def _days(threshold: float | None, used: Usage | None) -> DaysView | None:
    if threshold is None or used is None or used.trend.finding is GrowthFinding.TOO_SHORT:
        return None
    found: Days = days_to(threshold, used)
    return DaysView(
        expected=_rounded(found.expected),
        earliest=_rounded(found.earliest),
        latest=_rounded(found.latest),
    )


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 1)
