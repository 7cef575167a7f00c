"""The recommendation for a series, with its calculation.

The amount keeps the daily peak under the critical threshold until the end of the horizon:

    needed = (level + growth a day * horizon days) / critical share
    add    = needed - limit, rounded up to a whole unit
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from trading_ops.capacity.forecast import Usage, days_to
from trading_ops.capacity.limits import Choices, Thresholds
from trading_ops.capacity.resources import SCALE, CapacityRemedy, Resource, ResourceUnit
from trading_ops.capacity.trend import GrowthFinding

SMALLER: Mapping[ResourceUnit, tuple[str, ...]] = {
    ResourceUnit.BYTES: ("MB", "kB", "B"),
    ResourceUnit.BYTES_PER_SECOND: ("kB/s", "B/s"),
    ResourceUnit.SECONDS: ("ms",),
}
"""Names of a thousandth of a unit, a millionth, and so on."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A sentence, and the amount in it."""

    text: str
    add: float = 0.0
    """In base units."""

    units: float = 0.0
    """The same in units of `ResourceUnit`, for prices."""


def advise(
    resource: Resource,
    labels: Mapping[str, str],
    used: Usage | None,
    limit: float | None,
    levels: Thresholds,
    choices: Choices,
    *,
    errors: float | None = None,
) -> Advice:
    """Return the recommendation for one series; `errors`: because it was exhausted."""
    name = describe(resource, labels)
    if used is None:
        return Advice(text=f"{name}: no recent sample: check the scrape.")
    if limit is None:
        return Advice(text=_unlimited(name, resource, used))
    peak = max(used.peak, used.trend.level)
    growth = max(used.trend.slope, 0.0)
    needed = (peak + growth * choices.horizon_days) / levels.critical
    share = levels.critical
    # Errors at low use have another cause, such as a bad cable.
    if needed <= limit and peak >= (levels.warning if errors else share) * limit:
        # It is full and does not grow. Usage cannot exceed the limit, so more may be needed.
        share, growth = levels.warning, 0.0
        needed = max(peak, levels.critical * limit) / share
    if needed <= limit:
        return Advice(text=_fine(name, resource, used, limit, levels))
    total = amount(resource.unit, needed * share - growth * choices.horizon_days)
    if growth:
        total += f" + {choices.horizon_days} x {amount(resource.unit, growth)}"
    sums = f"({total}) / {share:g} = {amount(resource.unit, needed)}"
    begin = _begin(name, resource, used, peak, limit)
    if resource.remedy is CapacityRemedy.REDUCE:
        return Advice(
            text=f"{begin}: reduce {resource.change} by {1 - limit / needed:.0%}: {sums},"
            f" and the limit is {amount(resource.unit, limit)}."
        )
    units = math.ceil((needed - limit) / SCALE[resource.unit] - 1e-9)
    add = units * SCALE[resource.unit]
    act = _act(resource, limit, add)
    if resource.name == "logs" and choices.log_kept_days:
        act += f", or set log_kept_days: {choices.log_kept_days * limit / needed:.3g}"
    return Advice(
        text=f"{begin}: {act} to last {choices.horizon_days} days: {sums}, less"
        f" {amount(resource.unit, limit)}.",
        add=add,
        units=float(units),
    )


def _unlimited(name: str, resource: Resource, used: Usage) -> str:
    pace = amount(resource.unit, used.trend.slope)
    grows = used.trend.finding is GrowthFinding.GROWING
    growth = f"it grows by {pace} a day" if grows else "its growth is unknown"
    return f"{name}: {growth}; its limit is unknown: set limits.{resource.name} in capacity.yml."


def _begin(name: str, resource: Resource, used: Usage, peak: float, limit: float) -> str:
    full = days_to(limit, used).expected
    if full is None:
        begin = f"{name}: the peak is {_share(peak, limit)} of {amount(resource.unit, limit)}"
    elif full == 0:
        begin = f"{name} is full"
    else:
        begin = f"{name} is full in {_days(full)}"
    if used.trend.finding is GrowthFinding.GROWING:
        begin += f" at {amount(resource.unit, used.trend.slope)} a day"
    return begin


def _act(resource: Resource, limit: float, add: float) -> str:
    if resource.remedy is CapacityRemedy.RAISE:
        return f"raise {resource.change} to {amount(resource.unit, limit + add)}"
    more = amount(resource.unit, add)
    return (
        f"add {more}" if resource.unit is ResourceUnit.CPUS else f"add {more} of {resource.change}"
    )


def describe(resource: Resource, labels: Mapping[str, str]) -> str:
    """Return a resource with its identifying labels."""
    found = " ".join(labels[name] for name in resource.by if labels.get(name))
    return f"{resource.name} {found}".strip()


def amount(unit: ResourceUnit, value: float) -> str:
    """Return a value with its unit, with three digits."""
    scaled = value / SCALE[unit]
    if unit is ResourceUnit.SHARE:
        return f"{100 * value:.3g} %"
    name = unit.value
    for smaller in SMALLER.get(unit, ()):
        if value == 0 or abs(scaled) >= 1:
            break
        scaled, name = scaled * 1000, smaller
    digits = f"{scaled:.3g}" if abs(scaled) < 1000 else f"{scaled:,.0f}"  # noqa: PLR2004
    if unit is ResourceUnit.CPUS and digits == "1":
        return "1 CPU"
    return digits if unit is ResourceUnit.COUNT else f"{digits} {name}"


def _fine(name: str, resource: Resource, used: Usage, limit: float, levels: Thresholds) -> str:
    peak = max(used.peak, used.trend.level)
    high = used.peak >= limit * levels.warning
    begin = f"{name}: {'no change yet' if high else 'nothing to do'}: the peak is"
    begin += f" {_share(peak, limit)} of {amount(resource.unit, limit)}"
    if high:
        begin += f", over the warning threshold of {100 * levels.warning:.0f} %"
    if used.trend.finding is GrowthFinding.TOO_SHORT:
        return f"{begin}; {used.trend.days:.0f} days of data are too few for a trend."
    if used.trend.finding is not GrowthFinding.GROWING:
        return f"{begin}, and it does not grow."
    full = days_to(limit, used).expected
    until = "not within ten years" if full is None else f"in {_days(full)}"
    pace = amount(resource.unit, used.trend.slope)
    return f"{begin}; at {pace} a day it is full {until}."


def _share(peak: float, limit: float) -> str:
    return f"{100 * peak / limit:.0f} %" if limit > 0 else "more than all"


def _days(days: float) -> str:
    return f"{days:.0f} days" if days >= 1.5 else f"{24 * days:.0f} hours"  # noqa: PLR2004
