"""The exporter's configuration, derived from settings and registry."""

from pathlib import Path
from typing import Any

from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Manager, Registry, Target
from trading_ops.store.engine import sqlite_path

SYMBOLS = ("BTC/USD", "ETH/USD")
EXPORTER_DSN = "exporter_dsn"
"""The exporter's connection string for the reconciler's PostgreSQL; see docs/databases.md."""


def exporter_config(settings: Settings, registry: Registry, exporter: Target) -> dict[str, Any]:
    """Return the exporter's configuration: the venues, bots and processes of the registry."""
    return {
        "address": exporter.address,
        "metrics_token_file": str(settings.secrets / "metrics_token"),
        "venues": [
            {"name": venue.name, "address": venue.address, "symbols": list(SYMBOLS)}
            for venue in registry.of_kind(Kind.VENUE)
            if venue.probe
        ],
        "paths": [str(settings.var)],
        "listener_users": settings.listener_users,
        "freqtrades": [
            {
                "name": bot.name,
                "address": bot.address,
                "credentials_file": str(settings.freqtrade_credentials_file(bot.name)),
                **_ws_token(settings, bot),
            }
            for bot in registry.of_kind(Kind.FREQTRADE)
            if exporter == registry.one(Kind.EXPORTER)  # one reader is enough
        ],
        "processes": [
            {
                "name": target.name,
                "unit": target.service.unit,
                "units_file": str(units_file(settings)),
            }
            for target in registry
            if target.service and target.service.manager is Manager.SUPERVISOR
        ],
        "sqlite": _sqlite_files(settings, registry),
        "postgresql": _postgresql(settings),
        "log_files": [{"name": "stack", "paths": [str(settings.logs / "*.log")]}],
    }


def _sqlite_files(settings: Settings, registry: Registry) -> list[dict[str, str]]:
    """Return the SQLite databases: the bots', and the reconciler's unless it uses PostgreSQL.

    A paper bot keeps its records in its own folder.
    """
    files = [
        {"name": bot.name, "path": str(settings.var / unit_of(bot) / "bot.db")}
        for bot in registry.of_kind(Kind.BOT)
        if is_our_program(registry, bot)
    ]
    if not settings.database or settings.database.startswith("sqlite"):
        path = sqlite_path(settings.database_url)
        files += [{"name": "reconciler", "path": str(path)}] if path else []
    return files


def _postgresql(settings: Settings) -> list[dict[str, str]]:
    """Return the reconciler's PostgreSQL, if the exporter has a connection string for it."""
    file = settings.secrets / EXPORTER_DSN
    return [{"name": "reconciler", "dsn_file": str(file)}] if file.exists() else []


def _ws_token(settings: Settings, bot: Target) -> dict[str, str]:
    """Return the file with a Freqtrade's ws_token; empty: there is none, so it is only polled."""
    file = settings.secrets / f"freqtrade_{bot.name}.ws_token"
    return {"ws_token_file": str(file)} if file.exists() else {}


def is_our_program(registry: Registry, target: Target) -> bool:
    """Return whether it is one of our programs, such as a paper bot, under any service manager."""
    if target.kind is Kind.BOT:
        venue = registry.find(target.venue or "")
        return target.service is not None and venue is not None and venue.faults is not None
    return target.service is not None and target.service.manager is Manager.SUPERVISOR


def units_file(settings: Settings) -> Path:
    """Return the supervisor's state file: pid and start time of each unit."""
    return settings.var / "supervisor" / "processes.json"


def unit_of(target: Target) -> str:
    """Return the name of its unit, or its own name if it has no service manager."""
    return target.service.unit if target.service else target.name
