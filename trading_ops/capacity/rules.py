"""Writes the critical thresholds of `capacity.yml` into the alert rules.

    python -m trading_ops.capacity.rules

So an alert and the plan never disagree. With the default thresholds the shipped rules stay as they
are. A threshold that a rule states as what must be left is 1 - critical there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trading_ops.capacity.limits import Choices, load_choices
from trading_ops.capacity.resources import NAMES, RESOURCES
from trading_ops.config.settings import load_settings
from trading_ops.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a rule has the threshold of a resource."""

    resource: str
    file: str
    alert: str
    before: str
    """Regular expression that matches the text before the threshold in the alert's expression."""

    figure: Callable[[float], float]
    """Its value by the critical share."""


def _used(share: float) -> float:
    return share


def _left(share: float) -> float:
    return 1 - share


EVENT_LOOP_LIMIT = next(
    one.limit for one in RESOURCES if one.name == "event-loop" and isinstance(one.limit, float)
)


def _seconds(share: float) -> float:
    return share * EVENT_LOOP_LIMIT


def _place(resource: str, alert: str, before: str, figure: Callable[[float], float]) -> Place:
    return Place(resource=resource, file=FILES[alert], alert=alert, before=before, figure=figure)


FILES: Mapping[str, str] = {
    "TradingHostCpuHigh": "host.yml",
    "TradingHostMemoryLow": "host.yml",
    "TradingHostDiskLow": "host.yml",
    "TradingPostgresqlConnectionsHigh": "databases.yml",
    "TradingBotQueueBacklog": "process.yml",
    "TradingBotEventLoopLagging": "process.yml",
    "TradingBotRateLimitHigh": "calls.yml",
}

PLACES: tuple[Place, ...] = (
    _place("cpu", "TradingHostCpuHigh", r"idle_ratio_rate5m > ", _used),
    _place("memory", "TradingHostMemoryLow", r"memory_size_bytes\{[^}]*\} < ", _left),
    _place("disk", "TradingHostDiskLow", r"disk_size_bytes\{[^}]*\} < ", _left),
    _place("inodes", "TradingHostDiskLow", r"disk_inodes\{[^}]*\} < ", _left),
    _place(
        "postgresql-connections",
        "TradingPostgresqlConnectionsHigh",
        r"slots_used_ratio\{[^}]*\}\[1m\]\) > ",
        _used,
    ),
    _place("queue", "TradingBotQueueBacklog", r"queue_capacity\{[^}]*\}\s+\) > ", _used),
    _place("event-loop", "TradingBotEventLoopLagging", r"\[15s\]\)\) > ", _seconds),
    _place("rate-limit", "TradingBotRateLimitHigh", r"\[30s\]\)\) > ", _used),
)

_DEFAULTS = {one.name: one.thresholds for one in RESOURCES}


def applied(text: str, file: str, choices: Choices) -> str:
    """Return the text of a rule file with these thresholds.

    Raises:
        ConfigError: a rule was edited and has no such threshold.
    """
    for place in PLACES:
        if place.file != file:
            continue
        levels = choices.thresholds.get(place.resource, _DEFAULTS[place.resource])
        figure = f"{round(place.figure(levels.critical), 6):g}"
        pattern = rf"(- alert: {place.alert}\n(?:(?!- alert:)[\s\S])*?{place.before})[\d.]+"
        text, count = re.subn(pattern, rf"\g<1>{figure}", text)
        if count != 1:
            fix = "restore the expression of the release"
            raise ConfigError(file, place.alert, "the threshold was not found", fix)
    return text


def main() -> None:
    """Write the rules of this installation."""
    settings = load_settings()
    choices = load_choices(settings.capacity_file, NAMES)
    folder: Path = settings.prometheus_config / "rules"
    new = {
        name: applied((folder / name).read_text(encoding="utf-8"), name, choices)
        for name in sorted(set(FILES.values()))
    }
    for name, text in new.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
