"""Checks of the files of a project folder, without requests to other processes."""

import shutil
from collections.abc import Iterator

from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.doctor.check import Check, check_with_tool, checked
from trading_ops.errors import ConfigError


def check_files(settings: Settings, faults: frozenset[str] | None) -> Iterator[Check]:
    """Yield a check for each file that an operator writes or changes.

    Args:
        settings: valid settings.
        faults: valid names for drills of runbooks; None: not checked.
    """
    yield checked("targets", lambda: _targets(settings))
    yield checked("runbooks", lambda: _runbooks(settings, faults))
    yield checked("jobs", lambda: _jobs(settings))
    yield checked("maintenance", lambda: _maintenance(settings))
    yield checked("messages", lambda: _messages(settings))
    yield checked("readiness", lambda: _readiness(settings))
    yield checked("capacity", lambda: _capacity(settings))
    rules = sorted((settings.prometheus_config / "rules").glob("*.yml"))
    argv = ("promtool", "check", "rules", *map(str, rules[:-1]))
    if rules:
        found = check_with_tool("rules", argv, rules[-1])
        yield Check(
            name="rules",
            ok=found.ok,
            detail=f"{len(rules)} files" if found.ok else found.detail,
            fix=found.fix,
        )
    else:
        fix = f"`trading-ops init {settings.root} --update` shows what is missing"
        detail = f"no rules in {settings.prometheus_config / 'rules'}"
        yield Check(name="rules", ok=False, detail=detail, fix=fix)
    yield check_with_tool(
        "alertmanager",
        ("amtool", "check-config"),
        settings.alertmanager_config / "alertmanager.yml",
    )


def _targets(settings: Settings) -> str:
    registry = load_targets(settings.targets_file)
    return f"{len(registry.targets)} targets, {len(registry.bots)} bots to remediate"


def _runbooks(settings: Settings, faults: frozenset[str] | None) -> str:
    from trading_ops.reports.runbook_check import check_runbooks  # noqa: PLC0415 - heavy

    parse = shutil.which("promtool") is not None
    problems, count = check_runbooks(settings, faults=faults, parse_queries=parse)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = "see `trading-ops runbook check`"
        raise ConfigError(str(settings.runbooks), "", f"{problems[0]}{more}", fix)
    return f"{count} are consistent with their rules and actions"


def _jobs(settings: Settings) -> str:
    from trading_ops.jobs.config import load_jobs  # noqa: PLC0415 - heavy
    from trading_ops.notify.config import zone_of  # noqa: PLC0415 - heavy

    loaded = load_jobs(settings.targets_file.parent, reports_zone=zone_of(settings.notify_config))
    if loaded.refused:
        raise loaded.refused[0]
    return f"{sum(entry.enabled for entry in loaded.entries.values())} enabled"


def _maintenance(settings: Settings) -> str:
    from trading_ops.jobs.windows import FILE, load_windows  # noqa: PLC0415 - heavy

    loaded = load_windows(settings.targets_file.parent, load_targets(settings.targets_file))
    if loaded.refused:
        raise loaded.refused[0]
    return f"{len(loaded.windows)} recurring windows in {FILE}"


def _messages(settings: Settings) -> str:
    from trading_ops.notify.config import load_notify  # noqa: PLC0415 - heavy

    if load_notify(settings.notify_config) is None:
        return f"off: there is no {settings.notify_config.name}"
    return str(settings.notify_config)


def _readiness(settings: Settings) -> str:
    from trading_ops.readiness.plan import load_plan  # noqa: PLC0415 - heavy

    load_plan(settings.readiness_config)
    given = settings.readiness_config.exists()
    return str(settings.readiness_config) if given else "the shipped plan"


def _capacity(settings: Settings) -> str:
    from trading_ops.capacity.limits import load_choices  # noqa: PLC0415 - heavy
    from trading_ops.capacity.resources import NAMES  # noqa: PLC0415

    load_choices(settings.capacity_file, NAMES)
    return str(settings.capacity_file) if settings.capacity_file.exists() else "defaults"
