"""What is kept of the drills on each generation, and how docs/proofs.md shows it."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.rules.configuration import ROOT
from trading_ops_lab.drills.recorded_drills import RecordedDrill

FILE = ROOT / "docs" / "newest.json"
PAGE = ROOT / "docs" / "proofs.md"
BEGIN, END = "<!-- newest: written by `python -m tests.newest` -->\n", "<!-- end of newest -->\n"

DRILLS = (
    "TradingFleetDailyLossBreached",
    "TradingBotOrphanedOrders",
    "TradingBotBrokerDisconnected",
    "TradingBotMarketDataStale",
    "TradingBotNonceRefused",
    "TradingBotDown",
    "TradingVenueDown",
    "TradingMarketClosed",
)
"""The eight fastest of docs/gameday.md."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the drills: on what, and after how many seconds each incident was closed."""

    prometheus: str
    alertmanager: str
    measured: str
    seconds: dict[str, float]


def seconds_of(drills: Sequence[RecordedDrill]) -> dict[str, float]:
    """Return after how many seconds each was closed; not those that waited for another alert."""
    return {
        drill.alert: round(drill.total_seconds, 1)
        for drill in drills
        if not drill.during and drill.total_seconds is not None
    }


def table(generations: Sequence[Generation]) -> str:
    """Return the drills' seconds, side by side."""
    names = [
        f"Prometheus {generation.prometheus}, Alertmanager {generation.alertmanager}"
        for generation in generations
    ]
    lines = ["| drill | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {drill} | "
        + " | ".join(f"{generation.seconds[drill]:.1f}" for generation in generations)
        + " |"
        for drill in DRILLS
    ]
    days = sorted({generation.measured for generation in generations})
    return "\n".join(lines) + f"\n\nSeconds until the incident was closed; {', '.join(days)}.\n"


def with_table(page: str, generations: Sequence[Generation]) -> str:
    """Return the page with this table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table(generations)}\n{END}{rest.split(END)[1]}"


def merged(kept: Sequence[Generation], found: Generation) -> list[Generation]:
    """Return what is kept with this run in place of the one on the same versions."""
    monitoring = (found.prometheus, found.alertmanager)
    others = [record for record in kept if (record.prometheus, record.alertmanager) != monitoring]
    return sorted([*others, found], key=lambda record: _number(record.prometheus))


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def read(file: Path = FILE) -> list[Generation]:
    """Read what is kept; nothing before the first run."""
    if not file.exists():
        return []
    return msgspec.json.decode(file.read_bytes(), type=list[Generation])


def write(generations: Sequence[Generation]) -> None:
    """Keep it, and show it."""
    text = msgspec.json.format(msgspec.json.encode(list(generations)), indent=1)
    FILE.write_bytes(text + b"\n")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, generations), encoding="utf-8")
