"""Starts bots on restored data, each with the command that its entry in targets.yml names."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trading_ops.config.settings import Settings, child_environment
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import OWN_PYTHON

VAR = "{var}"
"""In an argument: the restored folder `var`."""

START_SECONDS = 60.0
SHOWN = 300
"""Characters of a command's output in a problem."""


def start_bots(settings: Settings, folder: Path) -> list[str]:
    """Run the commands one after another; return the problems, one sentence each.

    Args:
        settings: of this installation.
        folder: a restored backup.

    Raises:
        ConfigError: targets.yml cannot be read.
    """
    problems = []
    for target in load_targets(settings.targets_file):
        if target.restore_test:
            argv = [one.replace(VAR, str(folder / "var")) for one in target.restore_test]
            if problem := _run(settings, argv):
                problems.append(f"{target.name} does not start on the restored data: {problem}")
    return problems


def _run(settings: Settings, argv: Sequence[str]) -> str:
    program = sys.executable if argv[0] == OWN_PYTHON else argv[0]
    # A file, not a pipe: a process that the command leaves running would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=settings.root,
                env=child_environment(settings),
                start_new_session=True,
            )
        except OSError as error:
            return f"{program}: {error.strerror or error}"
        try:
            code = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            return f"it did not end within {START_SECONDS:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        last = output.read().decode(errors="replace").strip()[-SHOWN:]
    return f"exit code {code}: {last}" if code else ""
