"""Reads the history of every resource from Prometheus, and creates the plan.

Each query is bounded in points by the step and in series by `SERIES`. If a query fails, its
resource is unknown, and the others are planned anyway.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from trading_ops import logs
from trading_ops.capacity.forecast import usage
from trading_ops.capacity.limits import Choices, load_choices
from trading_ops.capacity.plan import CapacityView, Level, ResourceView, bottlenecks, view
from trading_ops.capacity.resources import NAMES, RESOURCES, Resource
from trading_ops.clients.prometheus import Prometheus, Sample, Series
from trading_ops.config.log_policy import MEGABYTE
from trading_ops.config.settings import Settings
from trading_ops.errors import ClientError

log = logs.get(__name__)

WINDOW = timedelta(days=30)
STEP = timedelta(hours=1)
SERIES = 200
"""Maximum series of one resource, in the order of their labels."""

AT_ONCE = 4
"""Queries."""

WITHIN = timedelta(seconds=30)
ORDER = list(Level)


@dataclass(frozen=True, kw_only=True)
class _History:
    resource: Resource
    used: Sequence[Series] | None
    """None: Prometheus did not answer."""

    limits: Sequence[Sample]
    saturation: Sequence[Sample]
    errors: Sequence[Sample]


def choices_of(settings: Settings) -> Choices:
    """Read `capacity.yml` and add the limits of our own logs.

    Raises:
        ConfigError: the file cannot be read, or names an unknown field or resource.
    """
    choices = load_choices(settings.capacity_file, NAMES)
    return msgspec.structs.replace(
        choices,
        limits={"logs": settings.log_folder_megabytes * MEGABYTE, **choices.limits},
        log_kept_days=choices.log_kept_days or settings.log_kept_days,
    )


class Capacity:
    """Plans the capacity of all resources in one Prometheus."""

    def __init__(self, prometheus: Prometheus, choices: Callable[[], Choices]) -> None:
        self._prometheus = prometheus
        self._choices = choices
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def plan(self, *, now: datetime, bot: str | None = None) -> CapacityView:
        """Return the plan; with `bot`, only of the bot's series.

        Raises:
            ConfigError: `capacity.yml` is invalid.
        """
        choices = self._choices()
        chosen = [resource for resource in RESOURCES if bot is None or "bot" in resource.by]
        histories = await asyncio.gather(*(self._history(resource, now) for resource in chosen))
        return await asyncio.to_thread(plan_of, histories, choices, now, bot)

    async def _history(self, resource: Resource, now: datetime) -> _History:
        limit = resource.limit if isinstance(resource.limit, str) else ""
        used, limits, saturation, errors = await asyncio.gather(
            self._range(resource.used, now),
            self._query(limit),
            self._query(resource.saturation),
            self._query(resource.errors),
        )
        return _History(
            resource=resource, used=used, limits=limits, saturation=saturation, errors=errors
        )

    async def _range(self, expression: str, now: datetime) -> list[Series] | None:
        async with self._slots:
            try:
                return await self._prometheus.query_range(
                    expression,
                    start=(now - WINDOW).timestamp(),
                    end=now.timestamp(),
                    step=STEP.total_seconds(),
                    within=WITHIN,
                )
            except ClientError as error:
                log.warning("capacity_unknown", query=expression, error=str(error))
                return None

    async def _query(self, expression: str) -> list[Sample]:
        if not expression:
            return []
        async with self._slots:
            try:
                return await self._prometheus.query(expression)
            except ClientError as error:
                log.warning("capacity_unknown", query=expression, error=str(error))
                return []


def plan_of(
    histories: Sequence[_History], choices: Choices, now: datetime, bot: str | None
) -> CapacityView:
    """Return the plan for the histories, worst first."""
    found = [
        view
        for history in histories
        for view in _views(history, choices, now)
        if bot is None or view.labels.get("bot", bot) == bot
    ]
    found.sort(
        key=lambda view: (ORDER.index(view.level), view.resource, sorted(view.labels.items()))
    )
    return CapacityView(
        resources=found,
        bottlenecks=bottlenecks(found),
        currency=choices.currency,
        horizon_days=choices.horizon_days,
    )


def _views(history: _History, choices: Choices, now: datetime) -> list[ResourceView]:
    resource = history.resource
    if not history.used:
        return [view(resource, {}, None, None, choices)]
    found = []
    ordered = sorted(history.used, key=lambda series: sorted(series.labels.items()))
    for series in ordered[:SERIES]:
        labels = {name: series.labels[name] for name in resource.by if name in series.labels}
        limit = choices.limits.get(resource.name, resource.limit)
        if isinstance(limit, str):
            limit = _of(history.limits, labels)
        found.append(
            view(
                resource,
                labels,
                usage(series.points, end=now.timestamp(), step=STEP.total_seconds()),
                limit,
                choices,
                saturation=_of(history.saturation, labels),
                errors=_of(history.errors, labels),
            )
        )
    return found


def _of(samples: Sequence[Sample], labels: Mapping[str, str]) -> float | None:
    """Return the value of the sample with compatible labels, or None."""
    for sample in samples:
        shared = sample.labels.keys() & labels.keys()
        if shared and all(sample.labels[name] == labels[name] for name in shared):
            return sample.value
    return None
