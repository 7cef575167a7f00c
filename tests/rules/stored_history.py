"""Hours and days as Prometheus would have stored them, made in seconds.

`promtool tsdb create-blocks-from` writes the blocks: what was scraped, then what the shipped rules
recorded of it. Since when an alert was pending is stored by Prometheus too, so that a restart does
not start its wait of an hour again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.rules.configuration import (
    PROMETHEUS,
    AlertRule,
    lay_out_prometheus,
    read_yaml,
    run_tool,
    seconds,
)
from tests.rules.jobs import job_of
from tests.rules.running_prometheus import start_prometheus
from trading_ops.instrument import catalogue

STEP_SECONDS = 30
HOUR = 3600.0

Labels = Mapping[str, str]
Curve = Callable[[float], float]
"""A value by its age in seconds."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series from some hours ago until now."""

    name: str
    labels: Labels
    curve: Curve
    hours: float = 7.0

    def lines(self, now: float) -> Iterator[str]:
        """Return its samples in the order of time, in the text format of OpenMetrics."""
        known = catalogue.find(self.name)
        label_set = {**self.labels, "job": job_of(self.name)} if known else self.labels
        labels = ",".join(f'{name}="{value}"' for name, value in label_set.items())
        for number in range(int(self.hours * HOUR / STEP_SECONDS), -1, -1):
            age = float(number * STEP_SECONDS)
            yield f"{self.name}{{{labels}}} {float(self.curve(age))!r} {now - age:.3f}"


def pending(rule: AlertRule, labels: Labels, now: float) -> Series:
    """Return what Prometheus stores of an alert that has been pending for as long as it must be."""
    since = float(int(now - seconds(rule.hold) - 2 * STEP_SECONDS))
    return Series(
        name="ALERTS_FOR_STATE",
        labels={"alertname": rule.name, **rule.labels, **labels},
        curve=lambda _age: since,
        hours=(now - since) / HOUR,
    )


@asynccontextmanager
async def lived_through(
    folder: Path, history: Sequence[Series], *, now: float, recorded: frozenset[str]
) -> AsyncIterator[str]:
    """Start a Prometheus with the shipped rules that has lived through it, and yield its address.

    Args:
        folder: where it runs; made.
        history: what it has scraped.
        now: where the history ends, in epoch seconds.
        recorded: names of recording rules over whose results others look back.
    """
    config = lay_out_prometheus(folder)
    text = folder / "history.txt"
    lines = [line for series in history for line in series.lines(now)]
    text.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    await _promtool("openmetrics", text, folder / "data")
    begin = now - max(past.hours for past in history) * HOUR
    if recorded:
        await _record(folder, recorded, span=(f"--start={begin:.0f}", f"--end={now:.0f}"))
    # What was pending counts from its first day, as after a restart of Prometheus.
    flags = ["--rules.alert.for-grace-period=1s"]
    async with start_prometheus(config, alertmanagers=1, flags=flags) as address:
        yield address


async def _record(folder: Path, names: frozenset[str], *, span: Sequence[str]) -> None:
    """Evaluate shipped recording rules over the past, by a Prometheus that has none of its own."""
    rules, bare = folder / "recorded.yml", folder / "bare.yml"
    rules.write_text(yaml.safe_dump({"groups": _groups(names)}), encoding="utf-8")
    bare.write_text("global: {}\n", encoding="ascii")
    made = folder / "recorded"
    async with start_prometheus(bare, alertmanagers=0) as address:
        await _promtool("rules", *span, f"--url=http://{address}", f"--output-dir={made}", rules)
    for block in made.iterdir():
        block.rename(folder / "data" / block.name)


def _groups(names: frozenset[str]) -> list[dict[str, object]]:
    """Return the shipped groups with no rules but these."""
    groups = [
        group
        for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in read_yaml(path)["groups"]
    ]
    kept = [
        group | {"rules": [rule for rule in group["rules"] if rule.get("record") in names]}
        for group in groups
    ]
    return [group for group in kept if group["rules"]]


async def _promtool(kind: str, *arguments: str | Path) -> None:
    await asyncio.to_thread(run_tool, "promtool", "tsdb", "create-blocks-from", kind, *arguments)
