"""The result of a check, and checks with external tools."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_ops.errors import ConfigError, TradingOpsError

TOOL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """How to fix the problem; empty if the check passed."""

    warning: bool = False
    """Whether it works, but something important is missing."""


def checked(name: str, run: Callable[[], str]) -> Check:
    """Return a check with the detail that `run` returns; it fails if `run` raises."""
    try:
        return Check(name=name, ok=True, detail=run())
    except ConfigError as error:
        place = f"{error.where}: {error.key}" if error.key else error.where
        return Check(name=name, ok=False, detail=f"{place}: {error.problem}", fix=error.fix)
    except TradingOpsError as error:
        detail, _, fix = str(error).partition(" Fix: ")
        return Check(name=name, ok=False, detail=detail, fix=fix)


def check_with_tool(name: str, argv: Sequence[str], path: Path) -> Check:
    """Check a file with promtool or amtool."""
    try:
        done = subprocess.run(
            [*argv, str(path)], capture_output=True, text=True, check=False, timeout=TOOL_SECONDS
        )
    except FileNotFoundError:
        fix = f"install {argv[0]} (Debian's packages prometheus and prometheus-alertmanager)"
        return Check(name=name, ok=False, detail=f"{argv[0]} is not installed", fix=fix)
    except subprocess.TimeoutExpired:
        detail = f"{argv[0]} did not finish within {TOOL_SECONDS:.0f} s"
        return Check(name=name, ok=False, detail=detail, fix="run it again on an idle machine")
    if done.returncode == 0:
        return Check(name=name, ok=True, detail=str(path))
    output = " ".join((done.stderr or done.stdout).split())[-300:]
    return Check(name=name, ok=False, detail=output, fix=f"correct {path.resolve()}")
