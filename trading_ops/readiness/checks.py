"""The checks that `trading-ops readiness check` runs where the stack runs."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_ops import clock
from trading_ops.clients.readiness_views import KEPT_CHARACTERS, Checked
from trading_ops.config.settings import Settings
from trading_ops.logs.rotation import files_aside

COMMAND_SECONDS = 300.0
REQUESTS = 20


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Inputs of the built-in checks."""

    settings: Settings
    ask: Callable[[], Awaitable[object]]
    """One request to the reconciler's API."""


async def secret_modes(bench: Bench) -> tuple[float, str]:
    """Count the secrets that other users can open."""
    files = [path for path in sorted(bench.settings.secrets.rglob("*")) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"no file in {bench.settings.secrets}")
    exposed = [file.name for file in files if file.stat().st_mode & 0o077]
    evidence = f"{len(files)} files; others can open {', '.join(exposed) or 'none'}"
    return float(len(exposed)), evidence


async def largest_log_bytes(bench: Bench) -> tuple[float, str]:
    """Return the size of the largest log file."""
    sizes = {path.name: path.stat().st_size for path in bench.settings.logs.glob("*.log")}
    if not sizes:
        raise FileNotFoundError(f"no log in {bench.settings.logs}")
    largest = max(sizes, key=lambda name: sizes[name])
    return float(sizes[largest]), f"{largest} is the largest of {len(sizes)}"


async def rotated_logs(bench: Bench) -> tuple[float, str]:
    """Count the log files that were rotated and are still kept."""
    rotated = files_aside(bench.settings.logs)
    newest = f"; the newest is {rotated[-1].name}" if rotated else ""
    return float(len(rotated)), f"{len(rotated)} rotated files in {bench.settings.logs}{newest}"


async def api_seconds(bench: Bench) -> tuple[float, str]:
    """Return the second slowest of some requests to the reconciler: about its p95."""
    took = []
    for _ in range(REQUESTS):
        began = clock.monotonic()
        await bench.ask()
        took.append(clock.monotonic() - began)
    return sorted(took)[-2], f"p95 of {REQUESTS} requests to the reconciler"


CHECKS: Mapping[str, Callable[[Bench], Awaitable[tuple[float, str]]]] = {
    "secret_modes": secret_modes,
    "largest_log_bytes": largest_log_bytes,
    "rotated_logs": rotated_logs,
    "api_seconds": api_seconds,
}


async def run_check(name: str, check: str, bench: Bench) -> Checked:
    """Run a built-in check; a value that it cannot measure is unknown."""
    try:
        value, evidence = await CHECKS[check](bench)
    except OSError as error:
        return Checked(name=name, value=None, evidence=f"{check}: {error}"[:KEPT_CHARACTERS])
    return Checked(name=name, value=value, evidence=evidence[:KEPT_CHARACTERS])


def run_command(name: str, argv: Sequence[str], folder: Path, *, measures: bool) -> Checked:
    """Run a program in the project's folder.

    Args:
        name: of the criterion.
        argv: the program; `python` and `trading-ops` mean the current ones.
        folder: its working folder.
        measures: its last line is a number; otherwise its exit code is the value.
    """
    command = [*_OURS.get(argv[0], (argv[0],)), *argv[1:]]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Checked(name=name, value=None, evidence=str(error)[:KEPT_CHARACTERS])
    last = (["", *(done.stdout.strip() or done.stderr.strip()).splitlines()])[-1].strip()
    evidence = f"{' '.join(argv)}: exit code {done.returncode}: {last}"[:KEPT_CHARACTERS]
    if not measures:
        return Checked(name=name, value=float(done.returncode), evidence=evidence)
    try:
        value = float(last) if done.returncode == 0 else None
    except ValueError:
        value = None
    return Checked(name=name, value=value, evidence=evidence)


_OURS: Mapping[str, tuple[str, ...]] = {
    "python": (sys.executable,),
    "trading-ops": (sys.executable, "-m", "trading_ops.cli.main"),
}
