"""What a command imports before it can answer: each large library costs its user time."""

import subprocess
import sys

import pytest

HEAVY = ("alembic", "apprise", "ccxt", "psycopg", "sqlalchemy")


@pytest.mark.parametrize(
    "module",
    [
        "trading_ops_lab.cli.status",
        *(f"trading_ops.cli.{command}" for command in ("main", "incidents", "halt", "acknowledge")),
    ],
)
def test_a_command_that_asks_the_reconciler_imports_no_database(module: str) -> None:
    """SQLAlchemy alone takes longer to import than the reconciler to answer."""
    assert imported(f"import {module}", HEAVY) == []


UNUSED = (
    *("alembic", "apprise", "ccxt", "click", "croniter", "jinja2", "psutil", "psycopg"),
    *("pygments", "rich", "sqlalchemy.dialects.postgresql", "trading_ops.cli"),
)

STATUS = """
import trading_ops.cli.automation, trading_ops.config.settings
import trading_ops_lab.cli.process_table, trading_ops_lab.cli.status
import trading_ops_lab.supervisor.client
"""
"""What `status` imports to ask the supervisor and the reconciler."""


def test_status_imports_no_more_than_it_shows() -> None:
    """It needs the clients of both, and nothing of what they are made of."""
    parts = ("reconciler", "actions", "store", "api", "instrument", "agent", "logs", "reports")
    ours = tuple(f"trading_ops.{part}" for part in parts)
    assert imported(STATUS, (*HEAVY, *ours, "structlog", "prometheus_client", "psutil")) == []


def test_the_reconciler_imports_only_what_it_serves_with() -> None:
    """Each of these would stay in its memory for good."""
    assert imported("import trading_ops.app", UNUSED) == []


def test_structlog_brings_rich_back_to_who_imported_it_first() -> None:
    """We leave it out of our own processes, and take it from no bot that uses our logs."""
    assert imported("import trading_ops.logs, rich", ("rich",)) == ["rich"]
    found = "import structlog, trading_ops.logs; assert structlog.dev.rich is not None"
    assert imported(found, ("pygments",)) == ["pygments"]


def imported(code: str, names: tuple[str, ...]) -> list[str]:
    """Return which of these modules are imported when the code has run."""
    shown = f"\nimport sys; print('imported', *(name for name in {names} if name in sys.modules))"
    command = [sys.executable, "-c", code + shown]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]
