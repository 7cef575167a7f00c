"""Checks of the backups' configuration."""

from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check
from trading_ops.domain.target import Kind, Manager, Registry, Target

LOOPBACK = ("127.", "localhost:", "[::1]:")


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
    elsewhere = f"; back up on their own hosts: {', '.join(missing)}" if missing else ""
    return Check(name=name, ok=True, detail=f"those of this host are backed up{elsewhere}")


def _is_in_var(bot: Target) -> bool:
    return bot.service is not None and bot.service.manager is Manager.SUPERVISOR


def _is_here(bot: Target, registry: Registry) -> bool:
    node = registry.find(bot.service.node) if bot.service and bot.service.node else None
    return (node or bot).address.startswith(LOOPBACK)
