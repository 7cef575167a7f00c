"""Offline checks of `doctor`: tools, secrets, configurations, processes."""

import shutil
import subprocess
import sys

from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check, check_with_tool
from trading_ops.doctor.state import token_checks
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError
from trading_ops_lab.faults.catalogue import FAULTS
from trading_ops_lab.supervisor.client import SupervisorClient
from trading_ops_lab.supervisor.processes import ALERTMANAGER_BINARIES, PROMETHEUS_BINARIES
from trading_ops_lab.supervisor.tokens import TOKENS


def check_tools() -> list[Check]:
    """Are the programs installed, and in which versions?"""
    python = ".".join(str(part) for part in sys.version_info[:3])
    checks = [Check(name="python", ok=sys.version_info >= (3, 11), detail=python)]
    for names in (PROMETHEUS_BINARIES, ("promtool",), ALERTMANAGER_BINARIES, ("amtool",)):
        found = next((path for name in names if (path := shutil.which(name))), None)
        if found is None:
            checks.append(
                Check(
                    name=names[0],
                    ok=False,
                    detail="not on the PATH",
                    fix="run `make up`, which installs it, or put it on the PATH",
                )
            )
            continue
        done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        line = (done.stdout or done.stderr).partition("\n")[0].partition(" (branch")[0]
        checks.append(Check(name=names[0], ok=done.returncode == 0, detail=line or found))
    return checks


def check_secrets(settings: Settings, registry: Registry) -> list[Check]:
    """Does every token file exist, readable by its owner only?"""
    return token_checks(settings, registry, TOKENS, "run `trading-ops up` once: it writes them")


def check_plans(settings: Settings) -> Check:
    """Are runbooks, rules, actions, queries and drills consistent?

    Queries are parsed if promtool is installed, which another check verifies.
    """
    from trading_ops.reports.runbook_check import check_runbooks  # noqa: PLC0415 - as the database

    name, parse = "runbooks", shutil.which("promtool") is not None
    try:
        problems, checked = check_runbooks(settings, faults=frozenset(FAULTS), parse_queries=parse)
    except TradingOpsError as error:
        return Check(name=name, ok=False, detail=str(error), fix="see docs/runbooks.md")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = "see `trading-ops runbook check`"
        return Check(name=name, ok=False, detail=f"{problems[0]}{more}", fix=fix)
    unparsed = "" if parse else "; their queries were not parsed without promtool"
    return Check(name=name, ok=True, detail=f"{checked} fit their rules and actions{unparsed}")


def check_configs(settings: Settings) -> list[Check]:
    """Do Prometheus and Alertmanager accept their configurations?"""
    files = {
        "prometheus config": (
            ["promtool", "check", "config"],
            settings.var / "prometheus" / "prometheus.yml",
        ),
        "alertmanager config": (
            ["amtool", "check-config"],
            settings.var / "alertmanager" / "alertmanager.yml",
        ),
    }
    return [check_with_tool(name, argv, path) for name, (argv, path) in files.items()]


def check_processes(settings: Settings) -> list[Check]:
    """Does the supervisor run, and are all its processes ready?"""
    try:
        processes = SupervisorClient(settings).overview()["processes"]
    except TradingOpsError as error:
        return [Check(name="processes", ok=False, detail=str(error), fix="run `make up`")]
    bad = [
        f"{process['unit']} {process['state']}"
        for process in processes
        if process["state"] != "ready"
    ]
    return [
        Check(
            name="processes",
            ok=not bad,
            detail=", ".join(bad) or f"{len(processes)} ready",
            fix="read the logs that `trading-ops status` names" if bad else "",
        )
    ]
