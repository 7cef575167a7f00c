"""`python -m tests.crash.nonces --kills N`: nonces under kill -9, and what each died with.

Four processes use one key at once and write down every nonce with the moment before it was asked
for and the moment after it was given. They are killed at random, some runs all together and with
the volatile file removed as a reboot would, and each run has a clock that is hours off. Then all
notes are read together: no number twice, and none given out after a higher one was.

The same is done with issuers that are wrong on purpose, which must be found out: one that reserves
a block for each process, and one that begins at the clock and reserves nothing.
"""

import argparse
import bisect
import contextlib
import itertools
import mmap
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.folder import KeyFolder
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.botkit.nonces.source import wall_clock
from trading_ops.errors import SetupError

PROCESSES = 4
BLOCK = 512
"""Small, so that many deaths fall into the raising of a ceiling."""

DENSE, MOST = 30_000, 60_000
"""Nonces that one run notes: the first as fast as it can, the others slowly, so that it is still
at it when the next run is; then it waits for its death."""

SLOWLY_SECONDS = 0.0005

FIELDS = 3
"""Of a note: before, after, the nonce; nanoseconds of the monotonic clock, one for all."""

HOURS = 3_600_000_000
LIFE_SECONDS = (0.005, 0.06)
"""From the first nonce to the death."""

READY_SECONDS = 120.0


class Blocks:
    """Wrong: each process has a block of its own, so numbers are unique and in no order.

    A block is enough for a run: if it were small, a slow disk could put the runs in order.
    """

    def __init__(self, folder: Path, offset: int) -> None:
        self._folder, self._offset = folder, offset
        self._left: Iterator[int] = iter(())

    def issue(self) -> int:
        """Return the next of the block."""
        for nonce in self._left:
            return nonce
        taken = KeyFolder(self._folder, shared=True)
        file = CeilingFile(self._folder / "ceiling", block=BLOCK)
        first = file.read() or wall_clock() + self._offset
        file.raise_to(first + MOST)
        file.close()
        taken.close()
        self._left = iter(range(first + 1, first + MOST + 1))
        return next(self._left)


class Forgetful:
    """Wrong: one process at a time, but it begins at its clock and keeps nothing."""

    def __init__(self, folder: Path, offset: int) -> None:
        self._taken = KeyFolder(folder, shared=False)
        self._taken.release_setup_lock()
        self._numbers = itertools.count(wall_clock() + offset)

    def issue(self) -> int:
        """Return the next number."""
        return next(self._numbers)


DESIGNS: dict[str, Callable[[Path, int], ExclusiveSource | SharedSource | Blocks | Forgetful]] = {
    "owner": lambda folder, offset: ExclusiveSource(
        folder, block=BLOCK, microseconds=lambda: wall_clock() + offset
    ),
    "shared": lambda folder, offset: SharedSource(
        folder, block=BLOCK, microseconds=lambda: wall_clock() + offset
    ),
    "blocks": Blocks,
    "forgetful": Forgetful,
}
PLANTED = ("blocks", "forgetful")
ALONE = ("owner", "forgetful")
"""Those with which one process issues and the others wait for its death."""


@dataclass
class Found:
    """The result of all processes of one design."""

    kills: int = 0
    reboots: int = 0
    nonces: int = 0
    duplicates: int = 0
    disorders: int = 0

    @property
    def well(self) -> bool:
        """Whether every nonce was above all that were given out before it was asked for."""
        return not self.duplicates and not self.disorders


def live(design: str, folder: Path, notes: Path, offset: int) -> None:
    """Be one run: issue and note until killed."""
    with notes.open("r+b") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    source = _take(design, folder, offset)
    now = time.monotonic_ns
    for at in range(0, MOST * FIELDS, FIELDS):
        before = now()
        nonce = source.issue()
        view[at], view[at + 1], view[at + 2] = before, now(), nonce
        if at > DENSE * FIELDS:
            time.sleep(SLOWLY_SECONDS)
    time.sleep(READY_SECONDS)


def _take(
    design: str, folder: Path, offset: int
) -> ExclusiveSource | SharedSource | Blocks | Forgetful:
    """Open the issuer, again and again while another process owns the key."""
    while True:
        with contextlib.suppress(SetupError):
            return DESIGNS[design](folder, offset)
        time.sleep(0.0005)


def read(notes: Path) -> Iterator[tuple[int, int, int]]:
    """Return the notes of one run: nonce, before, after; the last one may be half written."""
    view = memoryview(notes.read_bytes()).cast("Q")
    for at in range(0, len(view), FIELDS):
        before, after, nonce = view[at : at + FIELDS]
        if nonce == 0:
            return
        yield nonce, before, after


def span(notes: Path) -> tuple[int, int] | None:
    """Return when the first nonce of a run was given, and when the last was asked for."""
    with notes.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        view = memoryview(mapped).cast("Q")
        try:
            count = bisect.bisect(range(MOST), x=False, key=lambda at: view[at * FIELDS + 2] == 0)
            return (view[1], view[(count - 1) * FIELDS]) if count else None
        finally:
            view.release()


def judge(found: Found, notes: list[tuple[int, int, int]]) -> None:
    """Count what was given twice, and what was given after a higher one had been."""
    notes.sort(reverse=True)
    found.nonces = len(notes)
    higher = 0
    earliest = sys.maxsize  # when the first of all higher nonces had been given
    for nonce, before, after in notes:
        found.duplicates += nonce == higher
        found.disorders += before > earliest
        higher, earliest = nonce, min(earliest, after)


class Round:
    """Starts processes and ends them."""

    def __init__(self, design: str, folder: Path, seed: int) -> None:
        self._design, self._folder, self._random = design, folder, random.Random(seed)
        self._key = folder / "key"
        self._processes: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._numbers = itertools.count()

    def run(self, kills: int) -> Found:
        """Kill so many; return what was found."""
        found = Found()
        try:
            self._fill()
            while found.kills < kills:
                self._wait()
                time.sleep(self._random.uniform(*LIFE_SECONDS))
                reboot = self._random.random() < 1 / 12
                found.kills += self._kill(PROCESSES if reboot else 1)
                if reboot:
                    found.reboots += 1
                    (self._key / "count").unlink(missing_ok=True)
                self._fill()
        finally:
            self._kill(PROCESSES)
        judge(found, [note for path in self._folder.glob("*.notes") for note in read(path)])
        return found

    def _fill(self) -> None:
        while len(self._processes) < PROCESSES:
            notes = self._folder / f"{next(self._numbers)}.notes"
            with notes.open("wb") as file:
                file.truncate(MOST * FIELDS * 8)
            offset = self._random.randint(-9 * HOURS, HOURS)
            command = (sys.executable, "-m", "tests.crash.nonces", "--live", self._design)
            process = subprocess.Popen([*command, str(self._key), str(notes), str(offset)])
            self._processes.append((process, notes))

    def _wait(self) -> None:
        """Wait until a process issues nonces; several at once, if the design allows it."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._issuing():
            assert time.monotonic() < deadline, "no run issues nonces"
            time.sleep(0.001)

    def _issuing(self) -> bool:
        """Whether a process issues nonces; or, of several, an older one still does."""
        spans = sorted(filter(None, (span(notes) for _, notes in self._processes)))
        if self._design in ALONE or len(spans) < 2:
            return self._design in ALONE and bool(spans)
        return any(asked > began for (_, asked), (began, _) in itertools.pairwise(spans))

    def _kill(self, count: int) -> int:
        """Kill first who has issued, in any order; return how many."""
        self._random.shuffle(self._processes)
        self._processes.sort(key=lambda process: next(read(process[1]), None) is None)
        ended, self._processes = self._processes[:count], self._processes[count:]
        for process, _ in ended:
            process.send_signal(signal.SIGKILL)
        for process, _ in ended:
            process.wait()
        return len(ended)


def prove(design: str, kills: int, seed: int) -> Found:
    """Run one design in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="nonces-"))
    try:
        return Round(design, folder, seed).run(kills)
    finally:
        shutil.rmtree(folder)


def main() -> int:
    """Print the table; return 1 when a design broke its promise, or a planted one did not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=120, help="of each design's processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--design", choices=DESIGNS, action="append", help="only this one")
    given = parser.parse_args()
    failed = False
    sys.stdout.write("design     kills  reboots     nonces  duplicates  out of order\n")
    for design in given.design or DESIGNS:
        kills = min(given.kills, 30) if design in PLANTED else given.kills
        found = prove(design, kills, given.seed)
        wrong = found.well == (design in PLANTED)
        failed |= wrong
        verdict = "planted, and found" if design in PLANTED else "as promised"
        sys.stdout.write(
            f"{design:<9} {found.kills:>6} {found.reboots:>8} {found.nonces:>10,}"
            f" {found.duplicates:>11,} {found.disorders:>13,}  {'WRONG' if wrong else verdict}\n"
        )
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--live"]:
        _, _, kind, home, noted, ahead = sys.argv
        live(kind, Path(home), Path(noted), int(ahead))
        sys.exit()
    sys.exit(main())
