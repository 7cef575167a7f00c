"""`python -m tests.planted`: plant each bug into a copy of the tree, and see which test catches it.

First the same tests run in a copy without a bug, for one that fails there catches nothing. The exit
code is 1 when a bug survives.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.planted.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]
COPIED = (
    "trading_ops",
    "trading_ops_lab",
    "tests",
    "runbooks",
    "prometheus",
    "alertmanager",
    "docs",
    "pyproject.toml",
    "targets.yml",
)
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
AT_ONCE = 2
MARKED = "not (long or attacks or browser or compose or faults or hosts or kubernetes)"
PYTEST = ("pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", MARKED)


class _Tried(NamedTuple):
    """What became of one bug."""

    bug: Bug
    failed: str
    """The first test that failed; empty: none did, or they could not be run."""

    ran: bool
    seconds: float


def try_one(bug: Bug) -> _Tried:
    """Run a bug's tests in a copy in which it is planted."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"planted-{bug.name}-") as name:
        root = Path(name)
        for part in COPIED:
            _copy(ROOT / part, root / part)
        for change in bug.changes:
            change.apply(root)
        done = subprocess.run(
            [sys.executable, "-m", *PYTEST, *bug.tests],
            cwd=root,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHONPATH": name, "HOME": name},
            capture_output=True,
            text=True,
            check=False,
        )
    found = FAILED.search(done.stdout)
    # 1: tests failed. Anything else is trouble of another kind, and catches nothing.
    failed = found.group(1) if done.returncode == 1 and found else ""
    ran = done.returncode in (0, 1)
    if not ran:
        output = (done.stdout + done.stderr)[-2000:]
        sys.stderr.write(f"{bug.name}: pytest ended with {done.returncode}\n{output}\n")
    return _Tried(bug, failed, ran, time.monotonic() - began)


def _without_a_bug(chosen: Sequence[Bug]) -> Bug:
    """Return what must pass: all that is named, with nothing planted."""
    tests = dict.fromkeys(test for bug in chosen for test in bug.tests)
    return Bug(name="(none)", what="nothing is planted", changes=(), tests=tuple(tests))


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, to)


def main(names: list[str]) -> int:
    """Print the table; 1 when a bug survives."""
    chosen = [bug for bug in BUGS if not names or bug.name in names]
    sound = try_one(_without_a_bug(chosen))
    verdict = "passes" if sound.ran and not sound.failed else sound.failed or "DID NOT RUN"
    _say(sound, verdict)
    if verdict != "passes":
        sys.stdout.write("what does not pass without a bug catches nothing\n")
        return 1
    survived = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for tried in pool.map(try_one, chosen):
            survived += not tried.failed
            _say(tried, tried.failed or ("SURVIVED" if tried.ran else "DID NOT RUN"))
    sys.stdout.write(f"{len(chosen)} bugs planted, {survived} survived\n")
    return 1 if survived else 0


def _say(tried: _Tried, verdict: str) -> None:
    sys.stdout.write(f"{tried.bug.name:<24} {tried.seconds:>5.0f} s  {verdict}\n")
    sys.stdout.write(f"    {tried.bug.what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BUG", help="by default all")
    sys.exit(main(parser.parse_args().names))
