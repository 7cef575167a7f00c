"""Other programs that find security problems: each is optional and prints JSON."""

import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from trading_ops.domain.report import Finding

NOT_CHECKED = "not checked"
"""Subject of the finding that something is unknown."""


class Unanswered(Exception):
    """A tool is not installed, or printed nothing usable."""


def run(
    name: str,
    arguments: Sequence[str],
    seconds: float,
    *,
    accepted: Collection[int] = (0,),
    within: Path | None = None,
    ours: bool = False,
) -> bytes:
    """Return the output of a program of this Python environment, or else of the PATH.

    Args:
        name: of the program.
        arguments: of its command line.
        seconds: timeout.
        accepted: exit codes with usable output.
        within: its working folder.
        ours: use only the program of this Python environment.

    Raises:
        Unanswered: it is not installed, failed, printed nothing, or did not end in time.
    """
    beside = str(Path(sys.executable).parent)
    program = shutil.which(name, path=beside) or (None if ours else shutil.which(name))
    if program is None:
        raise Unanswered(f"{name} is not installed: pip install 'trading-ops[security]'")
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            cwd=within,
        )
    except subprocess.TimeoutExpired as error:
        raise Unanswered(f"{name} did not end within {seconds:.0f} s") from error
    except OSError as error:
        raise Unanswered(f"{name}: {error}") from error
    if done.returncode not in accepted or not done.stdout.strip():
        problem = _last_line(done.stderr) or f"exit code {done.returncode}"
        raise Unanswered(f"{name}: {problem}")
    return done.stdout


def not_checked(topic: str, why: str) -> Finding:
    """Return the finding that something is unknown; it must not read as if all were well."""
    return Finding(topic=topic, subject=NOT_CHECKED, text=f"{topic}: not checked: {why}")


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
