"""The JSON configurations of our own processes, derived from settings and registry."""

from collections.abc import Mapping
from typing import Any

from trading_ops.cli.exporter_config import SYMBOLS, exporter_config, is_our_program, unit_of
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops_lab.supervisor.tokens import venue_key_names

VENUE_SEED = 7
"""Seed of the paper venue's random walk: the same prices at every fresh start."""


PASS_INTERVAL_SECONDS = 1.0
API_TIER = "paper"
"""Rate limit tier at the paper venue; for other venues the stack knows no tier."""

DEAD_MAN_SECONDS = 15
"""Without the bot, the venue cancels its orders after this time; 15 passes may fail before."""


def bot_keys(registry: Registry) -> Mapping[str, str]:
    """Return the owner of each bot's venue key, by the bot's name.

    Each bot has its own key, because a key's nonces must increase and bots do not share nonces. The
    first bot's files have no name.
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
        if target.service and target.kind in builders and is_our_program(registry, target)
    }


def _venue(settings: Settings, registry: Registry, venue: Target) -> dict[str, Any]:
    owners = bot_keys(registry)
    accounts = [
        (owners[bot.name], bot.name)
        for bot in registry.of_kind(Kind.BOT)
        if bot.venue == venue.name
    ]
    # Manual trades use a separate account, which the bot's dead man's switch does not affect.
    accounts.append(("manual", "manual"))
    return {
        "address": venue.address,
        "faults_address": venue.faults,
        "state_dir": str(settings.var / unit_of(venue)),
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
        "state_dir": str(settings.var / unit_of(bot)),
        "metrics_token_file": str(settings.secrets / "metrics_token"),
        "agent_token_file": str(agent_token_file(settings, bot).path),
        **_key_files(settings, bot_keys(registry)[bot.name]),
        "symbols": list(SYMBOLS),
        "pass_interval_seconds": PASS_INTERVAL_SECONDS,
        "dead_man_seconds": DEAD_MAN_SECONDS,
        "api_tier": API_TIER if venue and venue.faults else None,
        "drills": bool(venue and venue.faults),
    }


def _mail(settings: Settings, _registry: Registry, mail: Target) -> dict[str, Any]:
    return {"address": mail.address, "folder": str(settings.var / "mail")}


def _key_files(settings: Settings, owner: str) -> dict[str, str]:
    key, secret = venue_key_names(owner)
    return {
        "key_file": str(settings.secrets / key),
        "secret_file": str(settings.secrets / secret),
    }
