"""Prometheus' discovery files, derived from the registry."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trading_ops import durable
from trading_ops.domain.target import Kind, Registry, Target


def write_discovery(folder: Path, registry: Registry, *, mode: int) -> None:
    """Write each discovery file that changed; Prometheus reads it again automatically.

    Args:
        folder: of the files; it is created.
        registry: the targets.
        mode: of the files. Addresses and labels are not secret, and Prometheus may run as another
            user.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, groups in discovery(registry).items():
        durable.write_if_changed(folder / f"{name}.json", json.dumps(groups, indent=2) + "\n", mode)


def discovery(registry: Registry) -> Mapping[str, list[dict[str, Any]]]:
    """Return the content of each discovery file, by file name without `.json`."""
    files = {
        "bots": Kind.BOT,
        "exporters": Kind.EXPORTER,
        "reconcilers": Kind.RECONCILER,
        "prometheus": Kind.PROMETHEUS,
        "alertmanagers": Kind.ALERTMANAGER,
        "supervisors": Kind.SUPERVISOR,
        "nodes": Kind.NODE,
    }
    found: dict[str, list[dict[str, Any]]] = {
        name: [
            {"targets": [target.address], "labels": _labels(target)}
            for target in registry.of_kind(kind)
        ]
        for name, kind in files.items()
    }
    found["bots"] += [
        {"targets": [bot.address], "labels": _labels(bot)}
        for bot in registry.of_kind(Kind.BARE_BOT)
    ]
    found["bots"] += [_read_by_exporter(registry, bot) for bot in registry.of_kind(Kind.FREQTRADE)]
    return found


def _read_by_exporter(registry: Registry, bot: Target) -> dict[str, Any]:
    """Return the target group of a bot that is scraped through the exporter.

    `__param_bot` becomes `?bot=…` of the scrape, so it uses the same scrape jobs as other bots.
    `exporter` is the exporter's `instance`: while that is down, the bot's state is unknown.
    """
    exporter = registry.one(Kind.EXPORTER).address
    labels = {
        **bot.labels,
        **_host(bot),
        **_scheme(registry.one(Kind.EXPORTER)),
        "bot": bot.name,
        "venue": bot.venue or "",
        "instance": bot.address,
        "exporter": exporter,
        "__param_bot": bot.name,
    }
    return {"targets": [exporter], "labels": labels}


def _labels(target: Target) -> dict[str, str]:
    labels = dict(target.labels)
    if target.kind in {Kind.BOT, Kind.BARE_BOT}:
        labels |= {**_host(target), "bot": target.name, "venue": target.venue or ""}
    if target.kind is Kind.NODE:  # rules tell the backups of hosts apart by it
        labels |= _host(target)
    return labels | _scheme(target)


def _host(target: Target) -> dict[str, str]:
    return {"host": target.host} if target.host else {}


def _scheme(target: Target) -> dict[str, str]:
    return {"__scheme__": "https"} if target.tls else {}
