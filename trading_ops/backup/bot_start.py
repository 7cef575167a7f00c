"""Starts bots on restored data, each with the command that its entry in targets.yml names."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from trading_ops import clock
from trading_ops.backup.postgresql.tools import end_with_parent
from trading_ops.config.environment import restored_environment
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import OWN_PYTHON, RESTORED_VAR
from trading_ops.errors import TradingOpsError
from trading_ops.redaction import redact

START_SECONDS = 60.0
"""For all bots together."""

AT_A_TIME = 8
"""The bots that trade need this host, too."""

SHOWN = 300
"""Characters of a command's output in a problem."""

SEARCHED = 16_384
"""Bytes of a command's output that are read; more than shown, so that no secret is cut in two."""


class BotsNotStarted(TradingOpsError):
    """A bot does not start on the restored data; the backup is intact."""


def start_bots(
    settings: Settings,
    folder: Path,
    *,
    only: Collection[str] | None = None,
    seconds: float = START_SECONDS,
) -> None:
    """Run the commands of all bots, several at a time.

    Args:
        settings: of this installation.
        folder: a restored backup.
        only: names of the bots to start; None: all.
        seconds: for all of them together.

    Raises:
        BotsNotStarted: some failed; says which and why.
        ConfigError: targets.yml cannot be read.
    """
    if not settings.targets_file.exists():
        return  # backups of records only, on a host without a reconciler
    var = folder / "var"
    var.mkdir(parents=True, exist_ok=True)  # that of a node may have had no file
    waiting = [
        (
            target.name,
            [argument.replace(RESTORED_VAR, str(var)) for argument in target.restore_test],
        )
        for target in load_targets(settings.targets_file)
        if target.restore_test and (only is None or target.name in only)
    ]
    deadline = clock.monotonic() + seconds
    with contextlib.ExitStack() as started, selectors.DefaultSelector() as ends:
        bots = _Bots(settings.root, var, started, ends)
        while (waiting or bots.running) and (left := deadline - clock.monotonic()) > 0:
            while waiting and len(bots.running) < AT_A_TIME:
                bots.start(*waiting.pop(0))
            bots.collect(left)
        late = [(name, f"it did not end within {seconds:g} s") for name in bots.running]
    late += [(name, f"the bots before it used up the {seconds:g} s") for name, _ in waiting]
    if problems := bots.problems | dict(late):
        raise BotsNotStarted(
            "; ".join(
                f"{name} does not start on the restored data: {problem}"
                for name, problem in sorted(problems.items())
            )
        )


@dataclass
class _Bots:
    root: Path
    var: Path
    started: contextlib.ExitStack
    ends: selectors.BaseSelector
    running: dict[str, "_Command"] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str]) -> None:
        try:
            command = self.started.enter_context(_running(self.root, self.var, argv))
        except OSError as error:
            self.problems[name] = f"{argv[0]}: {error.strerror or error}"
            return
        self.running[name] = command
        self.ends.register(command.ended, selectors.EVENT_READ, name)

    def collect(self, seconds: float) -> None:
        """Wait until one ends, or for so many seconds."""
        for key, _ in self.ends.select(seconds) if self.running else ():
            self.ends.unregister(key.fd)
            if problem := self.running.pop(key.data).problem():
                self.problems[key.data] = problem


@dataclass(frozen=True)
class _Command:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    ended: int
    """A file descriptor: readable when the process has ended."""

    def problem(self) -> str:
        code = self.process.wait()
        if not code:
            return ""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - SEARCHED))
        text = redact(self.output.read().decode(errors="replace"))
        return f"exit code {code}: {text.strip()[-SHOWN:]}"


@contextlib.contextmanager
def _running(root: Path, var: Path, argv: Sequence[str]) -> Iterator[_Command]:
    program = sys.executable if argv[0] == OWN_PYTHON else argv[0]
    # A file, not a pipe: a process that the command leaves running would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=restored_environment(var),
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL),  # noqa: PLW1509 - one system call
        )
        try:
            ended = os.pidfd_open(process.pid)
            try:
                yield _Command(process, output, ended)
            finally:
                os.close(ended)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
