"""Checks of tokens, the database and the dead man's switch."""

import os
import pwd
import stat
from collections.abc import Iterable

from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.secret_files import is_filled
from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import TradingOpsError

FIRST_USER, NOBODY = 1000, 65534
"""Ids of people's accounts begin at the first and end before the second."""


def token_checks(
    settings: Settings, registry: Registry, names: Iterable[str], create: str
) -> list[Check]:
    """Check whether every token file exists and only its owner can read it.

    Args:
        settings: with the folder of secrets.
        registry: with the bots, which have one token each.
        names: of the other token files.
        create: how to create missing files.
    """
    if not settings.secrets.is_dir():
        return [
            Check(
                name="secrets",
                ok=False,
                detail=f"{settings.secrets} is missing",
                fix=create,
            )
        ]
    problems = []
    bots = registry.of_kind(Kind.BOT)
    agents = [agent_token_file(settings, bot) for bot in bots]
    own = [agent.path for agent in agents if not agent.is_shared]
    paths = [*(settings.secrets / name for name in names), *own]
    for path in (settings.secrets, *paths):
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                problems.append(f"{path} is readable by others: chmod go= {path}")
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    detail = "; ".join(problems) or f"{len(paths)} tokens, readable by their owner only"
    fix = f"tighten the file modes; for missing files {create}" if problems else ""
    checks = [Check(name="secrets", ok=not problems, detail=detail, fix=fix)]
    if sharing := [bot.name for bot, agent in zip(bots, agents, strict=True) if agent.is_shared]:
        checks.append(
            Check(
                name="agent tokens",
                ok=True,
                warning=True,
                detail=f"{', '.join(sharing)}: using the shared token of an older version, which "
                "can command every bot without its own token",
                fix=f"`trading-ops token rotate {sharing[0]}`, and the same for each of them",
            )
        )
    return checks


def check_database(settings: Settings) -> Check:
    """Check whether the reconciler's database answers and is durable."""
    from trading_ops.store.engine import describe  # noqa: PLC0415 - SQLAlchemy is slow

    try:
        return Check(name="database", ok=True, detail=describe(settings.database_url))
    except TradingOpsError as error:
        fix = "see docs/deployment.md, “PostgreSQL”"
        return Check(name="database", ok=False, detail=str(error), fix=fix)


def check_monitoring_passwords(settings: Settings, users: Iterable[str] | None = None) -> Check:
    """Check whether other users of this host can use Prometheus and Alertmanager.

    Args:
        settings: with the password files.
        users: other users who can log in; None: those of this host.
    """
    name = "monitoring passwords"
    files = {
        "Prometheus": settings.prometheus_password_file,
        "Alertmanager": settings.alertmanager_password_file,
    }
    stored = {server: settings.secrets / f"{server.lower()}_password" for server in files}
    open_to_all = [
        server for server, file in files.items() if file is None and not is_filled(stored[server])
    ]
    if not open_to_all:
        return Check(name=name, ok=True, detail="Prometheus and Alertmanager have one each")
    others = sorted(_other_users() if users is None else users)
    if not others:
        detail = "none, and no other user can log in to this host"
        return Check(name=name, ok=True, detail=detail)
    return Check(
        name=name,
        ok=True,
        warning=True,
        detail=f"NOT SET for {' and '.join(open_to_all)}: {', '.join(others[:3])} and every other "
        "user of this host can silence all alerts and post false ones",
        fix="monitoring_passwords: true in settings.yml, see docs/security.md",
    )


def _other_users() -> list[str]:
    """Return the users of this host, besides us and root, who can log in."""
    return [
        user.pw_name
        for user in pwd.getpwall()
        if FIRST_USER <= user.pw_uid < NOBODY
        and user.pw_uid != os.geteuid()
        and not user.pw_shell.endswith(("/nologin", "/false"))
    ]


def check_dead_man_switch(settings: Settings) -> Check:
    """Check whether an external service detects that this machine or its alerting is down."""
    name = "dead man's switch"
    if settings.dead_man_switch:
        return Check(name=name, ok=True, detail="Alertmanager calls it every minute")
    return Check(
        name=name,
        ok=True,
        warning=True,
        detail="NOT SET: if this machine, Prometheus or Alertmanager dies, no one is paged",
        fix="set dead_man_switch in settings.yml, see docs/notifications.md",
    )
