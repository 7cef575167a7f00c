"""`trading-ops doctor`: check an installation, and show a fix for each failed check."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from trading_ops import clock
from trading_ops.cli.console import output_option

if TYPE_CHECKING:
    from trading_ops.doctor.check import Check


@click.command()
@output_option
def doctor(*, output: str) -> None:
    """Check this installation, and show how to fix what is wrong.

    Checks the configuration files, tokens and their modes, the database, every registered process,
    the service managers, and whether Prometheus has the rules and Alertmanager the receiver.
    Changes nothing. Exits with 1 when a check fails.
    """
    from trading_ops.cli.checks import show  # noqa: PLC0415

    show(_checks(), output)


def _checks() -> "Iterator[Check]":
    from trading_ops.cli.runbook import known_faults  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.doctor.backups import (  # noqa: PLC0415
        check_backup_folders,
        check_backups,
        check_bot_records,
    )
    from trading_ops.doctor.configuration import check_files  # noqa: PLC0415
    from trading_ops.doctor.connections import check_connections  # noqa: PLC0415
    from trading_ops.doctor.state import (  # noqa: PLC0415
        check_database,
        check_dead_man_switch,
        check_monitoring_passwords,
        token_checks,
    )
    from trading_ops.project.apply import TOKENS  # noqa: PLC0415
    from trading_ops.reports.runbook_check import read_rules  # noqa: PLC0415

    settings = load_settings()
    registry = load_targets(settings.targets_file)
    yield from check_files(settings, known_faults())
    yield from token_checks(settings, registry, TOKENS, "`trading-ops config apply`")
    yield check_database(settings)
    yield check_dead_man_switch(settings)
    yield check_backup_folders(settings)
    yield check_backups(settings, clock.now())
    yield check_bot_records(settings, registry)
    yield check_monitoring_passwords(settings)
    wanted = frozenset(rule.alert for rule in read_rules(settings.prometheus_config / "rules"))

    async def run() -> "list[Check]":
        return [check async for check in check_connections(settings, registry, wanted)]

    yield from asyncio.run(run())
