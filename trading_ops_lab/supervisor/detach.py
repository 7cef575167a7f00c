"""A stack in the background: starts it, follows it until it is ready, then detaches.

The background process reports over a pipe, one JSON object per line, so that its parent waits for
events instead of polling.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError, SetupError, StackError, TradingOpsError
from trading_ops_lab.supervisor.control import overview
from trading_ops_lab.supervisor.layout import unwritable
from trading_ops_lab.supervisor.run import run
from trading_ops_lab.supervisor.supervisor import Supervisor

Report = dict[str, Any]


def detach(settings: Settings, on_change: Callable[[Report], None]) -> Report:
    """Start the stack in a session of its own and return its overview when all is ready.

    Args:
        settings: the background process finds the same ones through the environment and folder.
        on_change: called with the overview after each change until then.

    Raises:
        SetupError: a tool, port, folder or configuration is missing, in use or invalid.
        StackError: it could not be started for another reason.
    """
    # Opened here, before the background process can report an error itself.
    os.umask(0o077)
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as reports, _stderr_file(settings.logs) as output:
        subprocess.Popen(
            [sys.executable, "-m", "trading_ops_lab.supervisor", str(settings.root), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        return _follow(reports, settings.logs, on_change)


def _stderr_file(folder: Path) -> BinaryIO:
    """Open the destination of a traceback: the same file as its log."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "supervisor.log").open("ab")
    except OSError as error:
        raise unwritable(folder, error) from error


def _follow(reports: TextIO, logs: Path, on_change: Callable[[Report], None]) -> Report:
    for line in reports:
        report = json.loads(line)
        if "error" in report:
            raise (SetupError if report["setup"] else StackError)(report["error"])
        if report.get("ready"):
            return dict(report["overview"])
        on_change(report["overview"])
    raise StackError(f"the stack exited before it was ready: see {logs / 'supervisor.log'}")


def run_detached(root: Path, report_to: int) -> int:
    """Run the stack and report until it is ready; return the exit code."""
    with os.fdopen(report_to, "w", encoding="utf-8", buffering=1) as reports:
        reporter = _Reporter(reports)
        try:
            run(load_settings(root), on_change=reporter.changed, on_ready=reporter.ready)
        except TradingOpsError as error:
            reporter.failed(error)
            return 1
    return 0


class _Reporter:
    """Writes reports until the stack is ready or the reader is gone."""

    def __init__(self, reports: TextIO) -> None:
        self._reports: TextIO | None = reports

    def changed(self, supervisor: Supervisor) -> None:
        self._send({"overview": overview(supervisor)})

    def ready(self, supervisor: Supervisor) -> None:
        self._send({"ready": True, "overview": overview(supervisor)})
        if self._reports:
            self._reports.close()
        self._reports = None

    def failed(self, error: TradingOpsError) -> None:
        setup = isinstance(error, ConfigError | SetupError)
        self._send({"error": str(error), "setup": setup})

    def _send(self, report: Report) -> None:
        if self._reports is None:
            return
        try:
            self._reports.write(json.dumps(report) + "\n")
        except OSError:  # the reader was interrupted; the stack continues
            self._reports = None
