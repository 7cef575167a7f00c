"""A real stack on free ports: real Prometheus, Alertmanager, venue, bot and reconciler.

Configurations, rules and runbooks are the shipped ones, unchanged; only ports and the var folder
are the test's own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.free_ports import free_port
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops_lab.supervisor.client import SupervisorClient

ROOT = Path(__file__).parents[1]
PORT = re.compile(r"127\.0\.0\.1:\d+")


class Stack:
    """One local stack in a folder of its own, driven through the command line as a user would."""

    def __init__(
        self, folder: Path, more_targets: str = "", environ: Mapping[str, str] | None = None
    ) -> None:
        text = (ROOT / "targets.yml").read_text()
        targets = folder / "targets.yml"
        moved = PORT.sub(lambda _: f"127.0.0.1:{free_port()}", text)
        targets.write_text(moved + more_targets)
        self.environ = {
            "TRADING_OPS_ROOT": str(ROOT),
            "TRADING_OPS_VAR": str(folder / "var"),
            "TRADING_OPS_TARGETS_FILE": str(targets),
        }
        self._inherited = dict(environ or {})
        self.settings: Settings = load_settings(environ=self.environ)
        self.registry = load_targets(targets)
        self.supervisor = SupervisorClient(self.settings)

    def run(self, *arguments: str, within: float = 150) -> subprocess.CompletedProcess[str]:
        """Run `trading-ops …` and return what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "trading_ops.cli.main", *arguments],
            cwd=ROOT,
            env=self.whole_environ,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    @property
    def whole_environ(self) -> dict[str, str]:
        """Return the environment of a process that works on this stack."""
        return os.environ | self._inherited | self.environ  # noqa: TID251 - a child needs PATH and the like

    def json(self, *arguments: str) -> tuple[int, Any]:
        """Run a command with --output json; return its exit code and what it printed."""
        done = self.run(*arguments, "--output", "json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return what the supervisor says of each process."""
        return {process["unit"]: process for process in self.supervisor.overview()["processes"]}

    def pids(self) -> set[int]:
        """Return every process of this stack, found in the process table by its environment."""
        found = set()
        for process in psutil.process_iter():
            try:
                var = process.environ().get("TRADING_OPS_VAR")
                started_here = str(self.settings.var) in " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if var == self.environ["TRADING_OPS_VAR"] or started_here:
                found.add(process.pid)
        return found

    def logs(self) -> str:
        """Return the ends of all logs, for a failure's report."""
        files = sorted(self.settings.logs.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-2000:]}" for file in files)

    def up(self) -> None:
        """Start every process, and return when all are ready."""
        done = self.run("up", "--detach")
        assert done.returncode == 0, done.stderr + self.logs()

    def down(self) -> None:
        """Stop every process and check that none is left."""
        done = self.run("down")
        assert done.returncode == 0, done.stderr
        assert self.pids() == set()
        shutil.rmtree(self.settings.var / "prometheus", ignore_errors=True)


@contextmanager
def running_stack(
    folder: Path, more_targets: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start a stack in an empty folder; stop it at the end, whatever the test left of it.

    Args:
        folder: of the stack.
        more_targets: further lines of its targets.yml.
        environ: further variables of all its processes.
    """
    stack = Stack(folder, more_targets, environ)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
