"""Checks of the backups' configuration."""

import shlex
import subprocess
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from trading_ops.backup.records import BackupRecords
from trading_ops.backup.written import written_folders
from trading_ops.clients.node import HostBackups
from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check
from trading_ops.domain.target import Kind, Manager, Registry, Target

UNIT = "trading-ops-reconciler.service"
SYSTEMCTL_SECONDS = 10.0
OLD = timedelta(days=1)
"""A backup that operators take themselves is too old after this time."""

TESTED_WITHIN = timedelta(days=7)
"""The reconciler restores one a day as a test."""

HOURS = 48
"""Shorter ages are shown in hours, longer ones in days."""

LOOPBACK = ("127.", "localhost:", "[::1]:")


def check_backups(settings: Settings, now: datetime) -> Check:
    """Check whether there is a recent backup, and whether one was restored to test it."""
    name = "backups"
    interval = timedelta(seconds=settings.backup_interval_seconds)
    stored = BackupRecords(settings.backup_records).all().values()
    newest = max((record.created_at for record in stored), default=None)
    tested = max(
        (record.restore_tested_at for record in stored if record.restore_tested_at), default=None
    )
    problems = _problems(interval, newest, tested, now)
    if not problems:
        return Check(name=name, ok=True, detail=f"{len(stored)}, one of them restored as a test")
    fix = "see `trading-ops backup list` and docs/backups.md"
    if not interval:
        problems.append("backup_interval_seconds is 0, so the reconciler takes none")
        fix = "back up the database on its own host, or set the interval; see docs/backups.md"
    return Check(name=name, ok=True, warning=True, detail="; ".join(problems), fix=fix)


def _problems(
    interval: timedelta, newest: datetime | None, tested: datetime | None, now: datetime
) -> list[str]:
    if newest is None:
        return ["none"]
    problems = []
    if now - newest > max(5 * interval, OLD if not interval else timedelta(hours=1)):
        problems.append(f"the newest is {_age(now - newest)} old")
    if tested is None:
        problems.append("never restored as a test")
    elif now - tested > TESTED_WITHIN:
        problems.append(f"the last restore test was {_age(now - tested)} ago")
    return problems


def nodes_with_records(settings: Settings, registry: Registry) -> dict[str, list[str]]:
    """Return the bots of each node that this host cannot back up, by the node's name."""
    found: dict[str, list[str]] = {}
    for bot in registry.of_kind(Kind.BOT):
        service = bot.service
        if service is None or service.node is None or service.manager is Manager.KUBERNETES:
            continue  # on Kubernetes, records are on a volume, not on the host
        if bot.name not in settings.backup_folders and not _is_here(bot, registry):
            found.setdefault(service.node, []).append(bot.name)
    return found


def check_records_of_node(
    node: str, bots: Iterable[str], found: HostBackups, now: datetime
) -> Check:
    """Check whether a node backs up the records of its bots.

    Args:
        node: its name.
        bots: those in targets.yml.
        found: what it reports.
        now: the time.
    """
    missing = [bot for bot in bots if bot not in found.bots]
    problems = [f"{', '.join(missing)}: in no backup"] if missing else []
    if found.bots:
        interval = timedelta(seconds=found.interval_seconds)
        problems += _problems(interval, found.newest, found.restore_tested, now)
    detail = "; ".join(problems) or f"in the backups of {node}"
    fix = f"name their folders in backup_folders on {node}; see docs/backups.md, “Records of bots”"
    return Check(
        name=f"records of bots of {node}",
        ok=True,
        warning=bool(problems),
        detail=detail,
        fix=fix if problems else "",
    )


def _age(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours:.0f} h" if hours < HOURS else f"{hours / 24:.0f} days"


def check_bot_records(settings: Settings, registry: Registry) -> Check:
    """Check whether the records of this host's bots are in the backups."""
    name = "records of bots"
    if not settings.backup_interval_seconds:
        return Check(name=name, ok=True, detail="backups are off")
    bots = [bot for bot in registry.of_kind(Kind.BOT) if not _is_in_var(bot)]
    unknown = settings.backup_folders.keys() - {bot.name for bot in registry.of_kind(Kind.BOT)}
    missing = [bot.name for bot in bots if bot.name not in settings.backup_folders]
    here = [bot.name for bot in bots if bot.name in missing and _is_here(bot, registry)]
    if here or unknown:
        problems = [f"{', '.join(here)}: in no backup"] if here else []
        if unknown:
            problems.append(f"{', '.join(sorted(unknown))}: not a bot in targets.yml")
        fix = "see docs/backups.md, “Records of bots”"
        detail = f"backup_folders: {'; '.join(problems)}"
        return Check(name=name, ok=True, warning=True, detail=detail, fix=fix)
    elsewhere = f"; on other hosts: {', '.join(missing)}" if missing else ""
    return Check(name=name, ok=True, detail=f"those of this host are backed up{elsewhere}")


def check_backup_folders(settings: Settings) -> Check:
    """Check whether the reconciler's unit may write to the folders that backups write to."""
    name = "backup folders"
    if not settings.backup_interval_seconds:
        return Check(name=name, ok=True, detail="backups are off")
    unit = _unit()
    if unit.get("LoadState") != "loaded" or unit.get("ProtectSystem") != "strict":
        return Check(name=name, ok=True, detail=f"not limited: no {UNIT} on this host")
    allowed = [Path(word.lstrip("-+")) for word in shlex.split(unit.get("ReadWritePaths", ""))]
    refused = [
        str(folder)
        for folder in written_folders(settings)
        if not any(folder.is_relative_to(place) for place in allowed)
    ]
    if not refused:
        return Check(name=name, ok=True, detail=f"{UNIT} may write to them")
    paths = " ".join(refused)
    return Check(
        name=name,
        ok=False,
        detail=f"{UNIT} may not write to {paths}: its backups fail, although those that you take "
        "in a shell succeed",
        fix="`sh deploy/setup.sh install`, as root, after each change of backup_repository",
    )


def _unit() -> dict[str, str]:
    """Return properties of the reconciler's unit; none: this host has no systemd."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "-p", "LoadState,ProtectSystem,ReadWritePaths", UNIT],
            capture_output=True,
            text=True,
            check=False,
            timeout=SYSTEMCTL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def _is_in_var(bot: Target) -> bool:
    return bot.service is not None and bot.service.manager is Manager.SUPERVISOR


def _is_here(bot: Target, registry: Registry) -> bool:
    node = registry.find(bot.service.node) if bot.service and bot.service.node else None
    return (node or bot).address.startswith(LOOPBACK)
