"""The JSON configuration of each of our own processes, derived from settings and registry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trading_ops.clients.secrets import agent_token_file
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.settings import Settings
from trading_ops.stack.tokens import venue_key_names
from trading_ops.store.engine import sqlite_path

VENUE_SEED = 7
"""Of the paper venue's random walk: the same prices at every fresh start."""

SYMBOLS = ("BTC/USD", "ETH/USD")
MANAGER = "supervisor"
"""The name of this service manager in targets.yml."""

PASS_INTERVAL_SECONDS = 1.0
API_TIER = "paper"
"""What a bot may ask of the paper venue; of another venue the stack knows no tier."""

DEAD_MAN_SECONDS = 15
"""After this long without the bot, the venue cancels its orders; 15 passes may fail before."""

EXPORTER_DSN = "exporter_dsn"
"""The file with which the exporter reads the reconciler's PostgreSQL; docs/databases.md."""


def bot_keys(registry: Registry) -> Mapping[str, str]:
    """Return the owner of each bot's venue key, by the bot's name.

    Each bot has a key of its own, since a key's nonces must increase and bots know nothing of each
    other. The first bot's files carry no name.
    """
    bots = registry.of_kind(Kind.BOT)
    return {bot.name: "" if index == 0 else bot.name for index, bot in enumerate(bots)}


def process_configs(settings: Settings, registry: Registry) -> dict[str, dict[str, Any]]:
    """Return the configuration of each supervised process that has one, by its unit."""
    builders = {
        Kind.VENUE: _venue,
        Kind.BOT: _bot,
        Kind.EXPORTER: exporter_config,
        Kind.MAIL: _mail,
    }
    return {
        target.service.unit: builders[target.kind](settings, registry, target)
        for target in registry
        if target.service and target.kind in builders and _is_ours(registry, target)
    }


def _is_ours(registry: Registry, target: Target) -> bool:
    """Say whether it is a program of ours: a paper bot is one, whatever service manager runs it."""
    if target.kind is Kind.BOT:
        venue = registry.find(target.venue or "")
        return target.service is not None and venue is not None and venue.faults is not None
    return target.service is not None and target.service.manager == MANAGER


def units_file(settings: Settings) -> Path:
    """Return the file in which the supervisor tells what it runs: each unit's pid and start."""
    return settings.var / "supervisor" / "processes.json"


def _venue(settings: Settings, registry: Registry, venue: Target) -> dict[str, Any]:
    owners = bot_keys(registry)
    accounts = [
        (owners[bot.name], bot.name)
        for bot in registry.of_kind(Kind.BOT)
        if bot.venue == venue.name
    ]
    # People trade on an account of their own, which the bot's dead-man switch does not touch.
    accounts.append(("manual", "manual"))
    return {
        "address": venue.address,
        "faults_address": venue.faults,
        "state_dir": str(settings.var / _unit(venue)),
        "seed": VENUE_SEED,
        "faults_token_file": str(settings.secrets / "faults_token"),
        "keys": [
            {**_key_files(settings, owner), "account": account} for owner, account in accounts
        ],
    }


def _bot(settings: Settings, registry: Registry, bot: Target) -> dict[str, Any]:
    venue = registry.find(bot.venue or "")
    return {
        "name": bot.name,
        "venue": bot.venue,
        "venue_address": venue.address if venue else None,
        "agent_address": bot.address,
        "state_dir": str(settings.var / _unit(bot)),
        "metrics_token_file": str(settings.secrets / "metrics_token"),
        "agent_token_file": str(agent_token_file(settings, bot).path),
        **_key_files(settings, bot_keys(registry)[bot.name]),
        "symbols": list(SYMBOLS),
        "pass_interval_seconds": PASS_INTERVAL_SECONDS,
        "dead_man_seconds": DEAD_MAN_SECONDS,
        "api_tier": API_TIER if venue and venue.faults else None,
        "drills": bool(venue and venue.faults),
    }


def exporter_config(settings: Settings, registry: Registry, exporter: Target) -> dict[str, Any]:
    """Return the exporter's configuration: the venues, bots and processes of the registry."""
    return {
        "address": exporter.address,
        "metrics_token_file": str(settings.secrets / "metrics_token"),
        "venues": [
            {"name": venue.name, "address": venue.address, "symbols": list(SYMBOLS)}
            for venue in registry.of_kind(Kind.VENUE)
        ],
        "paths": [str(settings.var)],
        "listener_users": settings.listener_users,
        "freqtrades": [
            {
                "name": bot.name,
                "address": bot.address,
                "credentials_file": str(settings.secrets / f"freqtrade_{bot.name}"),
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
            if target.service and target.service.manager == MANAGER
        ],
        "sqlite": _sqlite_files(settings, registry),
        "postgresql": _postgresql(settings),
        "log_files": [{"name": "stack", "paths": [str(settings.logs / "*.log")]}],
    }


def _sqlite_files(settings: Settings, registry: Registry) -> list[dict[str, str]]:
    """Return the databases that are files: the bots', and the reconciler's unless it has a server.

    A paper bot has its records in the folder that it keeps.
    """
    files = [
        {"name": bot.name, "path": str(settings.var / _unit(bot) / "bot.db")}
        for bot in registry.of_kind(Kind.BOT)
        if _is_ours(registry, bot)
    ]
    if not settings.database or settings.database.startswith("sqlite"):
        path = sqlite_path(settings.database_url)
        files += [{"name": "reconciler", "path": str(path)}] if path else []
    return files


def _postgresql(settings: Settings) -> list[dict[str, str]]:
    """Return the reconciler's server, when there is a connection string for the exporter's role."""
    file = settings.secrets / EXPORTER_DSN
    return [{"name": "reconciler", "dsn_file": str(file)}] if file.exists() else []


def _ws_token(settings: Settings, bot: Target) -> dict[str, str]:
    """Return where a Freqtrade's ws_token is; nothing when it has none, and is polled only."""
    file = settings.secrets / f"freqtrade_{bot.name}.ws_token"
    return {"ws_token_file": str(file)} if file.exists() else {}


def _mail(settings: Settings, _registry: Registry, mail: Target) -> dict[str, Any]:
    return {"address": mail.address, "folder": str(settings.var / "mail")}


def _key_files(settings: Settings, owner: str) -> dict[str, str]:
    key, secret = venue_key_names(owner)
    return {
        "key_file": str(settings.secrets / key),
        "secret_file": str(settings.secrets / secret),
    }


def _unit(target: Target) -> str:
    return target.service.unit if target.service else target.name
