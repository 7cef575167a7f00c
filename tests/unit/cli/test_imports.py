"""What a command imports before it can answer: each large library costs its user time."""

import subprocess
import sys

import pytest

SHOWN = "import sys, {module}; print(*(name for name in {heavy} if name in sys.modules))"
HEAVY = ("alembic", "apprise", "ccxt", "psycopg", "sqlalchemy")


@pytest.mark.parametrize("module", ["main", "status", "incidents", "halt", "acknowledge"])
def test_a_command_that_asks_the_reconciler_imports_no_database(module: str) -> None:
    """SQLAlchemy alone takes longer to import than the reconciler to answer."""
    code = SHOWN.format(module=f"trading_ops.cli.{module}", heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
