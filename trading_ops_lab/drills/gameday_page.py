"""The record of a game day, and the page generated from it.

    python -m trading_ops_lab.drills.gameday_page FOLDER

regenerates the page next to the record.

Times are seconds since the injection, and are attributed as follows:

- until the reconciler *received* the alert: Prometheus and Alertmanager (the scrape, the rule's
  range and `for`, the notification);
- from then until it *closed* the incident: trading-ops. *Verification* is the part from the end of
   the last action until the verify query had held.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from trading_ops.errors import SetupError
from trading_ops_lab.drills.recorded_drills import (
    GameDayRecord,
    Machine,
    RecordedDisaster,
    RecordedDrill,
)

FILE = "gameday.json"
PAGE = "gameday.md"
NEVER = "-"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One table: a heading, the columns' names, and rows of cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def grids(drills: Sequence[RecordedDrill]) -> list[Grid]:
    """Return the tables of a day."""
    absent = [one for one in drills if one.not_possible]
    drills = [one for one in drills if not one.not_possible]
    waited = [one for one in drills if one.during]
    others = [one for one in drills if not (one.for_people or one.held_back or one.during)]
    machines = [one for one in others if not one.handed_over]
    handed = [one for one in others if one.handed_over]
    people = [one for one in drills if one.for_people]
    paused = {one.alert: one for one in drills if one.paused}
    found = [
        Grid(
            title="Auto-remediated",
            columns=(
                *("alert", "injected", "detected", "received", "acted", "verified", "closed"),
                *(
                    "limit",
                    "alerting",
                    "remediation",
                    "verification",
                    "automation paused",
                    "result",
                ),
            ),
            rows=[_recovered(one, paused.get(one.alert)) for one in machines],
        ),
        Grid(
            title="Suppressed until the cause was resolved, then remediated",
            columns=(
                *("alert", "during", "injected", "detected", "received", "waited", "fault removed"),
                *("acted", "verified", "closed", "limit", "result"),
            ),
            rows=[_waited(one) for one in waited],
        ),
        Grid(
            title="Escalated after failed steps",
            columns=(
                *("alert", "injected", "detected", "received", "acted", "escalated", "settled"),
                *("closed", "limit", "automation paused", "result"),
            ),
            rows=[_handed(one, paused.get(one.alert)) for one in handed],
        ),
        Grid(
            title="Page-only",
            columns=(
                *(
                    "alert",
                    "injected",
                    "detected",
                    "received",
                    "noticed",
                    "fault removed",
                    "closed",
                ),
                *("limit", "alerting", "reconciler", "result"),
            ),
            rows=[_left(one) for one in people],
        ),
        Grid(
            title="Not run: this machine does not support them",
            columns=("alert", "why"),
            rows=[(one.alert, one.problem) for one in absent],
        ),
    ]
    return [grid for grid in found if grid.rows]


def summary(drills: Sequence[RecordedDrill]) -> list[str]:
    """Return the day in sentences."""
    absent = sum(one.not_possible for one in drills)
    drills = [one for one in drills if not one.not_possible]
    whole = [one for one in drills if not (one.held_back or one.during)]
    waited = [one for one in drills if one.during]
    machines = [one for one in whole if not (one.for_people or one.handed_over)]
    people = [one for one in whole if one.for_people]
    back = {
        "with automation paused": [one for one in drills if one.paused],
        "while the alert was silenced": [one for one in drills if one.silenced],
    }
    good = sum(one.passed for one in whole)
    sentences = [f"{good} of {len(whole)} drills passed within their limits."]
    if absent:
        sentences.append(f"{absent} were not run: this machine does not support them.")
    for how, runs in back.items():
        if runs:
            stayed = sum(one.passed for one in runs)
            sentences.append(f"{stayed} of {len(runs)} did not recover, and no action ran, {how}.")
    if waited:
        good = sum(one.passed for one in waited)
        sentences.append(
            f"{good} of {len(waited)} suppressed until the cause was resolved, then remediated."
        )
    handed = [one for one in whole if one.handed_over]
    if handed:
        good = sum(one.passed for one in handed)
        sentences.append(f"{good} of {len(handed)} escalated after failed steps.")
    if machines:
        shares: dict[str, Callable[[RecordedDrill], float | None]] = {
            "closed after": lambda one: one.total_seconds,
            "alerting": lambda one: one.theirs,
            "remediation": lambda one: one.ours,
            "remediation without verification": lambda one: one.without_proof,
        }
        spread = "; ".join(f"{name} {_spread(machines, of)}" for name, of in shares.items())
        sentences.append(f"Auto-remediated, median and worst: {spread}.")
    if people:
        sentences.append(
            "Page-only, median and worst: "
            f"received {_spread(people, lambda one: one.theirs)}; "
            f"recorded as page-only after {_spread(people, lambda one: one.ours)}."
        )
    return sentences


def page(record: GameDayRecord) -> str:
    """Return the page, which is derived from the record only."""
    drills = record.all_drills
    lines = [
        "# Game day",
        "",
        "Generated by `make gameday` from `gameday.json`.",
        "",
        *(line for run in record.runs for line in _run(run, alone=not record.before)),
        *(f"- {sentence}" for sentence in summary(drills)),
        *disaster_sentence(record),
        "",
        *READING,
    ]
    for grid in grids(drills):
        lines += ["", f"## {grid.title}", "", *_markdown(grid.columns, grid.rows)]
    if record.last_disaster:
        lines += ["", "## Disaster recovery", "", *_disaster(record.last_disaster)]
    run = [one for one in drills if not (one.held_back or one.not_possible)]
    known = {_named(one): one for one in run}
    lines += ["", "## Faults and witnesses", ""]
    seen = [(alert, one.broken, one.witness or NEVER) for alert, one in sorted(known.items())]
    lines += _markdown(("alert", "fault", "witness"), seen)
    return "\n".join(lines) + "\n"


def disaster_sentence(record: GameDayRecord) -> list[str]:
    """Return the result of the drill DisasterRecovery as a list item, if it was run."""
    found = record.last_disaster
    if found is None:
        return []
    verb = "passed" if found.passed else "failed"
    seconds, goal = found.seconds, found.limit_seconds
    return [
        f"- Disaster recovery {verb}: ready {seconds:.1f} s after the loss (goal {goal:.0f} s)."
    ]


def _disaster(found: RecordedDisaster) -> list[str]:
    rows = [(one.stage, f"{one.seconds:.2f}", one.note) for one in found.timeline]
    return _markdown(("stage", "seconds since the loss", "what"), rows)


def _run(run: GameDayRecord, *, alone: bool) -> list[str]:
    """Return time, versions and machine of a run; and its drills, if there were several runs."""
    versions = ", ".join(f"{name} {version or 'unknown'}" for name, version in run.versions.items())
    minutes = (run.ended_at - run.began_at).total_seconds() / 60
    changes = " with uncommitted changes" if run.changed else ""
    disaster = ["DisasterRecovery"] if run.disaster else []
    names = ", ".join([*sorted({one.alert for one in run.drills}), *disaster])
    return [
        f"- When: {run.began_at:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes",
        f"- What: commit `{run.commit or 'unknown'}`{changes}; {versions}",
        f"- Where: {_where(run.machine)}",
        *([] if alone else [f"- Which: {names}"]),
        "",
    ]


def read(folder: Path) -> GameDayRecord | None:
    """Return the record in a folder, or None.

    Raises:
        SetupError: it cannot be read.
    """
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=GameDayRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError(f"{path}: {error}. Fix: correct or remove it") from error


def write(folder: Path, record: GameDayRecord) -> None:
    """Write the record and its page into a folder.

    Raises:
        SetupError: it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n"
    try:
        (folder / FILE).write_text(text, encoding="utf-8")
        (folder / PAGE).write_text(page(record), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}. Fix: name another folder") from error


READING = (
    "Seconds since the injection. *Alerting* is from injection to received: the scrape, the rule's",
    "range and `for`, and the notification. *Remediation* is from received to closed; of this,",
    "*verification* is from the end of the last action until the verify query had held on newer",
    "samples. With automation paused, the same fault must last for the whole limit. Page-only",
    "faults are not remediated: *reconciler* is from received to noticed. The drill then removes",
    "the fault, and the alert ends by its rule's range and `keep_firing_for`. A fault that stops",
    "the reconciler or Alertmanager is removed first and received afterwards.",
)


def _where(machine: Machine) -> str:
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    return f"{machine.system}, {machine.cores} cores, {memory}"


def _recovered(one: RecordedDrill, twin: RecordedDrill | None) -> list[str]:
    stages = (one.first("detected"), one.theirs, one.first("acted"), one.last("verified"))
    shares = (one.theirs, one.ours, one.proof)
    return [
        one.alert,
        *map(_cell, (0.0, *stages, one.total_seconds)),
        f"{one.limit_seconds:.0f}",
        *map(_cell, shares),
        NEVER if twin is None else _stayed(twin),
        _verdict(one),
    ]


def _waited(one: RecordedDrill) -> list[str]:
    stages = ("detected", "received", "waited", "mended", "acted")
    times = (0.0, *map(one.first, stages), one.last("verified"), one.total_seconds)
    limit = f"{one.limit_seconds:.0f}"
    return [one.alert, one.during, *map(_cell, times), limit, _verdict(one)]


def _handed(one: RecordedDrill, twin: RecordedDrill | None) -> list[str]:
    stages = ("detected", "received", "acted", "escalated", "settled")
    times = (0.0, *map(one.first, stages), one.total_seconds)
    stayed = NEVER if twin is None else _stayed(twin)
    return [one.alert, *map(_cell, times), f"{one.limit_seconds:.0f}", stayed, _verdict(one)]


def _named(one: RecordedDrill) -> str:
    return f"{one.alert}, during {one.during}" if one.during else one.alert


def _left(one: RecordedDrill) -> list[str]:
    stages = [one.first(stage) for stage in ("detected", "received", "noticed", "mended")]
    return [
        one.alert,
        *map(_cell, (0.0, *stages, one.total_seconds)),
        f"{one.limit_seconds:.0f}",
        *map(_cell, (one.theirs, one.ours)),
        _verdict(one),
    ]


def _stayed(twin: RecordedDrill) -> str:
    return f"broken after {twin.limit_seconds:.0f}" if twin.passed else f"failed: {twin.problem}"


def _verdict(one: RecordedDrill) -> str:
    return "closed" if one.passed else f"failed: {one.problem}"


def _cell(seconds: float | None) -> str:
    return NEVER if seconds is None else f"{seconds:.2f}"


def _spread(drills: Iterable[RecordedDrill], of: Callable[[RecordedDrill], float | None]) -> str:
    known = [seconds for one in drills if (seconds := of(one)) is not None]
    return f"{median(known):.2f} s and {max(known):.2f} s" if known else "unknown"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), "|" + "---|" * len(columns), *map(line, rows)]


if __name__ == "__main__":
    home = Path(sys.argv[1])
    write(home, msgspec.json.decode((home / FILE).read_bytes(), type=GameDayRecord))
